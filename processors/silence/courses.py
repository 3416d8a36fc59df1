"""How far each session of a poll had come in front of each of its rows, and its rows of the state to work in.

Rows that belong together stand side by side: `firsts` and `ends` bound them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.silence import state as columns
from processors.silence.media import Numbers, Rows
from processors.silence.state import SilenceState

_POSITION_BITS = 43
"""Positions end at 2^42, samples of a row at 2^32: sessions so far apart cannot reach each other."""


@dataclass(frozen=True, slots=True)
class Courses:
    """The sessions of some rows, in their order.

    Session i begins at row `begin[i]`; `rank` is the session of each row. `before` and `end` are the head of the
    timeline in front of each row and behind it. `session` is a copy of the sessions' rows of the state.
    """

    slot: Numbers
    begin: Numbers
    rank: Numbers
    before: Numbers
    end: Numbers
    session: Numbers

    @classmethod
    def of(cls, state: SilenceState, rows: Rows) -> "Courses":
        """Follow the rows of each session from the head its state has."""
        first = firsts(rows.slot)
        begin = first.nonzero()[0]
        slot = rows.slot[begin]
        session = state.session.take(slot, axis=0)
        heads = session[:, columns.HEAD]
        rank = first.cumsum() - 1
        base = rank << _POSITION_BITS
        end = rows.position + rows.samples
        end[begin] = np.maximum(end[begin], heads)
        end += base
        np.maximum.accumulate(end, out=end)
        end -= base
        before = np.empty_like(end)
        before[1:] = end[:-1]
        before[begin] = heads
        return cls(slot, begin, rank, before, end, session)


def firsts(*keys: Numbers) -> NDArray[np.bool_]:
    """Return True where one of the keys differs from the element before."""
    first = np.empty(len(keys[0]), np.bool_)
    first[:1] = True
    changed = np.not_equal(keys[0][1:], keys[0][:-1], out=first[1:])
    for key in keys[1:]:
        changed |= key[1:] != key[:-1]
    return first


def ends(begin: Numbers, count: int) -> Numbers:
    """Return the last of the elements that belong together, of each that begins one; there are `count` in all."""
    last = np.empty(len(begin), np.int64)
    last[:-1] = begin[1:]
    last[-1:] = count
    last -= 1
    return last
