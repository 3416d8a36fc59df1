"""Audio without holes, all sessions of a poll at once: rows → blocks → classes → spans and windows.

Nothing here loops over frames. Python runs only for sessions in which a class changes or a minimum may be reached, and
for windows that are complete.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.frames import Frames
from processors.silence import state as columns
from processors.silence.breaks import machine_of
from processors.silence.hearing import Hearing
from processors.silence.media import Numbers, Rows, distinct
from processors.silence.pieces import pieces_of
from processors.silence.report import Report
from processors.silence.samples import pcm_of, sound_of
from processors.silence.spans import Change
from processors.silence.state import SilenceState
from processors.silence.telling import Told, tell
from processors.silence.tracks import DOWN, NEVER, UP
from processors.silence.tuning import Tuning, limits
from processors.silence.units import Units, firsts, heads_before, lasts, units_of
from processors.silence.windows import Windows

_PLACES: Final = 20
_MOST_PLACES: Final = (1 << _PLACES) - 1


@dataclass(frozen=True, slots=True)
class _Runs:
    """Where the class of a track changes: the channel `of`, its side, the unit, the sums in front (squares, `odds`)."""

    of: Numbers
    side: Numbers
    unit: Numbers
    start: Numbers
    classes: Numbers
    before: Numbers
    odds: Numbers


@dataclass(frozen=True, slots=True)
class _Channels:
    """Channels of which something is told: the first block of each, and up to where it is told."""

    slot: Numbers
    side: Numbers
    head: Numbers


class Stretches:
    """Takes audio that goes on where each session's audio ended."""

    def __init__(self, state: SilenceState, tuning: Tuning, hearing: Hearing, report: Report) -> None:
        self._state = state
        self._tuning = tuning
        self._hearing = hearing
        self._report = report
        self._windows = Windows(state, report)

    def take(self, frames: Frames, rows: Rows) -> None:
        """Take audio rows, by session; none begins in front of its session's head."""
        session = self._state.session
        first = rows.firsts()
        slots = rows.slot[first]
        before = heads_before(rows, first, session[slots, columns.HEAD])
        end = np.maximum(rows.position + rows.samples, before)
        pieces = pieces_of(frames, rows, session[rows.slot, columns.RATE], before, end - before)
        waiting = session[slots, columns.HEAD] - session[slots, columns.BLOCK]
        units = units_of(self._state, rows, pieces)
        session[slots, columns.HEAD] = end[lasts(first)]
        pcm = pcm_of(frames, rows, pieces)
        voiced = self._hearing.by_voice(session[slots, columns.VOICED]).any()
        sound = sound_of(self._state, pcm, rows, pieces, waiting) if voiced else None
        told = tell(self._state, self._hearing, units, sound) if len(units.slot) else Told.nothing()
        if len(told.unit):
            self._find_spans(told)
        unheard = slots[session[slots, columns.ANALYSED] == 0]
        session[unheard, columns.BLOCK] = session[unheard, columns.LATE] = session[unheard, columns.HEAD]
        self._windows.take(frames, rows, pieces, pcm.sums(), told)

    def _runs(self, told: Told, track: int) -> tuple[_Runs, _Channels]:
        """Find where a track's class changes; note the last run of each channel."""
        units, channel = told.units, self._state.channel
        slot = units.slot[told.unit]
        first = firsts(slot, told.side)
        begin, closing = np.flatnonzero(first), np.flatnonzero(lasts(first))
        classes = (told.speech if track else told.active) + np.int64(DOWN)
        previous = np.empty_like(classes)
        previous[1:] = classes[:-1]
        previous[begin] = channel[slot[begin], told.side[begin], columns.TRACKS[track] + columns.RUN]
        changed = np.flatnonzero(classes != previous)
        runs = _Runs(
            of=(np.cumsum(first) - 1)[changed],
            side=told.side[changed],
            unit=told.unit[changed],
            start=units.start[told.unit[changed]],
            classes=classes[changed],
            before=told.before[changed],
            odds=told.odds[changed],
        )
        return runs, _Channels(slot[begin], told.side[begin], units.end[told.unit[closing]])

    def _find_spans(self, told: Told) -> None:
        """Run the span machine where a span begins or ends; elsewhere only note the last run."""
        session = self._state.session
        busy_slot = np.zeros(len(session), np.bool_)
        tracks = [self._runs(told, track) for track in range(len(columns.TRACKS))]
        channels = tracks[0][1]
        minimum, joint = self._limits(channels.slot)
        for track, (runs, _) in enumerate(tracks):
            busy_slot[channels.slot[self._busy(track, runs, channels, minimum)]] = True
        own = session[channels.slot]
        dead, over = own[:, columns.DEAD], own[:, columns.OVER]
        index = np.arange(len(channels.slot))
        busy = channels.head - own[:, columns.DEAD_START] >= joint[np.where(dead < 3, dead, 0), index]  # noqa: PLR2004
        busy |= channels.head - own[:, columns.OVER_START] >= joint[np.where(over == 1, 3, 0), index]
        busy |= self._state.channel[channels.slot, channels.side, columns.ASKED] != 0
        busy_slot[channels.slot[busy]] = True
        for track, (runs, _) in enumerate(tracks):
            idle = lasts(firsts(runs.of)) & ~busy_slot[channels.slot[runs.of]]
            at = (channels.slot[runs.of[idle]], runs.side[idle])
            place = columns.TRACKS[track]
            for column, values in (
                (columns.RUN, runs.classes),
                (columns.RUN_START, runs.start),
                (columns.RUN_SUM, runs.before),
                (columns.RUN_ODDS, runs.odds),
            ):
                self._state.channel[(*at, place + column)] = values[idle]
        if busy_slot.any():
            self._spans(told.units, [runs for runs, _ in tracks], busy_slot)

    def _busy(self, track: int, runs: _Runs, channels: _Channels, minimum: Numbers) -> NDArray[np.bool_]:
        """Return True for channels in which the track may confirm something, or tries to."""
        place = columns.TRACKS[track]
        own = self._state.channel[channels.slot, channels.side, place : place + columns.TRACK_COLUMNS]
        run, confirmed = own[:, columns.RUN], own[:, columns.CONFIRMED]
        end = np.append(runs.start[1:], 0)[: len(runs.of)]
        last = lasts(firsts(runs.of))
        end[last] = channels.head[runs.of[last]]
        carried_end = channels.head.copy()
        opening = firsts(runs.of)
        carried_end[runs.of[opening]] = runs.start[opening]
        open_run = (run == DOWN) & (confirmed != DOWN)
        busy: NDArray[np.bool_] = open_run & (carried_end - own[:, columns.RUN_START] >= minimum)
        busy |= own[:, columns.TRIED] != 0
        strong = (runs.classes == UP) | (end - runs.start >= minimum[runs.of])
        busy[runs.of[strong & (runs.classes != confirmed[runs.of])]] = True
        return busy

    def _limits(self, slot: Numbers) -> tuple[Numbers, Numbers]:
        """Return the minimum of runs down, and the limits by level of dead air (1, 2) and overtalk (3)."""
        kinds = self._state.session[slot, columns.RATE] << _PLACES | self._state.place[slot]
        minimum = np.zeros(len(slot), np.int64)
        joint = np.full((4, len(slot)), NEVER, np.int64)
        for kind in distinct(kinds):
            mine = kinds == kind
            limit = limits(self._tuning.at(kind & _MOST_PLACES), kind >> _PLACES)
            minimum[mine] = limit.run[DOWN]
            joint[1:, mine] = np.array((*limit.dead_air, limit.overtalk))[:, None]
        return minimum, joint

    def _spans(self, units: Units, runs: Sequence[_Runs], busy_slot: NDArray[np.bool_]) -> None:
        """Run the span machine of each busy session."""
        mine = np.flatnonzero(busy_slot[units.slot])
        slot = units.slot[mine]
        opening = np.flatnonzero(firsts(slot))
        bounds = [*opening.tolist(), len(mine)]
        changes, stops = _changes(runs, busy_slot[units.slot], mine, bounds)
        ends, starts, rows = units.end[mine].tolist(), units.start[mine].tolist(), units.row[mine].tolist()
        session, channel = self._state.session, self._state.channel
        slots = slot[opening]
        loaded = zip(slots.tolist(), session[slots].tolist(), channel[slots].tolist(), strict=True)
        sides, joints = [], []
        for index, (slot_of, row, own) in enumerate(loaded):
            low, high = bounds[index], bounds[index + 1]
            tuning = self._tuning.at(int(self._state.place[slot_of]))
            machine = machine_of(limits(tuning, row[columns.RATE]), row, own)
            machine.feed(ends[low:high], starts[low:high], changes[stops[index] : stops[index + 1]])
            sides.append(machine.rows())
            joints.append(machine.joint_row())
            if machine.spans:
                self._report.spans(slot_of, machine.spans, rows[low:high])
        channel[slots, :, columns.SPANS] = sides
        session[slots, columns.DEAD : columns.OVER_TOTAL + 1] = joints


def _changes(
    tracks: Sequence[_Runs], busy: NDArray[np.bool_], mine: Numbers, bounds: list[int]
) -> tuple[list[Change], list[int]]:
    """Return the changes of the busy units `mine`, one session after another, and where each session's begin and end.

    `bounds` says where each session begins in `mine`; blocks count from there.
    """
    found = []
    for track, runs in enumerate(tracks):
        chosen = np.flatnonzero(busy[runs.unit])
        at = np.searchsorted(mine, runs.unit[chosen])
        values = (runs.side, runs.classes, runs.before, runs.odds)
        side, classes, before, odds = (column[chosen] for column in values)
        found.append(np.stack((at, side, np.full(len(at), track), classes, before, odds)))
    changes = np.concatenate(found, axis=1)
    # by unit, and of each unit by side and track
    changes = changes[:, np.lexsort(changes[2::-1])]
    stops = np.searchsorted(changes[0], bounds)
    changes[0] -= np.repeat(bounds[:-1], np.diff(stops))
    return list(zip(*changes.tolist(), strict=True)), stops.tolist()
