"""Whether the bot can be reached at all: an outage is waited out by all, not tried out by each. Pure.

After some failures in a row the way is closed for a rest, which doubles with each outage that follows at once; then a
few probes may go, and the first that succeeds opens it. A failure is what says nothing about the one input: no
connection, no answer, 429, 5xx. A refusal (4xx) is an answer.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """When the bot counts as down, and for how long it is left alone."""

    failures: int = 5
    first_rest_s: float = 2.0
    longest_rest_s: float = 30.0
    probes: int = 1


class Breaker:
    """The state of one endpoint. Times are monotonic seconds."""

    def __init__(self, patience: Patience | None = None) -> None:
        self._patience = patience or Patience()
        self._failures = 0
        self._rest_s = 0.0
        self._until_s: float | None = None
        self._probes = 0
        self.outage = 0
        """Number of the outage, the one now or the last."""

    @property
    def is_down(self) -> bool:
        """Whether the bot counts as down: it rests or is being probed."""
        return self._until_s is not None

    def rests(self, now_s: float) -> bool:
        """Tell whether it is not even time for a probe."""
        return self._until_s is not None and now_s < self._until_s

    def claim(self, now_s: float) -> bool:
        """Tell whether an input may go now; during an outage it is a probe, to be answered for by what came of it."""
        if self._until_s is None:
            return True
        if now_s < self._until_s or self._probes >= self._patience.probes:
            return False
        self._probes += 1
        return True

    def wait_s(self, now_s: float) -> float:
        """Return how long to wait before it is worth asking again."""
        return max(0.05, 0.0 if self._until_s is None else self._until_s - now_s)

    def succeeded(self) -> None:
        """Take note that the bot answered."""
        self._failures = self._probes = 0
        self._until_s = None
        self._rest_s = 0.0

    def failed(self, now_s: float, draw: float) -> None:
        """Take note that it did not; `draw` is a number of 0 to 1 for the jitter of the rest."""
        self._failures += 1
        if self._until_s is not None:
            if now_s >= self._until_s:
                self._rest(now_s, draw)
        elif self._failures >= self._patience.failures:
            self.outage += 1
            self._rest(now_s, draw)

    def abandoned(self) -> None:
        """Take note that a probe came to nothing, and says nothing."""
        self._probes = max(0, self._probes - 1)

    def _rest(self, now_s: float, draw: float) -> None:
        patience = self._patience
        self._rest_s = min(patience.longest_rest_s, max(patience.first_rest_s, 2 * self._rest_s))
        self._until_s = now_s + self._rest_s * (1 + draw) / 2
        self._probes = 0


class RetryBudget:
    """How many inputs may be sent again: a share of those sent first, so that an outage is not multiplied."""

    def __init__(self, ratio: float = 0.1, most: float = 10.0) -> None:
        self._ratio = ratio
        self._most = most
        self._left = most

    def sent(self) -> None:
        """Take note of a first attempt."""
        self._left = min(self._most, self._left + self._ratio)

    def take(self) -> bool:
        """Take one retry; tell whether there was one."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
