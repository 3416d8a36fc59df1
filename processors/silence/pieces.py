"""Audio rows → pieces: the samples one row has in one block, with the sums of their squares.

All rows of a poll at once: a table turns bytes into squares, one reduction sums them between the edges of the pieces.
Sums are integers, so their order cannot matter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from audio import g711
from audio.frames import Frames
from processors.silence.media import BLOCKS_PER_S, SWAPPED, Numbers, Rows
from processors.silence.state import SIDES
from schemas.symbols import Channels, Codec

_STEREO: Final = (Channels.EXTERNAL_INTERNAL.code, SWAPPED)
_L16_CLIP: Final = 32_767**2
_CHUNK_SAMPLES: Final = 16_384
_Squares = Callable[[NDArray[np.generic], NDArray[np.int64], NDArray[np.intp]], None]


@dataclass(frozen=True, slots=True)
class Pieces:
    """Pieces by session and time. `of` is a piece's row (index into `Rows`), `first` True on a row's first piece.

    A row without new samples has one empty piece. `squares`, `peaks` (as squares) and `clipped` have a row per side;
    `signal` is 1 on the first piece of a row with anything above digital silence on that side.
    """

    of: Numbers
    first: NDArray[np.bool_]
    block: Numbers
    start: Numbers
    end: Numbers
    squares: Numbers
    peaks: Numbers
    clipped: Numbers
    signal: Numbers


@dataclass(frozen=True, slots=True)
class _Coding:
    """How bytes become squares; the square of the largest magnitude; the largest square of digital silence."""

    dtype: str
    squares: _Squares
    clip: int
    silence: int


def _by_table(table: NDArray[np.int64]) -> _Squares:
    def squares(samples: NDArray[np.generic], out: NDArray[np.int64], index: NDArray[np.intp]) -> None:
        index[:] = samples
        # every byte is in the table: "clip" only spares numpy a check and a copy
        np.take(table, index, out=out, mode="clip")

    return squares


def _linear(samples: NDArray[np.generic], out: NDArray[np.int64], index: NDArray[np.intp]) -> None:  # noqa: ARG001
    out[:] = samples
    np.square(out, out=out)


_CODINGS: Final = {
    Codec.PCMU.code: _Coding("u1", _by_table(g711.PCMU_SQUARES), int(g711.PCMU_SQUARES.max()), 0),
    Codec.PCMA.code: _Coding("u1", _by_table(g711.PCMA_SQUARES), int(g711.PCMA_SQUARES.max()), 8 * 8),
    Codec.L16_LE.code: _Coding("<i2", _linear, _L16_CLIP, 0),
    Codec.L16_BE.code: _Coding(">i2", _linear, _L16_CLIP, 0),
}


def pieces_of(frames: Frames, rows: Rows, rate_hz: Numbers, start: Numbers, used: Numbers) -> Pieces:
    """Cut rows at the edges of blocks and sum their squares. `start` and `used` say which samples of each are new."""
    end = start + used
    low = start * BLOCKS_PER_S // rate_hz
    count = np.where(used > 0, (end - 1) * BLOCKS_PER_S // rate_hz, low) - low + 1
    of = np.repeat(np.arange(len(rows)), count)
    begins = np.cumsum(count) - count
    block = low[of] + (np.arange(len(of)) - begins[of])
    rate = rate_hz[of]
    piece_start = np.maximum(start[of], -(-block * rate // BLOCKS_PER_S))
    piece_end = np.minimum(end[of], -(-(block + 1) * rate // BLOCKS_PER_S))
    first = np.zeros(len(of), np.bool_)
    first[begins] = True
    squares, peaks, clipped, signal = (np.zeros((SIDES, len(of)), np.int64) for _ in range(4))
    coding = np.where((rows.sample_bytes > 0) & (used > 0), frames.codec[rows.row].astype(np.int64) << 8, 0)
    coding += np.where(coding > 0, frames.channels[rows.row], 0)
    for code in np.unique(coding).tolist():
        if code == 0:
            continue
        chosen = coding == code
        mine = np.flatnonzero(chosen[of])
        begin = frames.payload_start[rows.row] + (start - rows.position) * rows.sample_bytes
        byte_range = (begin[chosen], (begin + used * rows.sample_bytes)[chosen])
        sides = _sides(frames.buffer, *byte_range, code)
        how = _CODINGS[code >> 8]
        tops = np.flatnonzero(first[mine])
        for side, samples in sides.items():
            sums, tips, clips = _measure(samples, (piece_end - piece_start)[mine], how)
            squares[side, mine], peaks[side, mine], clipped[side, mine] = sums, tips, clips
            signal[side, begins[chosen]] = np.maximum.reduceat(tips, tops) > how.silence
    return Pieces(of, first, block, piece_start, piece_end, squares, peaks, clipped, signal)


def _measure(samples: NDArray[np.generic], lengths: Numbers, how: _Coding) -> tuple[Numbers, Numbers, Numbers]:
    """Return sum of squares, largest square and clipped samples of consecutive stretches of `samples`.

    It goes in chunks that stay in the cache; a chunk ends where a stretch ends.
    """
    ends = np.cumsum(lengths)
    starts = ends - lengths
    sums, tips, clips = (np.zeros(len(lengths), np.int64) for _ in range(3))
    room = _CHUNK_SAMPLES + int(lengths.max())
    squares, index = np.empty(room, np.int64), np.empty(room, np.intp)
    low = 0
    while low < len(lengths):
        base = int(starts[low])
        high = max(low + 1, int(np.searchsorted(ends, base + _CHUNK_SAMPLES, "right")))
        size = int(ends[high - 1]) - base
        values, edges, part = squares[:size], starts[low:high] - base, slice(low, high)
        how.squares(samples[base : base + size], values, index[:size])
        np.add.reduceat(values, edges, out=sums[part])
        np.maximum.reduceat(values, edges, out=tips[part])
        if tips[part].max() >= how.clip:
            np.add.reduceat(values >= how.clip, edges, dtype=np.int64, out=clips[part])
        low = high
    return sums, tips, clips


def _sides(buffer: NDArray[np.uint8], begin: Numbers, end: Numbers, code: int) -> dict[int, NDArray[np.generic]]:
    """Return the samples in these ranges of bytes, one after another, per side."""
    samples: NDArray[np.generic] = _join(buffer, begin, end).view(_CODINGS[code >> 8].dtype)
    channels = code & 0xFF
    if channels not in _STEREO:
        return {0: samples}
    apart = np.ascontiguousarray(samples.reshape(-1, 2).T)
    return {0: apart[1], 1: apart[0]} if channels == SWAPPED else {0: apart[0], 1: apart[1]}


def _join(buffer: NDArray[np.uint8], begin: Numbers, end: Numbers) -> NDArray[np.uint8]:
    """Return the bytes of these ranges, one after another."""
    length = int(end[0] - begin[0])
    if (end - begin == length).all():
        # every range of this length as a row of a view; picking rows copies each at once
        rows = as_strided(buffer, (len(buffer) - length + 1, length), (1, 1), writeable=False)
        return rows[begin].reshape(-1)
    view = buffer.data
    return np.frombuffer(b"".join([view[a:b] for a, b in zip(begin.tolist(), end.tolist(), strict=True)]), np.uint8)
