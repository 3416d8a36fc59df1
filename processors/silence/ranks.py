"""Many G.711 blocks of one length → sum of squares, largest square and clipped samples of each side.

A byte without its sign is the rank of its magnitude; a table gives the squares of two neighbouring ranks at once. Bytes
go in words of eight, turned so that one word of every block lies side by side: each step then runs over long rows, and
what is left of a block at the end is one number for each byte of a word. Squares are kept in units that let these
numbers be of 32 bits.
"""

from dataclasses import dataclass
from functools import cache, reduce
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from audio import g711
from processors.silence.media import Numbers
from schemas.symbols import Codec

_WORD_BYTES: Final = 8
_RANKS: Final = 128
_ONES: Final = 0x0101010101010101
_CHUNK_BYTES: Final = 65_536
"""What is in work at one time stays in the cache."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """One law: bytes differ from ranks by the bits of `flip` (and the sign); `pairs` holds squares in `unit`."""

    flip: int
    unit: int
    squares: Numbers
    pairs: NDArray[np.uint64]
    most_words: int
    """Longer blocks could overflow."""


@cache
def ranking(codec: int) -> Ranking | None:
    """Return the ranking of a codec, given by its code; None where bytes have none."""
    if codec == Codec.PCMU.code:
        return _ranking(g711.PCMU_SQUARES, 0xFF, 4 * 4)
    if codec == Codec.PCMA.code:
        return _ranking(g711.PCMA_SQUARES, 0x55, 8 * 8)
    return None


def _ranking(table: NDArray[np.int64], flip: int, unit: int) -> Ranking:
    squares = table[np.arange(_RANKS) ^ flip]
    pair = np.arange(_RANKS << 8, dtype=np.uint16).view(np.uint8).reshape(-1, 2) % _RANKS
    pairs = (squares // unit).astype(np.uint32)[pair].view(np.uint64).reshape(-1)
    most = min(255, 0xFFFF_FFFF // (int(squares.max()) // unit))
    return Ranking(flip, unit, squares, pairs, most)


def fits(block_bytes: int, how: Ranking) -> bool:
    """Tell whether blocks of this many bytes can be measured here."""
    return block_bytes % _WORD_BYTES == 0 and 0 < block_bytes <= how.most_words * _WORD_BYTES


def measure(blocks: NDArray[np.uint8], sides: int, how: Ranking) -> tuple[Numbers, Numbers, Numbers]:
    """Return sums of squares, largest squares and numbers of clipped samples, each (sides, blocks).

    `blocks` has a row of bytes per block, its samples by time and in each sample by side. Raises nothing for blocks
    that `fits`.
    """
    words = blocks.view(np.uint64)
    count, depth = words.shape
    step = max(1, _CHUNK_BYTES // (depth * _WORD_BYTES))
    room = np.empty(step * depth * _WORD_BYTES // 2, np.uint64)
    sums = np.empty((count, _WORD_BYTES), np.uint32)
    tops, clips = (np.empty((count, _WORD_BYTES), np.uint8) for _ in range(2))
    flip, magnitude = np.uint64(how.flip * _ONES), np.uint64((_RANKS - 1) * _ONES)
    for low in range(0, count, step):
        turned = np.ascontiguousarray(words[low : low + step].T)
        np.bitwise_xor(turned, flip, out=turned)
        np.bitwise_and(turned, magnitude, out=turned)
        pairs, ranks = turned.view(np.uint16), turned.view(np.uint8)
        squares = room[: pairs.size].reshape(pairs.shape)
        # every pair is in the table: "clip" only spares numpy a check and a copy
        np.take(how.pairs, pairs, out=squares, mode="clip")
        part = slice(low, low + step)
        np.add.reduce(squares.view(np.uint32), axis=0, dtype=np.uint32, out=sums[part].reshape(-1))
        np.maximum.reduce(ranks, axis=0, out=tops[part].reshape(-1))
        loudest = (ranks == _RANKS - 1).view(np.uint8)
        np.add.reduce(loudest, axis=0, dtype=np.uint8, out=clips[part].reshape(-1))
    return (
        _fold(np.add, sums.astype(np.int64), sides) * how.unit,
        how.squares[_fold(np.maximum, tops, sides)],
        _fold(np.add, clips.astype(np.int64), sides),
    )


def _fold(join: np.ufunc, columns: NDArray[np.generic], sides: int) -> NDArray[Any]:
    """Join the columns of each side, of a row per block: (sides, blocks)."""
    # a column at a time: numpy's own reduction over a short axis takes ten times as long
    return np.stack([reduce(join, columns[:, side::sides].T) for side in range(sides)])
