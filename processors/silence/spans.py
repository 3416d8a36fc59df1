"""From blocks to spans: speech and silence of each side, dead air and overtalk of both, and who answered whom.

A side has two tracks, activity and speech, each of which is up or down. A run down that lasts its minimum is confirmed.
Up is confirmed when it has lasted its minimum, pauses shorter than a confirmed run down counted in, from its first
block. What is confirmed ends the span before it and starts its own, both at its first sample; all else belongs to the
span around it.

Silence is where activity is down, speech where speech is up; between them lies what is heard and is no speech. Dead air
is where all sides are silent, overtalk where both speak; while what may end a side's span is not yet confirmed or over,
they reach only to its start. A response is the time from the end of one side's speech to the start of the other's; who
begins while the other speaks, interrupts.

The machine works on the blocks at which something can happen: where a class changes, and where a minimum is reached.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from processors.silence import state as columns
from processors.silence.tracks import DOWN, UP, Joint, Limits, Span, Track
from processors.silence.voices import SIDES
from schemas.symbols import EndedBy, SilenceEventKind

_UNUSED: Final = (0,) * (columns.SPANS.stop - columns.SPANS.start)

Change = tuple[int, int, int, int, int, int]
"""A block at which a class changes: its index, the side, the track, the new class, the side's sums in front of it."""


class Side:
    """The spans of one channel, and what is known of its turns.

    `asked`: where its speech began, plus 1, until it is known whether that was a response or an interruption.
    `ended`: where its last speech ended, plus 1; 0 where there was none since the audio began.
    """

    __slots__ = ("activity", "asked", "ended", "interruptions", "longest", "response_sum", "responses", "speech")

    def __init__(self, row: Sequence[int]) -> None:
        activity, speech = columns.TRACKS
        self.activity = Track(row[activity : activity + columns.TRACK_COLUMNS])
        self.speech = Track(row[speech : speech + columns.TRACK_COLUMNS])
        self.longest, self.asked, self.ended = row[columns.LONGEST], row[columns.ASKED], row[columns.ENDED]
        self.interruptions, self.responses, self.response_sum = row[columns.INTERRUPTIONS : columns.RESPONSE_SUM + 1]

    def values(self) -> tuple[int, ...]:
        """Return the columns of SPANS."""
        turns = (self.asked, self.ended, self.interruptions, self.responses, self.response_sum)
        return (*self.activity.values(), *self.speech.values(), self.longest, *turns)

    def broken_by(self) -> EndedBy:
        """Return what ends a silence: speech, or sound that was none so far."""
        return EndedBy.SPEECH if self.speech.confirmed == UP or self.speech.tried else EndedBy.SOUND

    def settle(self, block: int, side: int, head: int, limits: Sequence[int], spans: list[Span]) -> None:
        """Confirm what has lasted its minimum; what ended comes before what began."""
        spoke = self.speech.settle(head, limits)
        heard = self.activity.settle(head, limits)
        if heard and heard.was == DOWN:
            self.longest = max(self.longest, heard.end - heard.start)
            spans.append(heard.span(block, SilenceEventKind.SILENCE, side, self.broken_by()))
        if spoke and spoke.was == UP:
            ended_by = EndedBy.SILENCE if self.activity.run == DOWN else EndedBy.SOUND
            spans.append(spoke.span(block, SilenceEventKind.SPEECH, side, ended_by))
            self.ended = spoke.end + 1
        if heard and self.activity.confirmed == DOWN:
            spans.append(Span(block, SilenceEventKind.SILENCE_STARTED, side, self.activity.start))
        if spoke and self.speech.confirmed == UP:
            spans.append(Span(block, SilenceEventKind.SPEECH_STARTED, side, self.speech.start))
            self.asked = self.speech.start + 1

    def end(self, side: int, position: int, sums: tuple[int, int], ended_by: EndedBy, spans: list[Span]) -> None:
        """End everything at `position`."""
        heard, spoke = self.activity.end(position, *sums), self.speech.end(position, *sums)
        if heard.was == DOWN:
            self.longest = max(self.longest, heard.end - heard.start)
            spans.append(heard.span(0, SilenceEventKind.SILENCE, side, ended_by))
        if spoke.was == UP:
            spans.append(spoke.span(0, SilenceEventKind.SPEECH, side, ended_by))
        self.asked = self.ended = 0

    def judge(self, block: int, side: int, other: "Side", head: int, spans: list[Span]) -> None:
        """Tell whether its speech answered the other side or broke into what it said, once that is certain."""
        start, end = self.asked - 1, other.ended - 1
        speaking = other.speech.confirmed == UP and other.speech.start < start
        if speaking and other.speech.certain_end(head) <= start:
            return
        if speaking or end > start:
            self.interruptions += 1
        elif other.ended > self.ended:
            spans.append(Span(block, SilenceEventKind.RESPONSE, side, end, start, ended_by=EndedBy.SPEECH))
            self.responses += 1
            self.response_sum += start - end
        self.asked = 0


