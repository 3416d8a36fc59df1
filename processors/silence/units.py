"""Pieces → complete blocks of 20 ms, with what earlier polls left of them; what is unfinished stays in the state."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.silence import state as columns
from processors.silence.courses import Courses, ends, firsts
from processors.silence.media import Numbers, Rows, block_start, some
from processors.silence.pieces import Pieces
from processors.silence.state import SilenceState
from processors.silence.voices import SIDES


@dataclass(frozen=True, slots=True)
class Units:
    """Blocks [start, end) by session and time; row `row` completed each, or made what is told of it certain.

    `rank` is the place of a block's session in `Courses`. `sums` are sums of squares, a row per side.
    """

    rank: Numbers
    row: Numbers
    start: Numbers
    end: Numbers
    sums: Numbers

    @classmethod
    def none(cls) -> "Units":
        """Return no blocks."""
        none = np.zeros(0, np.int64)
        return cls(none, none, none, none, np.zeros((SIDES, 0), np.int64))

    def only(self, chosen: NDArray[np.bool_]) -> "Units":
        """Return the blocks where `chosen` is True."""
        part = some(chosen.nonzero()[0], len(chosen))
        return Units(self.rank[part], self.row[part], self.start[part], self.end[part], self.sums[:, part])


def units_of(state: SilenceState, courses: Courses, rows: Rows, pieces: Pieces) -> Units:
    """Join pieces to blocks, with what earlier polls left; keep what is unfinished."""
    session, rank = courses.session, courses.rank[pieces.of]
    heard = ((pieces.end > pieces.start) & (session[rank, columns.ANALYSED] != 0)).nonzero()[0]
    if len(heard) == 0:
        return Units.none()
    part = some(heard, len(rank))
    rank, block = rank[part], pieces.block[part]
    begin = firsts(rank, block).nonzero()[0]
    last = heard[ends(begin, len(rank))]
    sums = np.add.reduceat(pieces.levels[columns.SQUARES][:, part], begin, axis=1)
    rank, block, start, end = rank[begin], block[begin], pieces.start[heard[begin]], pieces.end[last]
    opening = firsts(rank).nonzero()[0]
    closing = ends(opening, len(rank))
    who = rank[opening]
    carried = (courses.slot[who], slice(None), columns.CARRY)
    sums[:, opening] += state.channel[carried].T
    start[opening] = session[who, columns.BLOCK]
    complete = end == block_start(block + 1, session[rank, columns.RATE])
    finished = complete[closing]
    state.channel[carried] = np.where(finished, 0, sums[:, closing]).T
    session[who, columns.BLOCK] = np.where(finished, end[closing], start[closing])
    return Units(rank, rows.row[pieces.of[last]], start, end, sums).only(complete)
