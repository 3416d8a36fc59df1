"""Pieces and what is told of blocks → the seconds of each session in numbers, and its totals.

A second is stated when its last block is told of, which is a block later: until then its numbers wait in the state.
"""

from typing import Final

import numpy as np

from audio.frames import Frames
from processors.silence import state as columns
from processors.silence.courses import Courses, ends, firsts
from processors.silence.hearing import ACTIVE, SPEECH
from processors.silence.media import BLOCKS_PER_S, POSITION_BITS, Numbers, Rows
from processors.silence.pieces import LEVELS, Pieces
from processors.silence.report import Report
from processors.silence.telling import Told
from processors.silence.units import Units
from processors.silence.voices import SIDES

_COLUMN: Final = np.full(ACTIVE + SPEECH + 1, columns.SPEECH)
_COLUMN[[0, ACTIVE]] = columns.SILENCE, columns.SOUND
"""What a block counts as, by the bits that are told of it."""


class Windows:
    """Adds up seconds; `session` and `channel` have the rows of the sessions of `courses`, behind their pieces."""

    def __init__(self, report: Report, courses: Courses, channel: Numbers) -> None:
        self._report = report
        self._courses = courses
        self._session = courses.session
        self._channel = channel

    def take(self, frames: Frames, rows: Rows, pieces: Pieces, told: Told | None) -> None:
        """Add the pieces to the windows of their seconds; emit the windows that are complete and told of."""
        session, channel = self._session, self._channel
        rank, second = self._courses.rank[pieces.of], pieces.block // BLOCKS_PER_S
        begin = firsts(rank, second).nonzero()[0]
        last = ends(begin, len(rank))
        rank, second = rank[begin], second[begin]
        counts, levels = self._sums(frames, rows, pieces, begin, last)
        if told is not None:
            self._add(rank, second, levels, told)
        opening = firsts(rank).nonzero()[0]
        closing = ends(opening, len(rank))
        self._totals(opening, counts, levels)
        kept, kept_levels = session[:, columns.WINDOW], channel[:, :, columns.CHANNEL_WINDOW]
        counts[opening], levels[opening] = _joined(kept, kept_levels, counts[opening], levels[opening])
        end = (second + 1) * session[rank, columns.RATE]
        complete = pieces.end[last] == end
        under_way = ~complete[closing]
        session[:, columns.WINDOW] = counts[closing] * under_way[:, np.newaxis]
        channel[:, :, columns.CHANNEL_WINDOW] = levels[closing] * under_way[:, np.newaxis, np.newaxis]
        done = complete.nonzero()[0]
        if len(done) == 0:
            return
        own = session[rank[done]]
        waits = (own[:, columns.LATE] < own[:, columns.BLOCK]) & (own[:, columns.BLOCK] == end[done])
        late, done = done[waits], done[~waits]
        session[rank[late], columns.WAITING] = counts[late]
        channel[rank[late], :, columns.CHANNEL_WAITING] = levels[late]
        row = rows.row[pieces.of[last[done]]]
        if told is not None:
            row = _rows_of(told.units, rank[done], end[done], row)
        self._emit(rank[done], row, second[done], counts[done], levels[done])

    def _emit(self, rank: Numbers, row: Numbers, second: Numbers, counts: Numbers, levels: Numbers) -> None:
        """Emit windows of whole seconds."""
        slot, rate_hz = self._courses.slot[rank], self._session[rank, columns.RATE]
        extents = zip((second * rate_hz).tolist(), ((second + 1) * rate_hz).tolist(), strict=True)
        for window in zip(slot.tolist(), row.tolist(), extents, counts.tolist(), levels.tolist(), strict=True):
            self._report.window(*window)

    def _add(self, rank: Numbers, second: Numbers, levels: Numbers, told: Told) -> None:
        """Add the blocks told of to their windows. Those of a window that waits complete it: it is emitted."""
        units, channels = told.units, told.channels
        began = units.start // self._session[units.rank, columns.RATE]
        keys, own = rank << POSITION_BITS | second, units.rank << POSITION_BITS | began
        place = np.minimum(keys.searchsorted(own), len(keys) - 1)
        length = (units.end - units.start)[channels.unit]
        quiet = channels.sums(units) * (told.bits & ACTIVE == 0)
        at = (place[channels.unit] * SIDES + channels.side) * columns.LEVELS
        found = np.array((at, _COLUMN[told.bits], length, quiet))
        waited = keys[place] != own
        if np.count_nonzero(waited):
            late = waited[channels.unit]
            found[0, late] = channels.row[late] * columns.CHANNEL_COLUMNS
            for window in (columns.CHANNEL_WAITING, columns.CHANNEL_TOTAL):
                _count(self._channel, window.start, found[:, late])
            found = found[:, ~late]
            self._emit_waiting(units.rank[waited], units.row[waited], began[waited])
        _count(levels, 0, found)

    def _emit_waiting(self, rank: Numbers, row: Numbers, second: Numbers) -> None:
        """Emit the windows that waited to be told of their last block, and forget them."""
        counts, levels = self._session[rank, columns.WAITING], self._channel[rank, :, columns.CHANNEL_WAITING]
        self._emit(rank, row, second, counts, levels)
        self._session[rank, columns.WAITING] = 0
        self._channel[rank, :, columns.CHANNEL_WAITING] = 0

    def _totals(self, opening: Numbers, counts: Numbers, levels: Numbers) -> None:
        """Add what this poll brought to the totals of its sessions, each of which begins at its `opening`."""
        if len(opening) < len(counts):
            first, last = counts[opening, columns.FIRST], np.maximum.reduceat(counts[:, columns.LAST], opening)
            peak = np.maximum.reduceat(levels[:, :, columns.PEAK], opening, axis=0)
            counts, levels = (np.add.reduceat(values, opening, axis=0) for values in (counts, levels))
            counts[:, columns.FIRST], counts[:, columns.LAST], levels[:, :, columns.PEAK] = first, last, peak
        total, total_levels = self._session[:, columns.TOTAL], self._channel[:, :, columns.CHANNEL_TOTAL]
        total[:], total_levels[:] = _joined(total, total_levels, counts, levels)

    def _sums(
        self, frames: Frames, rows: Rows, pieces: Pieces, begin: Numbers, last: Numbers
    ) -> tuple[Numbers, Numbers]:
        """Return what the pieces of each window add to it: (windows, COUNTS) and (windows, SIDES, LEVELS)."""
        of = pieces.of
        sizes = frames.payload_bytes[rows.row][of] * pieces.first
        length, count, size = np.add.reduceat(np.array((pieces.end - pieces.start, pieces.first, sizes)), begin, axis=1)
        sequence = frames.sequence[rows.row] + 1
        counts = np.zeros((len(begin), columns.COUNTS), np.int64)
        counts[:, columns.AUDIO], counts[:, columns.FRAMES], counts[:, columns.BYTES] = length, count, size
        counts[:, columns.HEARD] = length * self._session[self._courses.rank[of[begin]], columns.ANALYSED]
        counts[:, columns.FIRST], counts[:, columns.LAST] = sequence[of[begin]], sequence[of[last]]
        levels = np.zeros((len(begin), SIDES, columns.LEVELS), np.int64)
        levels[:, :, :LEVELS] = np.add.reduceat(pieces.levels, begin, axis=2).T
        levels[:, :, columns.PEAK] = np.maximum.reduceat(pieces.levels[columns.PEAK], begin, axis=1).T
        return counts, levels


