"""Stalls: audio that came late though none of it is missing.

Over one TCP connection nothing is lost or reordered, but everything can be held up: the delay of a frame is when it
arrived minus when its last sample was due on the media clock. Only its excess over the least delay means anything,
because the two clocks have no common zero.
"""

from dataclasses import dataclass

LEAK_RATIO = 0.001
"""The least delay may rise by so much per second of media, so that drifting clocks make no stall."""
GIVE_UP_US = 10_000_000
"""A delay that stays for so long of media time is the new normal."""


@dataclass(frozen=True, slots=True)
class Stall:
    """Frames from `position_samples` on came up to `delay_ms` late; `recovered` when the delay went back again."""

    position_samples: int
    delay_ms: int
    recovered: bool = True


@dataclass(slots=True)
class ArrivalWatch:
    """Follows the arrival of one session's frames. All fields are its state; times in microseconds.

    `least_us` is the least delay, `seen_us` the media time it holds for. While frames are late `since_us` is the media
    time of the first late one, `worst_us` the largest excess, `lowest_us` the lowest.
    """

    threshold_us: int = 200_000
    least_us: int | None = None
    seen_us: int = 0
    since_us: int = -1
    position_samples: int = -1
    worst_us: int = 0
    lowest_us: int = 0

    def frame(self, position_samples: int, stop_us: int, captured_us: int) -> Stall | None:
        """Take a frame in: its position, the media time behind its last sample, its arrival. Return a stall that ended.

        Frames behind the newest media time are left out: they fill holes.
        """
        if self.least_us is not None and stop_us <= self.seen_us:
            return None
        delay_us = captured_us - stop_us
        if self.least_us is None:
            self.least_us = delay_us
        leaked_us = self.least_us + int(max(0, stop_us - self.seen_us) * LEAK_RATIO)
        self.least_us = min(leaked_us, delay_us)
        self.seen_us = stop_us
        excess_us = delay_us - self.least_us
        if excess_us <= self.threshold_us:
            return self._end(recovered=True)
        if self.since_us < 0:
            self.since_us, self.position_samples = stop_us, position_samples
            self.worst_us = self.lowest_us = excess_us
        self.worst_us = max(self.worst_us, excess_us)
        self.lowest_us = min(self.lowest_us, excess_us)
        if stop_us - self.since_us < GIVE_UP_US:
            return None
        self.least_us += self.lowest_us
        return self._end(recovered=False)

    def restart(self) -> Stall | None:
        """Forget the least delay: after a pause or a reconnect the media clock may have moved. Return an open stall."""
        self.least_us = None
        self.seen_us = 0
        return self._end(recovered=False)

    def _end(self, recovered: bool) -> Stall | None:
        if self.since_us < 0:
            return None
        stall = Stall(self.position_samples, round(self.worst_us / 1000), recovered)
        self.since_us = self.position_samples = -1
        self.worst_us = self.lowest_us = 0
        return stall
