"""Samples as they come → frames of 160 samples at 8 kHz, whatever the pieces and the rate.

A stream's frames are counted from its first sample; how it was cut into pieces leaves no trace. 16, 24, 32 and 48 kHz
are brought down by a filter of whole numbers (35 dB down from 5 kHz on), so no order of its sums can matter. Any other
rate is not analysed.
"""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.vad_features import FRAME

Samples = NDArray[np.int16]
Rows = NDArray[np.intp]

FACTORS: Final = {8000: 1, 16_000: 2, 24_000: 3, 32_000: 4, 48_000: 6}
"""How many samples of a rate make one at 8 kHz."""

_TAPS_PER_FACTOR: Final = 16
_SCALE: Final = 1 << 15


def assemble(
    rest: Samples, filled: NDArray[np.int64], rows: Rows, lengths: Rows, samples: Samples
) -> tuple[Rows, Samples]:
    """Return the frames that pieces complete, as (row of each frame, (frames, FRAME)); by row, then by time.

    Piece i continues stream `rows[i]` with the next `lengths[i]` of `samples`; a stream's pieces stand together, in the
    order of time. `rest`, (streams, FRAME), and `filled` keep what no frame has taken yet.
    """
    used, first = np.unique(rows, return_index=True)
    order = np.argsort(first)
    used = used[order]
    starts = first[order]
    before = filled[used]
    total = before + np.add.reduceat(lengths, starts)
    begins = np.cumsum(total) - total
    line = np.empty(int(total.sum()), np.int16)
    fresh = np.ones(len(line), np.bool_)
    kept = ranges(begins, before)
    fresh[kept] = False
    line[kept] = rest[np.repeat(used, before), ranges(np.zeros_like(before), before)]
    line[fresh] = samples
    count = total // FRAME
    frame_begins = np.repeat(begins, count) + ranges(np.zeros_like(count), count) * FRAME
    frames = line[frame_begins[:, np.newaxis] + np.arange(FRAME)]
    left = total - count * FRAME
    tail = ranges(begins + count * FRAME, left)
    rest[np.repeat(used, left), ranges(np.zeros_like(left), left)] = line[tail]
    filled[used] = left
    return np.repeat(used, count), frames


def ranges(begins: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return begin, begin + 1, … of each range, one range after another."""
    ends = np.cumsum(lengths)
    steps: NDArray[np.int64] = np.arange(int(lengths.sum())) + np.repeat(begins - (ends - lengths), lengths)
    return steps


def tail_samples(factor: int) -> int:
    """Return how many samples of its higher rate a stream must keep for `brought_down`."""
    return _TAPS_PER_FACTOR * factor if factor > 1 else 0


def brought_down(tail: Samples, samples: Samples, factor: int) -> Samples:
    """Return (streams, n) at 8 kHz of (streams, n * factor); `tail`, (streams, tail_samples), goes on with them."""
    if factor == 1:
        return samples
    taps = _taps(factor)
    whole = np.concatenate((tail, samples), axis=1)
    size = samples.shape[1] // factor
    total = np.zeros((len(samples), size), np.int64)
    for place, weight in enumerate(taps):
        total += weight * whole[:, place : place + size * factor : factor].astype(np.int64)
    tail[:] = whole[:, whole.shape[1] - tail.shape[1] :]
    down: Samples = np.clip((total + _SCALE // 2) // _SCALE, -32_768, 32_767).astype(np.int16)
    return down


@cache
def _taps(factor: int) -> tuple[int, ...]:
    """Return a low-pass filter with its edge at 3.8 kHz, its sum 1 in steps of 2^-15."""
    length = _TAPS_PER_FACTOR * factor
    at = np.arange(length) - (length - 1) / 2
    shape = np.sinc(at * 0.95 / factor) * (0.54 + 0.46 * np.cos(2 * np.pi * at / length))
    whole = np.rint(shape / shape.sum() * _SCALE).astype(np.int64)
    whole[length // 2] += _SCALE - whole.sum()
    return tuple(whole.tolist())
