"""The pairs of a partition's sessions: records of their lanes in, the same with what both lanes have in common out.

A session is paired from the first record on that a numbered packet of one side causes, until the totals of its lanes
are told. Records come row by row, so what is found depends on their order alone, not on polls.
"""

import dataclasses
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple, TypeGuard

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

    `numbered`: a numbered packet of one side is what caused it.
    """

    row: int
    lane: int
    slot: int
    numbered: bool
    record: Told | int


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
        sided = [record for one in found if (record := _of_side(one))]
        if slot not in pairs and sided and any(one.numbered for one in found):
            pairs[slot] = Pair()
        pair = pairs.get(slot)
        if pair is None or not sided:
            return told
        last = sided[-1]
        limit = limits(self._tuning.at(int(self._state.place[LANES * slot])), last.sample_rate_hz)
        for one in found:
            if isinstance(one.record, int):
                pair.interrupt(one.lane, one.record)
            elif _of_side(one):
                pair.take(one.lane, one.record, lag_of(limit, last.sample_rate_hz))
        events = [self._event(span, last) for span in pair.advance(limit, last.sample_rate_hz)]
        totals = [record for record in sided if _is_total(record)]
        ends = shares([pair.total(_SIDES[record.channel], record, record.sample_rate_hz) for record in totals])
        for record in totals:
            pair.leave(_SIDES[record.channel])
        if pair.left:
            del pairs[slot]
        return [*(record for record in told if not _is_total(record)), *events, *ends]

    def _event(self, span: Span, record: Told) -> SilenceEvent:
        shared = {name: getattr(record, name) for name in _SHARED}
        length = span.end - span.start
        return SilenceEvent(
            **{
                **shared,
                "kind": span.kind,
                "channel": Channel.ALL if span.side == ALL else _CHANNELS[span.side],
                "start_samples": span.start,
                "end_samples": span.end,
                "duration_ms": length * _MS / record.sample_rate_hz if span.end >= 0 else -1,
                "ended_by": span.ended_by,
                "alarm": span.alarm,
                "detector": self._detector(record.sample_rate_hz),
            }
        )


def _is_total(record: Told) -> TypeGuard[ActivityWindow]:
    return isinstance(record, ActivityWindow) and record.kind is ActivityKind.TOTAL


def _of_side(found: Found) -> Told | None:
    """Return a record of a lane that holds one side; None for others."""
    record = found.record
    if isinstance(record, int):
        return None
    return record if _SIDES.get(record.channel) == found.lane else None
