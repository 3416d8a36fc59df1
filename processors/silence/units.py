"""Pieces → complete blocks of 20 ms, with what earlier polls left of them; what is unfinished stays in the state."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.silence import state as columns
from processors.silence.media import BLOCKS_PER_S, Numbers, Rows
from processors.silence.pieces import Pieces
from processors.silence.state import SilenceState
from processors.silence.voices import SIDES


@dataclass(frozen=True, slots=True)
class Units:
    """Blocks [start, end) by session and time; row `row` completed each, or made what is told of it certain.

    `sums` are sums of squares, a row per side.
    """

    slot: Numbers
    row: Numbers
    start: Numbers
    end: Numbers
    sums: Numbers

    @classmethod
    def none(cls) -> "Units":
        """Return no blocks."""
        none = np.zeros(0, np.int64)
        return cls(none, none, none, none, np.zeros((SIDES, 0), np.int64))


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


def units_of(state: SilenceState, rows: Rows, pieces: Pieces) -> Units:
    """Join pieces to blocks, with what earlier polls left; keep what is unfinished."""
    slot = rows.slot[pieces.of]
    heard = (pieces.end > pieces.start) & (state.session[slot, columns.ANALYSED] != 0)
    index = np.flatnonzero(heard)
    if len(index) == 0:
        return Units.none()
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
    row = rows.row[pieces.of[last[complete]]]
    return Units(slot[complete], row, start[complete], end[complete], sums[:, complete])