class SpanMachine:
    """The spans of one session. Load it from its rows, feed it, store its `rows` back; `spans` is what it found."""

    def __init__(self, limits: Limits, session: Sequence[int], sides: Sequence[Sequence[int]], *, both: bool) -> None:
        """`sides` are the rows of the channels in use; `both`: they are all sides of the call."""
        self.spans: list[Span] = []
        self._limits = limits.run
        self._sides = [Side(row) for row in sides]
        dead = (session[columns.DEAD], session[columns.DEAD_START], session[columns.DEAD_TOTAL])
        over = (session[columns.OVER], session[columns.OVER_START], session[columns.OVER_TOTAL])
        self._dead = Joint(DOWN, limits.dead_air, *dead)
        self._over = Joint(UP, (limits.overtalk,), *over)
        self._joints = ([self._dead] if both else []) + ([self._over] if len(sides) > 1 else [])
        self._heard = [side.activity for side in self._sides]
        self._spoken = [side.speech for side in self._sides]

    def feed(self, ends: Sequence[int], starts: Sequence[int], changes: Sequence[Change]) -> None:
        """Go through consecutive blocks: their ends and starts, and the changes by block, side and track."""
        block = pointer = 0
        while True:
            block = bisect_left(ends, self._deadline(), block)
            if pointer < len(changes):
                block = min(block, changes[pointer][0])
            if block >= len(ends):
                return
            while pointer < len(changes) and changes[pointer][0] == block:
                _, index, track, run, squares, odds = changes[pointer]
                side = self._sides[index]
                (side.speech if track else side.activity).change(run, starts[block], squares, odds)
                pointer += 1
            self._settle(block, ends[block])
            block += 1

    def end(self, position: int, sums: Sequence[Sequence[int]], ended_by: EndedBy) -> None:
        """End every span at `position`; `sums` are the sides' sums of squares and odds there."""
        self._judge(0, position)
        for index, side in enumerate(self._sides):
            side.end(index, position, (sums[index][0], sums[index][1]), ended_by, self.spans)
        for joint in self._joints:
            joint.finish(0, position, ended_by, self.spans)

    @property
    def sides(self) -> int:
        """Number of channels in use."""
        return len(self._sides)

    def rows(self) -> list[tuple[int, ...]]:
        """Return the columns SPANS of each of the state's rows."""
        rows = [side.values() for side in self._sides]
        return rows if len(rows) == SIDES else [*rows, _UNUSED]

    def joint_row(self) -> tuple[int, ...]:
        """Return the session's columns DEAD to OVER_TOTAL."""
        dead, over = self._dead, self._over
        return (dead.level, dead.start, over.level, over.start, dead.total, over.total)

    def _deadline(self) -> int:
        tracks = min(track.deadline(self._limits) for track in (*self._heard, *self._spoken))
        return min(tracks, *(joint.deadline() for joint in self._joints)) if self._joints else tracks

    def _settle(self, block: int, head: int) -> None:
        for index, side in enumerate(self._sides):
            side.settle(block, index, head, self._limits, self.spans)
        self._judge(block, head)
        for joint in self._joints:
            if joint is self._over:
                joint.settle(block, self._spoken, head, EndedBy.SILENCE, self.spans)
                continue
            broken = {side.broken_by() for side in self._sides if side.activity.confirmed != DOWN}
            why = EndedBy.SPEECH if EndedBy.SPEECH in broken else EndedBy.SOUND
            joint.settle(block, self._heard, head, why, self.spans)

    def _judge(self, block: int, head: int) -> None:
        if len(self._sides) == SIDES:
            for index, side in enumerate(self._sides):
                if side.asked:
                    side.judge(block, index, self._sides[1 - index], head, self.spans)