def _count(levels: Numbers, start: int, found: Numbers) -> None:
    """Add blocks to their columns: where their numbers begin, which column, how many samples, and how loud if quiet."""
    at, column, length, quiet = found
    flat = levels.reshape(-1)
    np.add.at(flat, at + start + column, length)
    np.add.at(flat, at + (start + columns.QUIET_SQUARES), quiet)


def _joined(kept_counts: Numbers, kept_levels: Numbers, counts: Numbers, levels: Numbers) -> tuple[Numbers, Numbers]:
    """Return what was kept and what came after it as one."""
    since = kept_counts[:, columns.FIRST]
    joined, sums = kept_counts + counts, kept_levels + levels
    joined[:, columns.FIRST] = np.where(since > 0, since, counts[:, columns.FIRST])
    joined[:, columns.LAST] = counts[:, columns.LAST]
    sums[:, :, columns.PEAK] = np.maximum(kept_levels[:, :, columns.PEAK], levels[:, :, columns.PEAK])
    return joined, sums


def _rows_of(units: Units, rank: Numbers, end: Numbers, own: Numbers) -> Numbers:
    """Return the row that told of the block that ends at `end`; `own` where no block of the session is told of."""
    if len(rank) == 0:
        return own
    keys, wanted = units.rank << POSITION_BITS | units.end, rank << POSITION_BITS | end
    place = np.minimum(keys.searchsorted(wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, units.row[place], own)
