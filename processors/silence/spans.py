"""From active and quiet blocks to spans: speech and silence of each side, dead air and overtalk of both.

A run is a stretch of blocks of one class. A run that lasts its minimum is confirmed: it ends the span before it and
starts its own, both at the run's first sample. Shorter runs belong to the span around them. Dead air is where all sides
are in confirmed silence, overtalk where both are in confirmed speech; while a run that may end a side's span is not yet
confirmed or over, they reach only to its start.

The machine works on the blocks at which something can happen: where a class changes, and where a minimum is reached.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from processors.silence import state as columns
from schemas.symbols import EndedBy, SilenceEventKind

ALL: Final = -1
_SILENCE, _SPEECH = 1, 2
_NEVER: Final = 1 << 62
_UNUSED: Final = (0,) * 7
_FINISHED = {_SILENCE: SilenceEventKind.SILENCE, _SPEECH: SilenceEventKind.SPEECH}
_STARTED = {_SILENCE: SilenceEventKind.SILENCE_STARTED, _SPEECH: SilenceEventKind.SPEECH_STARTED}
_ENDED_BY = {_SILENCE: EndedBy.SILENCE, _SPEECH: EndedBy.SPEECH}

Change = tuple[int, int, int, int]
"""A block at which a side's class changes: its index, the side, the new class, the side's sum in front of it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Minimum lengths in samples. `run[class]` is the one of a run."""

    run: tuple[int, int, int]
    dead_air: tuple[int, int]
    overtalk: int


@dataclass(slots=True)
class Span:
    """A span that began (`end` -1) or ended. `block` is the index of the block that made it certain.

    `side` is the channel's row or ALL; `squares` the sum of squares over the span, -1 where no level is stated.
    """

    block: int
    kind: SilenceEventKind
    side: int
    start: int
    end: int = -1
    squares: int = -1
    ended_by: EndedBy = EndedBy.ONGOING
    alarm: bool = False


class Side:
    """The spans of one channel."""

    __slots__ = ("confirmed", "confirmed_start", "confirmed_sum", "longest", "run", "run_start", "run_sum")

    def __init__(self, row: Sequence[int]) -> None:
        self.confirmed = row[columns.CONFIRMED]
        self.confirmed_start = row[columns.CONFIRMED_START]
        self.confirmed_sum = row[columns.CONFIRMED_SUM]
        self.run = row[columns.RUN]
        self.run_start = row[columns.RUN_START]
        self.run_sum = row[columns.RUN_SUM]
        self.longest = row[columns.LONGEST]

    def values(self) -> tuple[int, ...]:
        """Return the columns from CONFIRMED to LONGEST."""
        return (
            self.confirmed,
            self.confirmed_start,
            self.confirmed_sum,
            self.run,
            self.run_start,
            self.run_sum,
            self.longest,
        )

    def certain_end(self, head: int) -> int:
        """Return up to where the confirmed class holds for certain."""
        return head if self.run == self.confirmed else self.run_start

    def finish(self, block: int, side: int, end: int, squares: int, ended_by: EndedBy) -> Span:
        """End the confirmed span."""
        if self.confirmed == _SILENCE:
            self.longest = max(self.longest, end - self.confirmed_start)
        kind = _FINISHED[self.confirmed]
        return Span(block, kind, side, self.confirmed_start, end, squares - self.confirmed_sum, ended_by)


class Joint:
    """Dead air or overtalk: a stretch in which all sides are in one confirmed class."""

    __slots__ = ("_class", "_finished", "_limits", "_started", "level", "start", "total")

    def __init__(self, joined: int, limits: tuple[int, ...], level: int, start: int, total: int) -> None:
        dead = joined == _SILENCE
        self._class = joined
        self._started = SilenceEventKind.DEAD_AIR_STARTED if dead else SilenceEventKind.OVERTALK_STARTED
        self._finished = SilenceEventKind.DEAD_AIR if dead else SilenceEventKind.OVERTALK
        self._limits = limits
        self.level = level
        self.start = start
        self.total = total

    def deadline(self) -> int:
        """Return the position at which the next limit is reached, if all goes on as it is."""
        return self.start + self._limits[self.level - 1] if 0 < self.level <= len(self._limits) else _NEVER

    def settle(self, block: int, sides: Sequence[Side], head: int, spans: list[Span]) -> None:
        """Follow what the sides have just confirmed."""
        joined = self._class
        for side in sides:
            if side.confirmed != joined:
                if self.level:
                    end = min(each.confirmed_start for each in sides if each.confirmed != joined)
                    self.finish(block, end, _ENDED_BY[3 - joined], spans)
                return
        if not self.level:
            self.level = 1
            self.start = max(side.confirmed_start for side in sides)
        certain = min(side.certain_end(head) for side in sides)
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


class SpanMachine:
    """The spans of one session. Load it from its rows, feed it, `store` it back; `spans` is what it found."""

    def __init__(self, limits: Limits, session: Sequence[int], sides: Sequence[Sequence[int]], *, both: bool) -> None:
        """`sides` are the rows of the channels in use; `both`: they are all sides of the call."""
        self.spans: list[Span] = []
        self._limits = limits.run
        self._sides = [Side(row) for row in sides]
        dead = (session[columns.DEAD], session[columns.DEAD_START], session[columns.DEAD_TOTAL])
        over = (session[columns.OVER], session[columns.OVER_START], session[columns.OVER_TOTAL])
        self._dead = Joint(_SILENCE, limits.dead_air, *dead)
        self._over = Joint(_SPEECH, (limits.overtalk,), *over)
        self._joints = ([self._dead] if both else []) + ([self._over] if len(sides) > 1 else [])

    def feed(self, ends: Sequence[int], starts: Sequence[int], changes: Sequence[Change]) -> None:
        """Go through consecutive blocks: their ends and starts, and the changes by block and side."""
        block = pointer = 0
        while True:
            block = bisect_left(ends, self._deadline(), block)
            if pointer < len(changes):
                block = min(block, changes[pointer][0])
            if block >= len(ends):
                return
            while pointer < len(changes) and changes[pointer][0] == block:
                _, index, run, before = changes[pointer]
                side = self._sides[index]
                side.run, side.run_start, side.run_sum = run, starts[block], before
                pointer += 1
            self._settle(block, ends[block])
            block += 1

    def end(self, position: int, squares: Sequence[int], ended_by: EndedBy) -> None:
        """End every span at `position`; `squares` are the sides' sums there."""
        for index, side in enumerate(self._sides):
            if side.confirmed:
                self.spans.append(side.finish(0, index, position, squares[index], ended_by))
            side.confirmed = side.confirmed_start = side.confirmed_sum = 0
            side.run = side.run_start = side.run_sum = 0
        for joint in self._joints:
            joint.finish(0, position, ended_by, self.spans)

    @property
    def sides(self) -> int:
        """Number of channels in use."""
        return len(self._sides)

    def rows(self) -> list[tuple[int, ...]]:
        """Return the columns CONFIRMED to LONGEST of each of the state's rows."""
        rows = [side.values() for side in self._sides]
        return rows if len(rows) == columns.SIDES else [*rows, _UNUSED]

    def joint_row(self) -> tuple[int, ...]:
        """Return the session's columns DEAD to OVER_TOTAL."""
        dead, over = self._dead, self._over
        return (dead.level, dead.start, over.level, over.start, dead.total, over.total)

    def _deadline(self) -> int:
        open_runs = [side.run_start + self._limits[side.run] for side in self._sides if side.run != side.confirmed]
        return min(open_runs or [joint.deadline() for joint in self._joints], default=_NEVER)

    def _settle(self, block: int, head: int) -> None:
        for index, side in enumerate(self._sides):
            if side.run != side.confirmed and head - side.run_start >= self._limits[side.run]:
                if side.confirmed:
                    ended_by = _ENDED_BY[side.run]
                    self.spans.append(side.finish(block, index, side.run_start, side.run_sum, ended_by))
                side.confirmed, side.confirmed_start, side.confirmed_sum = side.run, side.run_start, side.run_sum
                self.spans.append(Span(block, _STARTED[side.run], index, side.run_start))
        for joint in self._joints:
            joint.settle(block, self._sides, head, self.spans)
