"""Audio without holes, all sessions of a poll at once: rows → blocks → classes → spans and windows.

Nothing here loops over frames. Python runs only for sessions in which a class changes or a minimum may be reached, and
for windows that are complete.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audio.frames import Frames
from processors.silence import state as columns
from processors.silence.breaks import machine_of
from processors.silence.detector import Blocks, Detector
from processors.silence.media import BLOCKS_PER_S, SIDES_OF, Numbers, Rows, distinct
from processors.silence.pieces import Pieces, pieces_of
from processors.silence.report import Report
from processors.silence.spans import Change
from processors.silence.state import SIDES, SilenceState
from processors.silence.tuning import Tuning, limits

_SIDE_COUNT = np.array([len(SIDES_OF.get(layout, ("",))) for layout in range(128)], np.int64)
_NEVER = 1 << 62


def firsts(*keys: Numbers) -> NDArray[np.bool_]:
    """Return True where one of the keys differs from the element before."""
    changed = keys[0][1:] != keys[0][:-1]
    for key in keys[1:]:
        changed |= key[1:] != key[:-1]
    return np.append(np.True_, changed)[: len(keys[0])]


def lasts(first: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return True in front of each True of `first`, and at the end."""
    return np.append(first[1:], np.True_)[: len(first)]


def heads_before(rows: Rows, first: NDArray[np.bool_], heads: Numbers) -> Numbers:
    """Return the head of the timeline in front of each row; `heads` are the sessions' own, in their order."""
    rank = np.cumsum(first) - 1
    base = rank << 43  # positions end at 2^42, samples of a row at 2^32: sessions cannot reach each other
    ends = rows.position + rows.samples
    ends[first] = np.maximum(ends[first], heads)
    inclusive: Numbers = np.maximum.accumulate(ends + base) - base
    before = np.append(heads[:1], inclusive[:-1])
    before[first] = heads
    return before


@dataclass(frozen=True, slots=True)
class _Units:
    """Complete blocks: piece `last` completed the one of `slot`, [start, end); `sums` has a row per side."""

    slot: Numbers
    last: Numbers
    row: Numbers
    start: Numbers
    end: Numbers
    sums: Numbers


@dataclass(frozen=True, slots=True)
class _Runs:
    """Where a channel's class changes: the channel `of`, its side, the unit, the sum of squares `before` it."""

    of: Numbers
    side: Numbers
    unit: Numbers
    start: Numbers
    classes: Numbers
    before: Numbers


