"""How often a process may dial, whoever of it asks: a token bucket that gives out places in its queue. Pure."""


class Pace:
    """At most `burst + rate_per_s * t` grants within any t seconds, in the order in which they were asked for.

    The virtual scheduling form of the generic cell rate algorithm (ITU-T I.371, annex A): a bucket without a counter.
    With the `burst` of 1 grants lie `1 / rate_per_s` apart, so no second holds more than `rate_per_s` of them.
    """

    def __init__(self, rate_per_s: float, burst: int = 1) -> None:
        """Begin with a full bucket. Raises `ValueError` for a rate or a burst that grants nothing."""
        if not rate_per_s > 0 or burst < 1:
            message = "a pace needs a positive rate and a burst of at least 1"
            raise ValueError(message)
        self._interval_s = 1.0 / rate_per_s
        self._ahead_s = (burst - 1) * self._interval_s
        self._next_s = float("-inf")

    def reserve(self, now_s: float) -> float:
        """Take the next place and return how many seconds after `now_s` (monotonic) it comes; 0: now.

        A place that is not used is lost: the rate is kept all the same.
        """
        wait_s = max(0.0, self._next_s - self._ahead_s - now_s)
        self._next_s = max(self._next_s, now_s) + self._interval_s
        return wait_s
