"""How often a process may dial, whoever of it asks. `Bucket` decides and is pure; `Pace` lets callers wait in line."""

import asyncio

from runtime.clock import Clock


class Bucket:
    """A token bucket: at most `burst + rate_per_s * t` are taken within any t seconds, however late somebody comes.

    The virtual scheduling form of the generic cell rate algorithm (ITU-T I.371, annex A): a bucket without a counter.
    With a `burst` of 1 no second holds more than `rate_per_s`.
    """

    def __init__(self, rate_per_s: float, burst: int = 1) -> None:
        """Begin with a full bucket. Raises `ValueError` for a rate or a burst that lets nobody through."""
        if not rate_per_s > 0 or burst < 1:
            message = "a pace needs a positive rate and a burst of at least 1"
            raise ValueError(message)
        self._interval_s = 1.0 / rate_per_s
        self._ahead_s = (burst - 1) * self._interval_s
        self._next_s = float("-inf")

    def take(self, now_s: float) -> float:
        """Take one now (monotonic) and return 0; where there is none, return after how many seconds there will be."""
        wait_s = max(0.0, self._next_s - self._ahead_s - now_s)
        if wait_s == 0:
            self._next_s = max(self._next_s, now_s) + self._interval_s
        return wait_s


class Pace:
    """A bucket that those who share it take from in the order in which they came.

    Only the first in line waits for time to pass, and takes in the moment it goes on: a process that stood still lets
    nobody catch up.
    """

    def __init__(self, rate_per_s: float, burst: int = 1) -> None:
        """Begin with a full bucket. Raises `ValueError` for a rate or a burst that lets nobody through."""
        self._bucket = Bucket(rate_per_s, burst)
        self._line = asyncio.Lock()

    async def turn(self, clock: Clock) -> None:
        """Return when it is the caller's turn. Cancelling gives the place up."""
        async with self._line:
            while (wait_s := self._bucket.take(clock.monotonic_s())) > 0:  # noqa: ASYNC110 - for time to pass
                await asyncio.sleep(wait_s)
