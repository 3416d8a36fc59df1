"""Pieces and what is told of blocks → the seconds of each session in numbers, and its totals.

A second is stated when its last block is told of, which is a block later: until then its numbers wait in the state.
"""

import numpy as np

from audio.frames import Frames
from processors.silence import state as columns
from processors.silence.media import BLOCKS_PER_S, Numbers, Rows
from processors.silence.pieces import Pieces
from processors.silence.report import Report
from processors.silence.state import SilenceState
from processors.silence.telling import Told
from processors.silence.units import Units, firsts, lasts
from processors.silence.voices import SIDES

_SLOT = 43
"""Positions and seconds stay below this power of two."""


class Windows:
    """Adds up seconds; `state` has the row of each session behind its pieces."""

    def __init__(self, state: SilenceState, report: Report) -> None:
        self._state = state
        self._report = report

    def take(self, frames: Frames, rows: Rows, pieces: Pieces, sample_sums: Numbers, told: Told) -> None:
        """Add the pieces to the windows of their seconds; emit the windows that are complete and told of."""
        state = self._state
        slot = rows.slot[pieces.of]
        second = pieces.block // BLOCKS_PER_S
        first = firsts(slot, second)
        begin = np.flatnonzero(first)
        last = np.flatnonzero(lasts(first))
        counts, levels = self._sums(frames, rows, pieces, begin)
        levels[:, :, columns.SAMPLE_SUM] = np.add.reduceat(sample_sums, begin, axis=1).T
        sequence = frames.sequence[rows.row] + 1
        counts[:, columns.FIRST] = sequence[pieces.of[begin]]
        counts[:, columns.LAST] = sequence[pieces.of[last]]
        slot, second = slot[begin], second[begin]
        self._add(slot, second, levels, told)
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
        end = (second + 1) * rate_hz
        complete = pieces.end[last] == end
        closing = lasts(opening)
        keep = (closing & ~complete)[closing]
        state.session[slot[closing], columns.WINDOW] = counts[closing] * keep[:, None]
        state.channel[slot[closing], :, columns.CHANNEL_WINDOW] = levels[closing] * keep[:, None, None]
        own = state.session[slot]
        waits = complete & (own[:, columns.LATE] < own[:, columns.BLOCK]) & (own[:, columns.BLOCK] == end)
        state.session[slot[waits], columns.WAITING] = counts[waits]
        state.channel[slot[waits], :, columns.CHANNEL_WAITING] = levels[waits]
        done = np.flatnonzero(complete & ~waits)
        row = _rows_of(told.units, slot[done], end[done], rows.row[pieces.of[last[done]]]).tolist()
        extents = zip((second * rate_hz)[done].tolist(), end[done].tolist(), strict=True)
        for window in zip(slot[done].tolist(), row, extents, counts[done].tolist(), levels[done].tolist(), strict=True):
            self._report.window(*window)

    def _add(self, slot: Numbers, second: Numbers, levels: Numbers, told: Told) -> None:
        """Add the blocks told of to their windows. Those of a window that waits complete it: it is emitted."""
        units, channel = told.units, self._state.channel
        if len(units.slot) == 0:
            return
        keys = slot << _SLOT | second
        own = units.slot << _SLOT | units.start // self._state.session[units.slot, columns.RATE]
        place = np.minimum(np.searchsorted(keys, own), len(keys) - 1)
        waited = keys[place] != own
        length = units.end - units.start
        late = waited[told.unit]
        flat = levels.reshape(-1)
        for column, chosen, values in (
            (columns.SPEECH, told.speech, length),
            (columns.SILENCE, ~told.active, length),
            (columns.SOUND, told.active & ~told.speech, length),
            (columns.QUIET_SQUARES, ~told.active, None),
        ):
            here, there = np.flatnonzero(chosen & ~late), np.flatnonzero(chosen & late)
            unit, side = told.unit[here], told.side[here]
            value = units.sums[side, unit] if values is None else values[unit]
            np.add.at(flat, (place[unit] * SIDES + side) * columns.LEVELS + column, value)
            unit, side = told.unit[there], told.side[there]
            value = units.sums[side, unit] if values is None else values[unit]
            for window in (columns.CHANNEL_WAITING.start, columns.CHANNEL_TOTAL.start):
                channel[units.slot[unit], side, window + column] += value
        for index in np.flatnonzero(waited).tolist():
            self._report.waiting(int(units.slot[index]), int(units.row[index]), int(units.start[index]))

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

    def _sums(self, frames: Frames, rows: Rows, pieces: Pieces, begin: Numbers) -> tuple[Numbers, Numbers]:
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
        ):
            levels[:, :, column] = np.add.reduceat(values, begin, axis=1).T
        levels[:, :, columns.PEAK] = np.maximum.reduceat(pieces.peaks, begin, axis=1).T
        return counts, levels


def _rows_of(units: Units, slot: Numbers, end: Numbers, own: Numbers) -> Numbers:
    """Return the row that told of the block that ends at `end`; `own` where no block of the session is told of."""
    if len(units.slot) == 0 or len(slot) == 0:
        return own
    keys, wanted = units.slot << _SLOT | units.end, slot << _SLOT | end
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, units.row[place], own)
