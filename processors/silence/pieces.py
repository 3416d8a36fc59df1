"""Audio rows → pieces: the samples one row has in one block, with what they add to its level.

All rows of a poll at once. Pieces of one length in G.711 go through `ranks`; all others are decoded, and one reduction
sums them between the edges of the pieces.
Sums are integers, so their order cannot matter.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio import g711
from audio.frames import Frames
from processors.silence import state as columns
from processors.silence.decoding import decoded, ranges_of, sides_of
from processors.silence.media import BLOCKS_PER_S, SWAPPED, Numbers, Rows, block_start, distinct, some
from processors.silence.ranks import fits, measure, ranking
from processors.silence.voices import SIDES
from schemas.symbols import Codec

LEVELS: Final = 5
"""Columns of `Pieces.levels`: the first of those the state has for a window, SQUARES to SAMPLE_SUM."""

_MEASURED: Final = (columns.SQUARES, columns.PEAK, columns.CLIPPED, columns.SAMPLE_SUM)

_CLIP: Final = {
    Codec.PCMU.code: int(g711.PCMU_SQUARES.max()),
    Codec.PCMA.code: int(g711.PCMA_SQUARES.max()),
    Codec.L16_LE.code: 32_767**2,
    Codec.L16_BE.code: 32_767**2,
}
"""The square of the largest magnitude."""

_SILENCE: Final = {Codec.PCMA.code: 8 * 8}
"""The largest square of digital silence, where it is not 0."""

_CHUNK_SAMPLES: Final = 16_384


@dataclass(frozen=True, slots=True)
class Pieces:
    """Pieces by session and time. `of` is a piece's row (index into `Rows`), `first` True on a row's first piece.

    A row without new samples has one empty piece. `levels` (LEVELS, SIDES, pieces) has sums of squares, largest
    squares, clipped samples, 1 on the first piece of a row with anything above digital silence on that side, and sums
    of samples.

    A piece begins at byte `at` of the poll and has `samples` samples in `coding`, its codec and layout as one number.
    Both are 0 where there are none that can be decoded.
    """

    of: Numbers
    first: NDArray[np.bool_]
    block: Numbers
    start: Numbers
    end: Numbers
    levels: Numbers
    at: Numbers
    samples: Numbers
    coding: Numbers


def pieces_of(frames: Frames, rows: Rows, rate_hz: Numbers, start: Numbers, end: Numbers) -> Pieces:
    """Cut rows at the edges of blocks and measure them; [start, end) are the samples of each that are new."""
    low = start * BLOCKS_PER_S // rate_hz
    count = np.maximum((end - 1) * BLOCKS_PER_S // rate_hz - low, 0) + 1
    of = np.arange(len(rows)).repeat(count)
    begins = count.cumsum() - count
    first = np.zeros(len(of), np.bool_)
    first[begins] = True
    block, rate = low[of], rate_hz[of]
    if len(of) > len(rows):
        block += np.arange(len(of)) - begins[of]
    piece_start = np.maximum(start[of], block_start(block, rate))
    piece_end = np.minimum(end[of], block_start(block + 1, rate))
    at, samples, coding = _placed(frames, rows, of, piece_start, piece_end)
    levels = np.zeros((LEVELS, SIDES, len(of)), np.int64)
    for code in distinct(coding):
        if code == 0:
            continue
        mine = (coding == code).nonzero()[0]
        part = some(mine, len(of))
        found = _measure(frames.buffer, at[part], samples[part], code)
        tips = found[columns.PEAK]
        tops = first[part].nonzero()[0]
        loudest = tips if len(tops) == len(mine) else np.maximum.reduceat(tips, tops, axis=1)
        found[columns.SIGNAL][:, tops] = loudest > _SILENCE.get(code >> 8, 0)
        levels[:, : found.shape[1], part] = found
    return Pieces(of, first, block, piece_start, piece_end, levels, at, samples, coding)


def _placed(frames: Frames, rows: Rows, of: Numbers, start: Numbers, end: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Return at which byte each piece begins, how many samples it has, and its codec and layout."""
    row, width = rows.row[of], rows.sample_bytes[of]
    begin = frames.payload_start[row] + (start - rows.position[of]) * width
    lengths = (end - start) * (width > 0)
    coding = (frames.codec[row].astype(np.int64) << 8 | frames.channels[row]) * (lengths > 0)
    return begin, lengths, coding


def _measure(buffer: NDArray[np.uint8], begin: Numbers, samples: Numbers, code: int) -> Numbers:
    """Return the levels of pieces, each (sides, pieces); SIGNAL is 0. `begin` and `samples` say where each piece lies.

    Pieces of the most common length, nearly always whole blocks, are measured by their ranks where the codec has them.
    """
    codec, channels = code >> 8, code & 0xFF
    sides, how = sides_of(channels), ranking(codec)
    found = np.zeros((LEVELS, sides, len(samples)), np.int64)
    usual = int(samples[0]) if np.count_nonzero(samples != samples[0]) == 0 else int(np.bincount(samples).argmax())
    rest = np.arange(len(samples))
    if how is not None and fits(usual, sides):
        part, rest = some((samples == usual).nonzero()[0], len(samples)), (samples != usual).nonzero()[0]
        measured = measure(ranges_of(buffer, begin[part], usual * sides), sides, how)
        for column, values in zip(_MEASURED, measured, strict=True):
            found[column][:, part] = values[::-1] if channels == SWAPPED else values
    if len(rest):
        pcm = decoded(buffer, begin[rest], samples[rest], code)
        for side in range(sides):
            found[:, side, rest] = _measure_samples(pcm[side], samples[rest], _CLIP[codec])
    return found


def _measure_samples(samples: NDArray[np.int16], lengths: Numbers, clip: int) -> Numbers:
    """Return the levels of consecutive stretches of `samples`, of which the largest square is `clip`.

    It goes in chunks that stay in the cache; a chunk ends where a stretch ends.
    """
    ends = lengths.cumsum()
    starts = ends - lengths
    found = np.zeros((LEVELS, len(lengths)), np.int64)
    room = np.empty(_CHUNK_SAMPLES + int(lengths.max()), np.int64)
    low = 0
    while low < len(lengths):
        base = int(starts[low])
        high = max(low + 1, int(ends.searchsorted(base + _CHUNK_SAMPLES, "right")))
        size = int(ends[high - 1]) - base
        values, edges, part = room[:size], starts[low:high] - base, slice(low, high)
        values[:] = samples[base : base + size]
        np.add.reduceat(values, edges, out=found[columns.SAMPLE_SUM, part])
        np.square(values, out=values)
        np.add.reduceat(values, edges, out=found[columns.SQUARES, part])
        np.maximum.reduceat(values, edges, out=found[columns.PEAK, part])
        if found[columns.PEAK, part].max() >= clip:
            np.add.reduceat(values >= clip, edges, dtype=np.int64, out=found[columns.CLIPPED, part])
        low = high
    return found
