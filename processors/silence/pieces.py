"""Audio rows → pieces: the samples one row has in one block, with the sums of their squares.

All rows of a poll at once. Pieces of one length in G.711 go through `ranks`; for all others a table turns bytes into
squares and one reduction sums them between the edges of the pieces.
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
from processors.silence.media import BLOCKS_PER_S, SWAPPED, Numbers, Rows, distinct
from processors.silence.ranks import fits, measure, ranking
from processors.silence.voices import SIDES
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
    first = np.zeros(len(of), np.bool_)
    first[begins] = True
    block, rate = low[of], rate_hz[of]
    if len(of) > len(rows):
        block += np.arange(len(of)) - begins[of]
    piece_start = np.maximum(start[of], -(-block * rate // BLOCKS_PER_S))
    piece_end = np.minimum(end[of], -(-(block + 1) * rate // BLOCKS_PER_S))
    squares, peaks, clipped, signal = np.zeros((4, SIDES, len(of)), np.int64)
    coding = frames.codec[rows.row].astype(np.int64) << 8 | frames.channels[rows.row]
    coding[(rows.sample_bytes == 0) | (used == 0)] = 0
    for code in distinct(coding):
        if code == 0:
            continue
        chosen = coding == code
        mine = np.flatnonzero(chosen[of])
        row = of[mine]
        begin = frames.payload_start[rows.row[row]] + (piece_start[mine] - rows.position[row]) * rows.sample_bytes[row]
        sums, tips, clips = _measure(frames.buffer, begin, (piece_end - piece_start)[mine], code)
        part = (slice(len(sums)), slice(None) if len(mine) == len(of) else mine)
        squares[part], peaks[part], clipped[part] = sums, tips, clips
        tops = begins[chosen]
        loudest = tips if len(mine) == len(tops) else np.maximum.reduceat(tips, np.flatnonzero(first[mine]), axis=1)
        signal[: len(sums), tops] = loudest > _CODINGS[code >> 8].silence
    return Pieces(of, first, block, piece_start, piece_end, squares, peaks, clipped, signal)


def _measure(
    buffer: NDArray[np.uint8], begin: Numbers, samples: Numbers, code: int
) -> tuple[Numbers, Numbers, Numbers]:
    """Return sum of squares, largest square and clipped samples of pieces, each (sides, pieces).

    `begin` and `samples` say where each piece lies. Pieces of the most common length, nearly always whole blocks, are
    measured by their ranks where the codec has them.
    """
    codec, channels = code >> 8, code & 0xFF
    sides = 2 if channels in _STEREO else 1
    how = ranking(codec)
    usual = int(samples[0]) if (samples == samples[0]).all() else int(np.bincount(samples).argmax())
    by_rank = (samples == usual) if how and fits(usual * sides, how) else np.zeros(len(samples), np.bool_)
    found = tuple(np.empty((sides, len(samples)), np.int64) for _ in range(3))
    if how and by_rank.any():
        blocks = _rows(buffer, begin[by_rank], usual * sides)
        for whole, part in zip(found, measure(blocks, sides, how), strict=True):
            whole[:, by_rank] = part
    rest = np.flatnonzero(~by_rank)
    if len(rest):
        coding = _CODINGS[codec]
        size = samples[rest] * (sides * np.dtype(coding.dtype).itemsize)
        for side, values in enumerate(_sides(buffer, begin[rest], begin[rest] + size, sides, coding)):
            for whole, part in zip(found, _measure_samples(values, samples[rest], coding), strict=True):
                whole[side, rest] = part
    sums, tips, clips = (whole[::-1] if channels == SWAPPED else whole for whole in found)
    return sums, tips, clips


def _measure_samples(samples: NDArray[np.generic], lengths: Numbers, how: _Coding) -> tuple[Numbers, Numbers, Numbers]:
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


def _sides(
    buffer: NDArray[np.uint8], begin: Numbers, end: Numbers, sides: int, how: _Coding
) -> list[NDArray[np.generic]]:
    """Return the samples in these ranges of bytes, one after another, per side."""
    samples: NDArray[np.generic] = _join(buffer, begin, end).view(how.dtype)
    return [samples] if sides == 1 else list(np.ascontiguousarray(samples.reshape(-1, sides).T))


def _join(buffer: NDArray[np.uint8], begin: Numbers, end: Numbers) -> NDArray[np.uint8]:
    """Return the bytes of these ranges, one after another."""
    length = int(end[0] - begin[0])
    if (end - begin == length).all():
        return _rows(buffer, begin, length).reshape(-1)
    view = buffer.data
    return np.frombuffer(b"".join([view[a:b] for a, b in zip(begin.tolist(), end.tolist(), strict=True)]), np.uint8)


def _rows(buffer: NDArray[np.uint8], begin: Numbers, length: int) -> NDArray[np.uint8]:
    """Return ranges of one length as rows."""
    # every range of this length as a row of a view; picking rows copies each at once
    rows: NDArray[np.uint8] = as_strided(buffer, (len(buffer) - length + 1, length), (1, 1), writeable=False)[begin]
    return rows
