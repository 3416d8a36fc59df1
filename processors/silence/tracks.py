"""One question about one channel, up or down, from block to block; and stretches in which several channels agree."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from schemas.symbols import EndedBy, SilenceEventKind

ALL: Final = -1
DOWN, UP = 1, 2
NEVER: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Limits:
    """Minimum lengths in samples. `run` is the one of a run, by its class."""

    run: tuple[int, int, int]
    dead_air: tuple[int, int]
    overtalk: int


@dataclass(slots=True)
class Span:
    """A span that began (`end` -1) or ended. `block` is the index of the block that made it certain.

    `side` is the channel's row or ALL; `squares` and `odds` are the sums over the span, None where none are stated.
    """

    block: int
    kind: SilenceEventKind
    side: int
    start: int
    end: int = -1
    squares: int | None = None
    odds: int | None = None
    ended_by: EndedBy = EndedBy.ONGOING
    alarm: bool = False


class Former(NamedTuple):
    """What was confirmed until now: its class (0: nothing), its start and end, its sums."""

    was: int
    start: int
    end: int
    squares: int
    odds: int

    def span(self, block: int, kind: SilenceEventKind, side: int, ended_by: EndedBy) -> Span:
        """Return it as a finished span."""
        return Span(block, kind, side, self.start, self.end, self.squares, self.odds, ended_by)


class Track:
    """What is confirmed, the run under way, and where the blocks began that may yet be confirmed as up.

    Its numbers stand in the order of the state's columns; each of the three has a start and the sums in front of it.
    """

    __slots__ = (
        "confirmed",
        "odds",
        "run",
        "run_odds",
        "run_start",
        "run_sum",
        "start",
        "sum",
        "tried",
        "tried_odds",
        "tried_start",
        "tried_sum",
    )

    def __init__(self, row: Sequence[int]) -> None:
        self.confirmed, self.start, self.sum, self.odds = row[:4]
        self.run, self.run_start, self.run_sum, self.run_odds = row[4:8]
        self.tried, self.tried_start, self.tried_sum, self.tried_odds = row[8:]

    def values(self) -> tuple[int, ...]:
        """Return the columns."""
        return (
            *(self.confirmed, self.start, self.sum, self.odds),
            *(self.run, self.run_start, self.run_sum, self.run_odds),
            *(self.tried, self.tried_start, self.tried_sum, self.tried_odds),
        )

    def change(self, run: int, start: int, squares: int, odds: int) -> None:
        """Begin another run; `squares` and `odds` are the sums in front of it."""
        self.run, self.run_start, self.run_sum, self.run_odds = run, start, squares, odds
        if run == UP and self.confirmed != UP and not self.tried:
            self.tried, self.tried_start, self.tried_sum, self.tried_odds = 1, start, squares, odds

    def deadline(self, limits: Sequence[int]) -> int:
        """Return the position at which something is decided, if all goes on as it is."""
        if self.run == UP:
            return self.tried_start + limits[UP] if self.confirmed != UP else NEVER
        open_run = self.run == DOWN and (self.confirmed != DOWN or self.tried)
        return self.run_start + limits[DOWN] if open_run else NEVER

    def settle(self, head: int, limits: Sequence[int]) -> Former | None:
        """Confirm what has lasted its minimum; return what was confirmed until then, None where nothing changed."""
        if self.run == UP and self.confirmed != UP and head - self.tried_start >= limits[UP]:
            former = self._former(self.tried_start, self.tried_sum, self.tried_odds)
            self.confirmed = UP
        elif self.run == DOWN and head - self.run_start >= limits[DOWN]:
            former = self._former(self.run_start, self.run_sum, self.run_odds)
            changed = self.confirmed != DOWN
            self._try_anew()
            if not changed:
                return None
            self.confirmed = DOWN
        else:
            return None
        self.start, self.sum, self.odds = former.end, former.squares + self.sum, former.odds + self.odds
        self._try_anew()
        return former

    def end(self, position: int, squares: int, odds: int) -> Former:
        """End everything at `position`; return what was confirmed."""
        former = self._former(position, squares, odds)
        self.confirmed = self.start = self.sum = self.odds = 0
        self.run = self.run_start = self.run_sum = self.run_odds = 0
        self._try_anew()
        return former

    def certain_end(self, head: int) -> int:
        """Return up to where the confirmed class holds for certain."""
        if self.confirmed == UP:
            return head if self.run == UP else self.run_start
        return self.tried_start if self.tried else head

    def _former(self, end: int, squares: int, odds: int) -> Former:
        return Former(self.confirmed, self.start, end, squares - self.sum, odds - self.odds)

    def _try_anew(self) -> None:
        self.tried = self.tried_start = self.tried_sum = self.tried_odds = 0


class Confirmed(Protocol):
    """What is confirmed of a question about one channel, since when, and up to where it holds for certain."""

    confirmed: int
    start: int

    def certain_end(self, head: int) -> int:
        """Return up to where it holds for certain when `head` was heard."""


class Joint:
    """Dead air or overtalk: a stretch in which all tracks are confirmed in one class."""

    __slots__ = ("_class", "_finished", "_limits", "_started", "level", "start", "total")

    def __init__(self, joined: int, limits: tuple[int, ...], level: int, start: int, total: int) -> None:
        dead = joined == DOWN
        self._class = joined
        self._started = SilenceEventKind.DEAD_AIR_STARTED if dead else SilenceEventKind.OVERTALK_STARTED
        self._finished = SilenceEventKind.DEAD_AIR if dead else SilenceEventKind.OVERTALK
        self._limits = limits
        self.level = level
        self.start = start
        self.total = total

    def deadline(self) -> int:
        """Return the position at which the next limit is reached, if all goes on as it is."""
        return self.start + self._limits[self.level - 1] if 0 < self.level <= len(self._limits) else NEVER

    def settle(self, block: int, tracks: Sequence[Confirmed], head: int, ended_by: EndedBy, spans: list[Span]) -> None:
        """Follow what the tracks have just confirmed; `ended_by` is what ends the stretch, if it ends."""
        joined = self._class
        for track in tracks:
            if track.confirmed != joined:
                if self.level:
                    end = min(each.start for each in tracks if each.confirmed != joined)
                    self.finish(block, end, ended_by, spans)
                return
        if not self.level:
            self.level = 1
            self.start = max(track.start for track in tracks)
        certain = min(track.certain_end(head) for track in tracks)
        while self.level <= len(self._limits) and certain - self.start >= self._limits[self.level - 1]:
            self.level += 1
            spans.append(Span(block, self._started, ALL, self.start, alarm=self.level > 2))  # noqa: PLR2004 - alarmed

    def finish(self, block: int, end: int, ended_by: EndedBy, spans: list[Span]) -> None:
        """End the stretch; one that was announced is stated whole."""
        if self.level > 1:
            alarm = len(self._limits) > 1 and end - self.start >= self._limits[1]
            spans.append(Span(block, self._finished, ALL, self.start, end, ended_by=ended_by, alarm=alarm))
            self.total += end - self.start
        self.level = 0
        self.start = 0
