import numpy as np

from processors.loss.rounds import Rounds
from processors.loss.rows import COLUMN


class Noted:
    """Stands for the ledger and for what steps sessions together: notes which rows it was given."""

    def __init__(self) -> None:
        self.rounds: list[list[int]] = []
        self.alone: list[tuple[int, list[int]]] = []

    def take(self, *given):
        if len(given) == 1:
            (part,) = given
            self.rounds.append(part[COLUMN["row"]].tolist())
            return np.flatnonzero(part[COLUMN["row"]] == 4)
        slot, rows = given
        self.alone.append((slot, [row.row for row in rows]))
        return None


def table(slots: list[int]):
    rows = np.zeros((len(COLUMN), len(slots)), np.int64)
    rows[COLUMN["row"]], rows[COLUMN["slot"]] = range(len(slots)), slots
    return rows


def test_each_round_has_the_next_row_of_each_session_and_thin_rounds_go_by_session():
    noted = Noted()
    Rounds(noted, noted, 3).take(table([5, 1, 3, 1, 5, 3, 1, 1, 5]))
    assert noted.rounds == [[1, 2, 0], [3, 5, 4]]
    assert noted.alone == [(5, [4]), (1, [6, 7]), (5, [8])]


def test_nothing_is_nothing():
    noted = Noted()
    Rounds(noted, noted, 1).take(table([]))
    assert (noted.rounds, noted.alone) == ([], [])
