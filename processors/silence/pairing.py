"""The pairs of a partition's sessions: records of their lanes in, the same with what both lanes have in common out.

A session is paired from the first record on that a numbered packet of one side causes, until the totals of its lanes
are told. Records come row by row, so what is found depends on their order alone, not on polls.
"""

import dataclasses
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple, TypeGuard

from processors.silence import state as columns
from processors.silence.media import SIDES_OF
from processors.silence.orders import LANES
from processors.silence.pairs import Pair, lag_of, shares
from processors.silence.state import SilenceState
from processors.silence.tracks import ALL, Span
from processors.silence.tuning import Tuning, limits
from schemas.records import ActivityWindow, SilenceEvent
from schemas.symbols import ActivityKind, Channel

_SIDES: Final = {Channel.EXTERNAL: 0, Channel.INTERNAL: 1}
_CHANNELS: Final = tuple(_SIDES)
_SHARED: Final = tuple(
    one.name
    for one in dataclasses.fields(SilenceEvent)
    if one.name in {other.name for other in dataclasses.fields(ActivityWindow)}
    and one.name not in {"kind", "channel", "start_samples", "end_samples", "level_dbfs"}
)
_MS: Final = 1000


Told = SilenceEvent | ActivityWindow


class Found(NamedTuple):
    """A record of a lane, or the position at which the lane's audio stops; the session's slot.

    `numbered`: a numbered packet of one side is what caused it. `rate_hz` and `layout` are those of the lane's audio.
    """

    row: int
    lane: int
    slot: int
    numbered: bool
    record: Told | int
    rate_hz: int
    layout: int

    @classmethod
    def of(cls, state: SilenceState, row: int, lane: int, record: Told | int, *, numbered: bool = False) -> "Found":
        """Return what was found in a lane of the state."""
        rate_hz, layout = state.session[lane, [columns.RATE, columns.LAYOUT]].tolist()
        return cls(row, lane % LANES, lane // LANES, numbered, record, rate_hz, layout)


class Pairing:
    """Joins what is told of the two lanes of each session. `detector` names what judges audio of a rate."""

    def __init__(self, state: SilenceState, tuning: Tuning, detector: Callable[[int], str]) -> None:
        self._state = state
        self._tuning = tuning
        self._detector = detector

    def joined(self, found: Sequence[Found]) -> list[tuple[int, Told]]:
        """Return the rows and records in order: those of a row by lane, then what both have, totals last."""
        out: list[tuple[int, Told]] = []
        for row, group in groupby(sorted(found, key=itemgetter(0, 2, 1)), key=itemgetter(0)):
            for slot, own in groupby(group, key=itemgetter(2)):
                out += [(row, record) for record in self._session(slot, list(own))]
        return out

    def _session(self, slot: int, found: list[Found]) -> list[Told]:
        pairs = self._state.pairs
        told = [one.record for one in found if not isinstance(one.record, int)]
        ours = [one for one in found if SIDES_OF[one.layout] == (_CHANNELS[one.lane],)]
        sided = [one.record for one in ours if not isinstance(one.record, int)]
        if slot not in pairs and sided and any(one.numbered for one in found):
            pairs[slot] = Pair(rate_hz=sided[0].sample_rate_hz)
        pair = pairs.get(slot)
        if pair is None:
            return told
        place = self._tuning.place_of(self._state.table.infos[slot])
        limit = limits(self._tuning.at(place), pair.rate_hz)
        lag = lag_of(limit, pair.rate_hz)
        for one in ours:
            if isinstance(one.record, int):
                pair.interrupt(one.lane, one.record * pair.rate_hz // one.rate_hz)
            else:
                pair.take(one.lane, _at_rate(one.record, pair.rate_hz), lag)
        if not sided:
            return told
        events = [self._event(span, sided[-1], pair.rate_hz) for span in pair.advance(limit)]
        totals = [record for record in sided if _is_total(record)]
        ends = shares([pair.total(_SIDES[record.channel], record) for record in totals])
        last = {record.channel: record for record in sided}
        for record in totals:
            pair.leave(_SIDES[record.channel], returned=last[record.channel] is not record)
        if pair.left:
            del pairs[slot]
        joined = {id(record): end for record, end in zip(totals, ends, strict=True)}
        others = [joined.get(id(record), record) for record in told if _is_total(record)]
        return [*(record for record in told if not _is_total(record)), *events, *others]

    def _event(self, span: Span, record: Told, rate_hz: int) -> SilenceEvent:
        shared = {name: getattr(record, name) for name in _SHARED}
        length = span.end - span.start
        return SilenceEvent(
            **{
                **shared,
                "sample_rate_hz": rate_hz,
                "kind": span.kind,
                "channel": Channel.ALL if span.side == ALL else _CHANNELS[span.side],
                "start_samples": span.start,
                "end_samples": span.end,
                "duration_ms": length * _MS / rate_hz if span.end >= 0 else -1,
                "ended_by": span.ended_by,
                "alarm": span.alarm,
                "detector": self._detector(rate_hz),
            }
        )


def _is_total(record: Told) -> TypeGuard[ActivityWindow]:
    return isinstance(record, ActivityWindow) and record.kind is ActivityKind.TOTAL


def _at_rate(record: Told, rate_hz: int) -> Told:
    """Return a record with its positions at another rate."""
    own_hz = record.sample_rate_hz
    if own_hz == rate_hz:
        return record
    start, end = (max(place * rate_hz // own_hz, -1) for place in (record.start_samples, record.end_samples))
    return dataclasses.replace(record, start_samples=start, end_samples=end)
