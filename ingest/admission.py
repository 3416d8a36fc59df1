"""How many may come in, how fast, and with how much: the limits of a server that accepts, counted. Pure."""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """What one server lets in. `None` connections of an organisation are as many as of all."""

    max_connections: int = 2_000
    max_per_organisation: int | None = None
    handshakes_per_s: float = 500.0
    handshake_burst: int = 2_000
    max_handshakes: int = 1_000
    handshake_deadline_s: float = 10.0
    max_header_bytes: int = 16_384


class Bucket:
    """At most `burst + rate_per_s * t` grants in any t seconds. What is refused takes nothing."""

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._left = float(burst)
        self._at_s = float("-inf")

    def take(self, now_s: float) -> float:
        """Return 0 for a grant, else how many seconds after `now_s` (monotonic) the next one could be given."""
        self._left = min(self._burst, self._left + max(0.0, now_s - self._at_s) * self._rate_per_s)
        self._at_s = now_s
        if self._left < 1:
            return (1 - self._left) / self._rate_per_s
        self._left -= 1
        return 0.0


class Places:
    """The connections that are let in: one place each, in all and for each organisation."""

    def __init__(self, limit: int, per_organisation: int | None) -> None:
        self._limit = limit
        self._per_organisation = limit if per_organisation is None else per_organisation
        self._holders: dict[Hashable, str | None] = {}
        self._taken: Counter[str] = Counter()

    @property
    def full(self) -> bool:
        """True while nobody more may come in."""
        return len(self._holders) >= self._limit

    def take(self, holder: Hashable, organisation: str | None) -> bool:
        """Give a holder a place; False where there is none for it. A holder that has one keeps it."""
        if holder in self._holders:
            return True
        if self.full or (organisation is not None and self._taken[organisation] >= self._per_organisation):
            return False
        self._holders[holder] = organisation
        if organisation is not None:
            self._taken[organisation] += 1
        return True

    def give_back(self, holder: Hashable) -> None:
        """Free a holder's place, if it has one."""
        organisation = self._holders.pop(holder, None)
        if organisation is None:
            return
        self._taken[organisation] -= 1
        if not self._taken[organisation]:
            del self._taken[organisation]


class Complaints:
    """What happens often is said once in an interval, with how often it happened since."""

    def __init__(self, interval_s: float = 1.0) -> None:
        self._interval_s = interval_s
        self._said_s: dict[str, float] = {}
        self._since: Counter[str] = Counter()

    def count(self, what: str, now_s: float) -> int:
        """Count it, and return how many there are to say now; 0: nothing now."""
        self._since[what] += 1
        if now_s - self._said_s.get(what, float("-inf")) < self._interval_s:
            return 0
        self._said_s[what] = now_s
        return self._since.pop(what)
