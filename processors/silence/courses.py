"""How far each session of a poll had come in front of each of its rows, and its rows of the state to work in.

Rows that belong together stand side by side: `firsts` and `ends` bound them.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from processors.silence import state as columns
from processors.silence.media import POSITION_BITS, Numbers, Rows
from processors.silence.state import SilenceState


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
        base = rank << POSITION_BITS
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


def turns(begins: Numbers, of: Numbers) -> list[tuple[Numbers | slice, Numbers | slice]]:
    """Return the first of the elements of every group, then the second ones, and so on; and of which groups each are.

    The groups stand one after another; `begins` says where each begins, `of` which one an element is of.
    """
    if len(begins) == len(of):
        return [(slice(None), slice(None))]
    turn = np.arange(len(of)) - begins[of]
    order, bounds = turn.argsort(kind="stable"), np.bincount(turn).cumsum().tolist()
    return [(order[low:high], of[order[low:high]]) for low, high in pairwise((0, *bounds))]
