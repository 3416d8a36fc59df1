"""Products of whole numbers, exact in whatever order they are summed, and the room they are worked in.

Sums of whole numbers that stay below 2^24 in single precision, or 2^53 in double, are exact: neither order nor shape
nor fused instructions can change them, so a matrix may be multiplied as the library likes.
"""

from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=np.floating[Any])

_ALONE: Final = 1 << 18
"""Multiplications of a product for which OpenBLAS starts no threads."""

_LANES: Final = 8


def multiply(matrix: NDArray[F], columns: NDArray[F], out: NDArray[F]) -> None:
    """Set `out`, (rows, streams), to `matrix` times `columns`, so many streams at a time that no thread is started.

    Exact only for whole numbers whose sums stay below 2^24 or 2^53; whoever calls it sees to that.
    """
    step = max(_LANES, _ALONE // matrix.size // _LANES * _LANES)
    for low in range(0, columns.shape[1], step):
        part = slice(low, low + step)
        np.matmul(matrix, columns[:, part], out=out[:, part])


class Scratch:
    """Room for what lives no longer than a step, kept from step to step: to fetch it anew costs as much as the work.

    Nothing is read from it that the same step has not written. One name is one place: what is no longer needed makes
    room, so that a step stays in the cache.
    """

    def __init__(self) -> None:
        self._room: dict[str, NDArray[np.float64]] = {}

    def array(self, name: str, rows: int, columns: int) -> NDArray[np.float64]:
        """Return (rows, columns) of doubles with anything in them."""
        size = rows * columns
        return self._doubles(name, size)[:size].reshape(rows, columns)

    def singles(self, name: str, rows: int, columns: int) -> NDArray[np.float32]:
        """Return (rows, columns) of single precision with anything in them."""
        size = rows * columns
        return self._doubles(name, (size + 1) // 2).view(np.float32)[:size].reshape(rows, columns)

    def _doubles(self, name: str, size: int) -> NDArray[np.float64]:
        room = self._room.get(name)
        if room is None or len(room) < size:
            room = self._room[name] = np.empty(size)
        return room