class Stretches:
    """Takes audio that goes on where each session's audio ended."""

    def __init__(self, state: SilenceState, tuning: Tuning, detector: Detector, report: Report) -> None:
        self._state = state
        self._tuning = tuning
        self._detector = detector
        self._report = report

    def take(self, frames: Frames, rows: Rows) -> None:
        """Take audio rows, by session; none begins in front of its session's head."""
        session = self._state.session
        first = rows.firsts()
        slots = rows.slot[first]
        rate_hz = session[rows.slot, columns.RATE]
        before = heads_before(rows, first, session[slots, columns.HEAD])
        end = np.maximum(rows.position + rows.samples, before)
        pieces = pieces_of(frames, rows, rate_hz, before, end - before)
        units = self._units(rows, pieces)
        session[slots, columns.HEAD] = end[lasts(first)]
        spoken = np.zeros((2, SIDES, len(pieces.of)), np.int64)
        if len(units.slot):
            self._classify(units, spoken)
        unheard = slots[session[slots, columns.ANALYSED] == 0]
        session[unheard, columns.BLOCK] = session[unheard, columns.HEAD]
        self._windows(frames, rows, pieces, spoken)

    def _units(self, rows: Rows, pieces: Pieces) -> _Units:
        """Join pieces to blocks, with what earlier polls left; keep what is unfinished."""
        state = self._state
        slot = rows.slot[pieces.of]
        heard = (pieces.end > pieces.start) & (state.session[slot, columns.ANALYSED] != 0)
        index = np.flatnonzero(heard)
        if len(index) == 0:
            none = np.zeros(0, np.int64)
            return _Units(none, none, none, none, none, np.zeros((SIDES, 0), np.int64))
        slot, block = slot[index], pieces.block[index]
        first = firsts(slot, block)
        begin = np.flatnonzero(first)
        sums = np.add.reduceat(pieces.squares[:, index], begin, axis=1)
        slot, block = slot[begin], block[begin]
        last = index[lasts(first)]
        start, end = pieces.start[index[begin]], pieces.end[last]
        opening = firsts(slot)
        openers = slot[opening]
        sums[:, opening] += state.channel[openers, :, columns.CARRY].T
        start[opening] = state.session[openers, columns.BLOCK]
        closing = lasts(opening)
        rate_hz = state.session[slot, columns.RATE]
        complete = end == -(-(block + 1) * rate_hz // BLOCKS_PER_S)
        rest = closing & ~complete
        closers = slot[closing]
        state.channel[closers, :, columns.CARRY] = 0
        state.session[closers, columns.BLOCK] = end[closing]
        state.channel[slot[rest], :, columns.CARRY] = sums[:, rest].T
        state.session[slot[rest], columns.BLOCK] = start[rest]
        last = last[complete]
        row = rows.row[pieces.of[last]]
        return _Units(slot[complete], last, row, start[complete], end[complete], sums[:, complete])

    def _classify(self, units: _Units, spoken: Numbers) -> None:
        """Decide each block of each side; find spans. Adds the blocks' samples to `spoken` [speech, silence]."""
        channel = self._state.channel
        stereo = np.flatnonzero(_SIDE_COUNT[self._state.session[units.slot, columns.LAYOUT]] > 1)
        unit = np.concatenate((np.arange(len(units.slot)), stereo))
        side = np.zeros(len(unit), np.int64)
        side[len(units.slot) :] = 1
        slot = units.slot[unit]
        sums = units.sums[side, unit]
        samples = (units.end - units.start)[unit]
        first = firsts(slot, side)
        memory = self._detector.memories(Blocks(sums, samples, first, channel[slot, side, columns.MEMORY]))
        active = memory & 1
        spoken[1 - active, side, units.last[unit]] = samples
        begin = np.flatnonzero(first)
        of = np.cumsum(first) - 1
        before = np.cumsum(sums) - sums
        before += (channel[slot[begin], side[begin], columns.HEARD_SUM] - before[begin])[of]
        classes = active + 1
        previous = np.empty_like(classes)
        previous[1:] = classes[:-1]
        previous[begin] = channel[slot[begin], side[begin], columns.RUN]
        changed = np.flatnonzero(classes != previous)
        closing = np.flatnonzero(lasts(first))
        channel[slot[closing], side[closing], columns.MEMORY] = memory[closing]
        channel[slot[closing], side[closing], columns.HEARD_SUM] = (before + sums)[closing]
        runs = _Runs(
            of=of[changed],
            side=side[changed],
            unit=unit[changed],
            start=units.start[unit[changed]],
            classes=classes[changed],
            before=before[changed],
        )
        self._find_spans(units, runs, slot[begin], side[begin], units.end[unit[closing]])

    def _find_spans(self, units: _Units, runs: _Runs, slot: Numbers, side: Numbers, head: Numbers) -> None:
        """Run the span machine where a span begins or ends; elsewhere only note the last run.

        `slot`, `side` and `head` describe the channels; `runs.of` says which of them a run belongs to.
        """
        state = self._state
        minimum, joint = self._limits(slot)
        last = lasts(firsts(runs.of))
        end = np.append(runs.start[1:], 0)[: len(last)]
        end[last] = head[runs.of[last]]
        carried_end = head.copy()
        opening = firsts(runs.of)
        carried_end[runs.of[opening]] = runs.start[opening]
        own = state.channel[slot, side]
        run, confirmed = own[:, columns.RUN], own[:, columns.CONFIRMED]
        index = np.arange(len(slot))
        busy = (run != confirmed) & (carried_end - own[:, columns.RUN_START] >= minimum[run, index])
        strong = (runs.classes != confirmed[runs.of]) & (end - runs.start >= minimum[runs.classes, runs.of])
        busy[runs.of[strong]] = True
        session = state.session[slot]
        dead, over = session[:, columns.DEAD], session[:, columns.OVER]
        busy |= head - session[:, columns.DEAD_START] >= joint[np.where(dead < 3, dead, 0), index]  # noqa: PLR2004
        busy |= head - session[:, columns.OVER_START] >= joint[np.where(over == 1, 3, 0), index]
        busy_slot = np.zeros(len(state.session), np.bool_)
        busy_slot[slot[busy]] = True
        idle = last & ~busy_slot[slot[runs.of]]
        at = (slot[runs.of[idle]], side[runs.of[idle]])
        state.channel[(*at, columns.RUN)] = runs.classes[idle]
        state.channel[(*at, columns.RUN_START)] = runs.start[idle]
        state.channel[(*at, columns.RUN_SUM)] = runs.before[idle]
        if busy.any():
            self._spans(units, runs, busy_slot)

    def _limits(self, slot: Numbers) -> tuple[Numbers, Numbers]:
        """Return the minimum of runs by class, and the limits by level of dead air (1, 2) and overtalk (3)."""
        rates = self._state.session[slot, columns.RATE]
        minimum = np.zeros((3, len(slot)), np.int64)
        joint = np.full((4, len(slot)), _NEVER, np.int64)
        for rate_hz in distinct(rates):
            mine = rates == rate_hz
            limit = limits(self._tuning, rate_hz)
            minimum[:, mine] = np.array(limit.run)[:, None]
            joint[1:, mine] = np.array((*limit.dead_air, limit.overtalk))[:, None]
        return minimum, joint

    def _spans(self, units: _Units, runs: _Runs, busy_slot: NDArray[np.bool_]) -> None:
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
        limit_of = {rate_hz: limits(self._tuning, rate_hz) for rate_hz in distinct(session[slots, columns.RATE])}
        sides, joints = [], []
        for index, (slot_of, row, own) in enumerate(loaded):
            low, high = bounds[index], bounds[index + 1]
            machine = machine_of(limit_of[row[columns.RATE]], row, own)
            machine.feed(ends[low:high], starts[low:high], changes[stops[index] : stops[index + 1]])
            sides.append(machine.rows())
            joints.append(machine.joint_row())
            if machine.spans:
                self._report.spans(slot_of, machine.spans, rows[low:high])
        channel[slots, :, columns.CONFIRMED : columns.LONGEST + 1] = sides
        session[slots, columns.DEAD : columns.OVER_TOTAL + 1] = joints

    def _windows(self, frames: Frames, rows: Rows, pieces: Pieces, spoken: Numbers) -> None:
        """Add the pieces to the windows of their seconds; emit the windows that are complete."""
        state = self._state
        slot = rows.slot[pieces.of]
        second = pieces.block // BLOCKS_PER_S
        first = firsts(slot, second)
        begin = np.flatnonzero(first)
        last = np.flatnonzero(lasts(first))
        counts, levels = self._sums(frames, rows, pieces, spoken, begin)
        sequence = frames.sequence[rows.row] + 1
        counts[:, columns.FIRST] = sequence[pieces.of[begin]]
        counts[:, columns.LAST] = sequence[pieces.of[last]]
        slot, second = slot[begin], second[begin]
        opening = firsts(slot)
        openers = slot[opening]
        self._totals(openers, np.flatnonzero(opening), counts, levels)
        kept = state.session[openers, columns.WINDOW]
        start = kept[:, columns.FIRST].copy()
        kept[:, [columns.FIRST, columns.LAST]] = 0
        counts[opening] += kept
        counts[opening, columns.FIRST] = np.where(start > 0, start, counts[opening, columns.FIRST])
        kept_levels = state.channel[openers][:, :, columns.CHANNEL_WINDOW]
        peak = np.maximum(levels[opening, :, columns.PEAK], kept_levels[:, :, columns.PEAK])
        levels[opening] += kept_levels
        levels[opening, :, columns.PEAK] = peak
        rate_hz = state.session[slot, columns.RATE]
        complete = pieces.end[last] == (second + 1) * rate_hz
        closing = lasts(opening)
        keep = (closing & ~complete)[closing]
        state.session[slot[closing], columns.WINDOW] = counts[closing] * keep[:, None]
        state.channel[slot[closing], :, columns.CHANNEL_WINDOW] = levels[closing] * keep[:, None, None]
        done = np.flatnonzero(complete)
        starts, ends = (second * rate_hz)[done].tolist(), ((second + 1) * rate_hz)[done].tolist()
        row = rows.row[pieces.of[last[done]]].tolist()
        found = (slot[done].tolist(), row, zip(starts, ends, strict=True), counts[done].tolist(), levels[done].tolist())
        for window in zip(*found, strict=True):
            self._report.window(*window)

    def _totals(self, slot: Numbers, begin: Numbers, counts: Numbers, levels: Numbers) -> None:
        """Add what this poll brought to the totals of its sessions."""
        session, channel = self._state.session, self._state.channel
        total = session[slot, columns.TOTAL]
        since = total[:, columns.FIRST].copy()
        total += np.add.reduceat(counts, begin, axis=0)
        total[:, columns.FIRST] = np.where(since > 0, since, counts[begin, columns.FIRST])
        total[:, columns.LAST] = np.maximum.reduceat(counts[:, columns.LAST], begin)
        session[slot, columns.TOTAL] = total
        sums = channel[slot][:, :, columns.CHANNEL_TOTAL]
        peak = np.maximum(sums[:, :, columns.PEAK], np.maximum.reduceat(levels[:, :, columns.PEAK], begin, axis=0))
        sums = sums + np.add.reduceat(levels, begin, axis=0)
        sums[:, :, columns.PEAK] = peak
        channel[slot, :, columns.CHANNEL_TOTAL] = sums

    def _sums(
        self, frames: Frames, rows: Rows, pieces: Pieces, spoken: Numbers, begin: Numbers
    ) -> tuple[Numbers, Numbers]:
        """Return what the pieces of each window add to it: (windows, COUNTS) and (windows, SIDES, LEVELS)."""
        length = pieces.end - pieces.start
        heard = self._state.session[rows.slot, columns.ANALYSED][pieces.of]
        counts = np.zeros((len(begin), columns.COUNTS), np.int64)
        counts[:, columns.AUDIO] = np.add.reduceat(length, begin)
        counts[:, columns.HEARD] = np.add.reduceat(length * heard, begin)
        counts[:, columns.FRAMES] = np.add.reduceat(pieces.first, begin, dtype=np.int64)
        counts[:, columns.BYTES] = np.add.reduceat(frames.payload_bytes[rows.row][pieces.of] * pieces.first, begin)
        levels = np.zeros((len(begin), SIDES, columns.LEVELS), np.int64)
        for column, values in (
            (columns.SQUARES, pieces.squares),
            (columns.CLIPPED, pieces.clipped),
            (columns.SIGNAL, pieces.signal),
            (columns.SPEECH, spoken[0]),
            (columns.SILENCE, spoken[1]),
        ):
            levels[:, :, column] = np.add.reduceat(values, begin, axis=1).T
        levels[:, :, columns.PEAK] = np.maximum.reduceat(pieces.peaks, begin, axis=1).T
        return counts, levels


def _changes(runs: _Runs, busy: NDArray[np.bool_], mine: Numbers, bounds: list[int]) -> tuple[list[Change], list[int]]:
    """Return the changes of the busy units `mine`, one session after another, and where each session's begin and end.

    `bounds` says where each session begins in `mine`; blocks count from there.
    """
    chosen = np.flatnonzero(busy[runs.unit])
    # sides come one after the other, so a stable order by unit has them in their order at each unit
    chosen = chosen[np.argsort(runs.unit[chosen], kind="stable")]
    at = np.searchsorted(mine, runs.unit[chosen])
    stops = np.searchsorted(at, bounds)
    block = at - np.repeat(bounds[:-1], np.diff(stops))
    columns_of = (block, runs.side[chosen], runs.classes[chosen], runs.before[chosen])
    return list(zip(*(column.tolist() for column in columns_of), strict=True)), stops.tolist()
