"""What two streams of a call, one of each side, have in common: dead air, overtalk, responses, interruptions.

Channels in one stream advance together, so their span machine knows both. Two numbered streams do not: each has a lane
and is told of as its packets come. A pair takes what is told of either, record by record, and goes through the time
both are certain of: what was told of a side stands up to `lag` in front of its last whole second, because a run that
began behind that may yet be confirmed. Where one side falls behind by more than SKEW_S, the other goes on alone, and
what is told of the first one later counts from there, and speech of it neither answers nor interrupts.

Positions are in the pair's own rate.
"""

import io
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from processors.silence.media import BLOCKS_PER_S
from processors.silence.tracks import DOWN, UP, Joint, Limits, Span
from processors.silence.voices import SIDES
from schemas.records import ActivityWindow, SilenceEvent
from schemas.symbols import ActivityKind, EndedBy, SilenceEventKind

SKEW_S: Final = 10
"""How far one side may be behind the other before that one goes on alone."""

_ENDS: Final = tuple(EndedBy)
_GOES_ON: Final = (EndedBy.SPEECH, EndedBy.SILENCE, EndedBy.SOUND)
_NONE: Final = -1
_AWAITED, _HERE, _GONE = range(3)
"""A side of which nothing was told yet is waited for, one that has its totals is not."""

_HEAD: Final = 8

# What happens at a position, in the order in which it counts there.
_SILENCE_ENDS, _SPEECH_ENDS, _BREAKS, _SILENCE_BEGINS, _SPEECH_BEGINS = range(5)
_BEGINS: Final = {
    SilenceEventKind.SILENCE_STARTED: _SILENCE_BEGINS,
    SilenceEventKind.SPEECH_STARTED: _SPEECH_BEGINS,
}
_OVER: Final = {SilenceEventKind.SILENCE: _SILENCE_ENDS, SilenceEventKind.SPEECH: _SPEECH_ENDS}

_SCHEMA: Final = parse_schema({"type": "array", "items": {"type": "array", "items": "long"}})

_Edge = tuple[int, int, int, int]
"""Position, what happens, the side, the index of what ended it in `EndedBy`."""


class _Sure:
    """A question about one side, as `Joint` asks it: everything up to where it is asked is certain."""

    __slots__ = ("confirmed", "start")

    def __init__(self, confirmed: int, start: int) -> None:
        self.confirmed = confirmed
        self.start = start

    def certain_end(self, head: int) -> int:
        return head


class _Side:
    """What is known of one side at the place the pair has come to.

    What happens in front of half of `certain` is known for certain: an odd number takes in the position itself. `dead`
    and `over` are how much dead air and overtalk its former totals have counted.
    """

    __slots__ = (
        "certain",
        "dead",
        "ended",
        "interruptions",
        "over",
        "presence",
        "response_sum",
        "responses",
        "silence",
        "speech",
    )

    def __init__(self, numbers: Sequence[int] = (_AWAITED, 0, 0, 0, 0, 0, _NONE, 0, 0, 0, 0, 0)) -> None:
        self.presence, self.certain = numbers[:2]
        self.silence = _Sure(*numbers[2:4])
        self.speech = _Sure(*numbers[4:6])
        self.ended, self.interruptions, self.responses, self.response_sum = numbers[6:10]
        self.dead, self.over = numbers[10:]

    def numbers(self) -> tuple[int, ...]:
        tracks = (self.silence.confirmed, self.silence.start, self.speech.confirmed, self.speech.start)
        turns = (self.ended, self.interruptions, self.responses, self.response_sum)
        return (self.presence, self.certain, *tracks, *turns, self.dead, self.over)


_SIDE_NUMBERS: Final = len(_Side().numbers())
_EDGE_NUMBERS: Final = 4


