"""Many G.711 blocks of one length → sums of squares and of samples, largest square and clipped samples of each side.

A table gives all that one byte adds to these sums as one number, the sums beside each other in its bits; a byte without
its sign is the rank of its magnitude. Bytes go in words of eight, turned so that one word of every block lies side by
side: each step then runs over long rows, and what is left of a block at the end is one number for each byte of a word.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio import g711
from processors.silence.media import Numbers
from schemas.symbols import Codec

MOST_SAMPLES: Final = 255
"""Of a side of a block: more could overflow."""

_WORD_BYTES: Final = 8
_RANKS: Final = 128
_ONES: Final = 0x0101010101010101
_MAGNITUDE: Final = np.uint64((_RANKS - 1) * _ONES)
_CHUNK_BYTES: Final = 32_768
"""What is in work at one time stays in the cache."""

_SQUARE_BITS: Final = 34
"""Of mu-law, whose largest magnitude is 8,031 units, 255 squares have 34 bits, 255 samples and their offsets 22."""

_SAMPLE_BITS: Final = 22


@dataclass(frozen=True, slots=True)
class Ranking:
    """One law: bytes differ from ranks by the bits of `flip` (and the sign); `sums` holds samples in parts of `unit`.

    A sum has, from the lowest bit: the square, the sample plus `offset`, and 1 if its magnitude is the largest.
    """

    flip: np.uint64
    unit: int
    offset: int
    squares: Numbers
    sums: NDArray[np.uint64]


@cache
def ranking(codec: int) -> Ranking | None:
    """Return the ranking of a codec, given by its code; None where bytes have none."""
    if codec == Codec.PCMU.code:
        return _ranking(g711.PCMU.astype(np.int64), 0xFF, 4)
    if codec == Codec.PCMA.code:
        return _ranking(g711.PCMA.astype(np.int64), 0x55, 8)
    return None


def _ranking(table: Numbers, flip: int, unit: int) -> Ranking:
    samples = table // unit
    offset = int(samples.max())
    clipped = np.abs(samples) == offset
    sums = samples**2 | samples + offset << _SQUARE_BITS | clipped.astype(np.int64) << _SQUARE_BITS + _SAMPLE_BITS
    squares = table[np.arange(_RANKS) ^ flip] ** 2
    return Ranking(np.uint64(flip * _ONES), unit, offset, squares, sums.astype(np.uint64))


def fits(samples: int, sides: int) -> bool:
    """Tell whether blocks of this many samples a side can be measured here."""
    return samples * sides % _WORD_BYTES == 0 and 0 < samples <= MOST_SAMPLES


def measure(blocks: NDArray[np.uint8], sides: int, how: Ranking) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Return sums of squares, largest squares, numbers of clipped samples and sums of samples, each (sides, blocks).

    `blocks` has a row of bytes per block, its samples by time and in each sample by side. Raises nothing for blocks
    that `fits`.
    """
    words = blocks.view(np.uint64)
    count, depth = words.shape
    sums, tops = np.empty((count, _WORD_BYTES), np.uint64), np.empty((count, _WORD_BYTES), np.uint8)
    step = max(1, _CHUNK_BYTES // (depth * _WORD_BYTES))
    room = np.empty(min(step, count) * depth * _WORD_BYTES, np.uint64)
    for low in range(0, count, step):
        part = slice(low, low + step)
        turned = np.ascontiguousarray(words[part].T)
        each = turned.view(np.uint8)
        found = room[: each.size].reshape(each.shape)
        # every byte is in the table: "clip" only spares numpy a check and a copy
        np.take(how.sums, each, out=found, mode="clip")
        np.add.reduce(found, axis=0, out=sums[part].reshape(-1))
        np.bitwise_xor(turned, how.flip, out=turned)
        np.bitwise_and(turned, _MAGNITUDE, out=turned)
        np.maximum.reduce(each, axis=0, out=tops[part].reshape(-1))
    total = _fold(np.add, sums, sides).view(np.int64)
    rest = total >> _SQUARE_BITS
    samples = (rest & (1 << _SAMPLE_BITS) - 1) - how.offset * (blocks.shape[1] // sides)
    return (
        (total & (1 << _SQUARE_BITS) - 1) * how.unit**2,
        how.squares[_fold(np.maximum, tops, sides)],
        rest >> _SAMPLE_BITS & MOST_SAMPLES,
        samples * how.unit,
    )


def _fold(join: np.ufunc, columns: NDArray[np.generic], sides: int) -> NDArray[np.generic]:
    """Join the columns of each side, of a row per block: (sides, blocks)."""
    # turned first: numpy's own reduction over a short last axis takes ten times as long
    turned = np.ascontiguousarray(columns.T).reshape(-1, sides, len(columns))
    folded: NDArray[np.generic] = join.reduce(turned, axis=0)
    return folded
