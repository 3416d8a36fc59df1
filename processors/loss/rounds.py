"""A poll in rounds: the first row of every session, then every second one, and so on.

Sessions are stepped together, in columns, where many have a row left and it changes nothing but counts; all other rows
go one by one through the ledger, in the order of their session.
"""

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.session import by_slot
from processors.loss.ledger import Ledger
from processors.loss.plain import Plain
from processors.loss.rows import COLUMN, rows_of

MIN_ROUND: Final = 24
"""Fewer rows are done sooner one by one."""
_SLOT: Final = COLUMN["slot"]


class Rounds:
    """Takes the rows of one poll: `plain` those that can be stepped together, `ledger` the others."""

    def __init__(self, plain: Plain, ledger: Ledger, min_round: int) -> None:
        self._plain = plain
        self._ledger = ledger
        self._min_round = min_round

    def take(self, table: NDArray[np.int64]) -> None:
        """Take accepted rows, in the order of the poll."""
        count = table.shape[1]
        if count == 0:
            return
        order = by_slot(table[_SLOT])
        grouped = table[_SLOT][order]
        first = np.flatnonzero(np.append(np.True_, grouped[1:] != grouped[:-1]))
        sizes = np.diff(np.append(first, count))
        rank = np.arange(count) - np.repeat(first, sizes)
        counts = np.bincount(rank)
        rounds = int(np.count_nonzero(counts >= self._min_round))
        if rounds:
            by_rank = order[by_slot(rank)]
            at = 0
            for size in counts[:rounds].tolist():
                self._round(table, by_rank[at : at + size])
                at += size
        left = order[rank >= rounds]
        if len(left):
            self._one_by_one(table, left)

    def _round(self, table: NDArray[np.int64], rows: NDArray[np.intp]) -> None:
        """Take at most one row of each session."""
        part = table[:, rows]
        others = self._plain.take(part)
        for row in rows_of(part[:, others]):
            self._ledger.take(row.slot, (row,))

    def _one_by_one(self, table: NDArray[np.int64], rows: NDArray[np.intp]) -> None:
        """Take rows grouped by session."""
        slots = table[_SLOT][rows]
        bounds = [0, *(np.flatnonzero(slots[1:] != slots[:-1]) + 1).tolist(), len(rows)]
        for at, stop in pairwise(bounds):
            self._ledger.take(int(slots[at]), rows_of(table[:, rows[at:stop]]))