class _Joints:
    """Dead air and overtalk, and what they found."""

    def __init__(self, limits: Limits, dead: Sequence[int], over: Sequence[int]) -> None:
        self.spans: list[Span] = []
        self._dead, self._over = Joint(DOWN, limits.dead_air, *dead), Joint(UP, (limits.overtalk,), *over)
        self._sound, self._hush, self._position = EndedBy.SPEECH, EndedBy.SILENCE, _NONE

    def why(self, what: int, ended_by: EndedBy, position: int) -> None:
        """Note what ended a side's span; of two silences that end at once, speech counts before all else."""
        if what == _SILENCE_ENDS:
            at_once = self._sound is EndedBy.SPEECH and position == self._position
            self._sound = EndedBy.SPEECH if at_once else ended_by
            self._position = position
        elif what == _SPEECH_ENDS:
            self._hush = EndedBy.SILENCE if ended_by in _GOES_ON else ended_by

    def settle(self, sides: Sequence[_Side], head: int) -> None:
        """Follow the sides up to `head`."""
        self._dead.settle(0, [side.silence for side in sides], head, self._sound, self.spans)
        self._over.settle(0, [side.speech for side in sides], head, self._hush, self.spans)

    def numbers(self) -> tuple[list[int], list[int]]:
        dead, over = ([joint.level, joint.start, joint.total] for joint in (self._dead, self._over))
        return dead, over


class Pair:
    """Two sides of a session. Feed it with `take`, then `advance`; `numbers` is all it remembers."""

    __slots__ = ("_at", "_dead", "_edges", "_over", "_sides", "rate_hz")

    def __init__(self, numbers: Sequence[int] = (), rate_hz: int = 0) -> None:
        """Go on from `numbers`, or begin at a rate."""
        whole = list(numbers) or [rate_hz, *[0] * (_HEAD - 1), *_Side().numbers() * SIDES]
        self.rate_hz, self._at = whole[:2]
        self._dead, self._over = whole[2:5], whole[5:_HEAD]
        bounds = [_HEAD + index * _SIDE_NUMBERS for index in range(SIDES + 1)]
        self._sides = [_Side(whole[low:high]) for low, high in pairwise(bounds)]
        rest = whole[bounds[-1] :]
        self._edges: list[_Edge] = list(
            zip(*(rest[place::_EDGE_NUMBERS] for place in range(_EDGE_NUMBERS)), strict=True)
        )

    def numbers(self) -> list[int]:
        """Return all it remembers."""
        sides = [number for side in self._sides for number in side.numbers()]
        edges = [number for edge in self._edges for number in edge]
        return [self.rate_hz, self._at, *self._dead, *self._over, *sides, *edges]

    def take(self, side: int, record: SilenceEvent | ActivityWindow, lag: int) -> None:
        """Take what is told of one side. `lag`: how many samples in front of a whole second it is certain."""
        if isinstance(record, ActivityWindow) and record.kind is ActivityKind.TOTAL:
            self._certain(side, 2 * record.end_samples + 1)
            return
        self._sides[side].presence = _HERE
        if isinstance(record, ActivityWindow):
            self._certain(side, 2 * (record.end_samples - lag))
        elif record.kind in _BEGINS:
            self._edge(record.start_samples, _BEGINS[record.kind], side)
        elif record.kind in _OVER:
            self._edge(record.end_samples, _OVER[record.kind], side, record.ended_by)

    def interrupt(self, side: int, position: int) -> None:
        """Take note that a side's audio stopped: all of it up to there is certain, and nobody answers across it."""
        self._edge(position, _BREAKS, side)
        self._certain(side, 2 * position + 1)

    def advance(self, limits: Limits) -> list[Span]:
        """Go on to where both sides are certain; return what that brings, `block` always 0."""
        known = [side.certain for side in self._sides if side.presence != _GONE] or [2 * self._at]
        certain = max(min(known), max(known) - 2 * SKEW_S * self.rate_hz, 2 * self._at)
        to = certain // 2
        joints = _Joints(limits, self._dead, self._over)
        count = 0
        while count < len(self._edges) and 2 * self._edges[count][0] < certain:
            position = max(self._edges[count][0], self._at)
            joints.settle(self._sides, position)
            begins, turns = [], []
            while count < len(self._edges) and max(self._edges[count][0], self._at) == position:
                at, what, side, ended_by = self._edges[count]
                joints.why(what, _ENDS[ended_by], position)
                self._happens(position, what, side)
                if what == _SPEECH_BEGINS:
                    begins.append(side)
                    turns += [side] * (at == position)
                count += 1
            for side in turns:
                self._turn(side, position, joints.spans)
            for side in begins:
                self._sides[side].speech = _Sure(UP, position)
            joints.settle(self._sides, position)
            self._at = position
        joints.settle(self._sides, to)
        del self._edges[:count]
        self._at = to
        self._dead, self._over = joints.numbers()
        return joints.spans

    def total(self, side: int, window: ActivityWindow) -> ActivityWindow:
        """Return a side's totals with what both have in common, as they are where nothing was told of the other one.

        Shares of the talk need both totals: see `shares`.
        """
        own = self._sides[side]
        if self._sides[1 - side].presence == _AWAITED:
            return window

        def ms(samples: float) -> float:
            return samples * 1000 / self.rate_hz

        mean = ms(own.response_sum) / own.responses if own.responses else window.response_mean_ms
        return replace(
            window,
            overtalk_ms=ms(self._over[2] - own.over),
            dead_air_ms=ms(self._dead[2] - own.dead),
            interruptions=own.interruptions,
            responses=own.responses,
            response_mean_ms=mean,
        )

    def leave(self, side: int, *, returned: bool = False) -> None:
        """Take note that a side's totals were told: it begins anew, and is waited for once it has returned."""
        own = self._sides[side]
        own.presence = _HERE if returned else _GONE
        own.interruptions = own.responses = own.response_sum = 0
        own.dead, own.over = self._dead[2], self._over[2]

    @property
    def left(self) -> bool:
        """True when no side is here any more."""
        return all(side.presence != _HERE for side in self._sides)

    def _certain(self, side: int, twice: int) -> None:
        own = self._sides[side]
        own.certain = max(own.certain, twice)

    def _edge(self, position: int, what: int, side: int, ended_by: EndedBy = EndedBy.UNKNOWN) -> None:
        edge = (position, what, side, _ENDS.index(ended_by))
        if edge not in self._edges:
            insort(self._edges, edge)

    def _happens(self, position: int, what: int, side: int) -> None:
        own = self._sides[side]
        if what == _SILENCE_ENDS:
            own.silence = _Sure(0, position)
        elif what == _SILENCE_BEGINS:
            own.silence = _Sure(DOWN, position)
        elif what == _SPEECH_ENDS:
            own.speech = _Sure(0, position)
            own.ended = position
        elif what == _BREAKS:
            for each in self._sides:
                each.ended = _NONE

    def _turn(self, side: int, position: int, spans: list[Span]) -> None:
        """Judge speech that begins: it interrupts, or answers, or neither."""
        own, other = self._sides[side], self._sides[1 - side]
        if other.speech.confirmed == UP:
            own.interruptions += 1
        elif other.ended > own.ended:
            spans.append(Span(0, SilenceEventKind.RESPONSE, side, other.ended, position, ended_by=EndedBy.SPEECH))
            own.responses += 1
            own.response_sum += position - other.ended


