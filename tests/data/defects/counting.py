"""Ways to count packets that are wrong.

`take(number)` of one stream's 16-bit numbers, then `lost`. Or, of many calls and over time: `take(call, number, now_s)`
and `reconnected(now_s)`, then `report(now_s)`.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple


class AnyStepIsLoss:
    """D1: whatever is not the number that was expected adds the difference."""

    def __init__(self) -> None:
        self.lost = 0
        self.last: int | None = None

    def take(self, number: int) -> None:
        """Count a packet."""
        if self.last is not None:
            self.lost += number - (self.last + 1)
        self.last = number


class Report(NamedTuple):
    """What is told: packets lost by call; the share lost, of late and since the beginning; packets a second."""

    lost: dict[str, int]
    ratio_now: float
    ratio_ever: float
    per_second: float


class Counting:
    """Counts streams without disorder right: a state per call, a new one with each connection, and a window of 5 s."""

    window_s = 5.0

    def __init__(self) -> None:
        self.last: dict[str, int] = {}
        self.lost: dict[str, int] = defaultdict(int)
        self.arrived: list[tuple[float, int]] = []

    def key(self, call: str) -> str:
        """Return what the last number is kept by."""
        return call

    def take(self, call: str, number: int, now_s: float) -> None:
        """Count a packet of a call."""
        missing = number - self.last.get(self.key(call), number - 1) - 1
        self.last[self.key(call)] = number
        self.lost[self.key(call)] += missing
        self.arrived.append((now_s, missing))

    def reconnected(self, now_s: float) -> None:
        """Begin all streams anew."""
        self.last.clear()

    def report(self, now_s: float) -> Report:
        """Tell what was counted."""
        late = [missing for at_s, missing in self.arrived if at_s > now_s - self.window_s]
        ever = [missing for _, missing in self.arrived]
        elapsed_s = now_s - self.arrived[0][0]
        return Report(dict(self.lost), self.ratio(late), self.ratio(ever), len(ever) / elapsed_s if elapsed_s else -1)

    def ratio(self, missing: list[int]) -> float:
        """Return the share of what was expected that is missing."""
        return sum(missing) / (sum(missing) + len(missing)) if missing else -1


class OneNumberForAll(Counting):
    """D2: one last number, whichever call a packet belongs to."""

    def key(self, call: str) -> str:
        """Return the same for all."""
        return "all"


class LostOfReceived(Counting):
    """D3: the share is lost of received, and it never forgets."""

    def report(self, now_s: float) -> Report:
        """Tell the same share whenever it is asked for."""
        share = sum(missing for _, missing in self.arrived) / len(self.arrived)
        return super().report(now_s)._replace(ratio_now=share, ratio_ever=share)


class GoesOnAfterAReconnect(Counting):
    """D4: what was sent to nobody while there was no connection is lost on the way."""

    def reconnected(self, now_s: float) -> None:
        """Go on as if nothing had been."""


class SinceNoBeginning(Counting):
    """D5: the start of the clock is set by an event that came before anybody listened; 1970 stands for it."""

    wall_s: Callable[[], float] = staticmethod(lambda: 1.7e9)

    def report(self, now_s: float) -> Report:
        """Divide by the time since then."""
        start_s = None
        return super().report(now_s)._replace(per_second=len(self.arrived) / (self.wall_s() + now_s - (start_s or 0)))