def lag_of(limits: Limits, rate_hz: int) -> int:
    """Return for how many samples a run may stay unconfirmed: up within its minimum and one pause, down within one."""
    return limits.run[UP] + limits.run[DOWN] - (-rate_hz // BLOCKS_PER_S)


def shares(totals: Sequence[ActivityWindow]) -> list[ActivityWindow]:
    """Return the totals of both sides with each one's share of the talk."""
    speech = sum(window.speech_ms for window in totals)
    if len(totals) != SIDES or speech <= 0:
        return list(totals)
    return [replace(window, talk_share_ratio=window.speech_ms / speech) for window in totals]


def packed(pairs: Mapping[int, Pair], slots: Sequence[int]) -> bytes:
    """Return canonical bytes; `slots` are all used ones in the order of their sessions."""
    found = [[index, *pairs[slot].numbers()] for index, slot in enumerate(slots) if slot in pairs]
    out = io.BytesIO()
    schemaless_writer(out, _SCHEMA, found)
    return out.getvalue()


def unpacked(content: bytes, slots: Sequence[int]) -> dict[int, Pair]:
    """Return the pairs of a snapshot. Other bytes raise what fastavro and the containers raise."""
    data = io.BytesIO(content)
    found: Any = schemaless_reader(data, _SCHEMA, None)
    if data.read():
        message = "more bytes than pairs"
        raise ValueError(message)
    return {slots[index]: Pair(numbers) for index, *numbers in found}
