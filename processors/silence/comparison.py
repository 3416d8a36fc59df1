"""Two simple detectors to compare with: one fixed threshold, and a moving average of five chunks held against it.

Both are what a well-known tutorial for media streams proposes, with what it names computed as named: the root mean
square of the decoded samples against full scale, where its code takes the mean magnitude of raw bytes. A chunk is a
block of 20 ms, 160 samples at 8 kHz. Neither follows the noise of a line, and neither knows a voice from music.

`FixedDetector()` and `MovingAverageDetector()` are the tutorial's threshold of 0.01, which is -40 dBFS.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.levels import mean_square
from processors.silence.detector import Blocks

THRESHOLD_DBFS: Final = -40.0
"""A root mean square of 0.01 of full scale."""

CHUNKS: Final = 5
"""Blocks the moving average is taken of: the newest and the four before it."""

STEPS: Final = 3276
"""A block's mean square is remembered in steps of the threshold divided by this, cut off at `CHUNKS` thresholds.

Cutting off changes nothing: a block of `CHUNKS` thresholds lifts an average of `CHUNKS` blocks to the threshold alone.
Rounding down takes less than one step: an average less than 0.0014 dB above the threshold may count as below it.
"""

_FORMER: Final = CHUNKS - 1
_MOST: Final = CHUNKS * STEPS
_COUNT_AT, _COUNT_BITS = 1, 3
_FIRST_AT: Final = _COUNT_AT + _COUNT_BITS
_BITS: Final = 14  # holds _MOST; four blocks, their count and the answer take 60 of 63 bits
_AT: Final = [_FIRST_AT + _BITS * back for back in range(_FORMER)]

Numbers = NDArray[np.int64]


class FixedDetector:
    """Active where a block's root mean square reaches the threshold. Nothing is remembered."""

    name = "fixed-1"

    def __init__(self, threshold_dbfs: float = THRESHOLD_DBFS) -> None:
        self._threshold = max(1, mean_square(threshold_dbfs))

    def memories(self, blocks: Blocks) -> Numbers:
        """Return 1 for active blocks, 0 for quiet ones."""
        return (blocks.sums >= self._threshold * blocks.samples).astype(np.int64)


class MovingAverageDetector:
    """Active where the mean of the mean squares of the last five blocks reaches the threshold.

    Each block counts alike. While there are fewer than five, behind the begin of the audio and behind each gap, the
    average is of those there are. Memory, from the lowest bit: active (1 bit), how many former blocks there are (3),
    then up to four former mean squares in `STEPS`, the newest first (14 each).
    """

    name = "moving-average-1"

    def __init__(self, threshold_dbfs: float = THRESHOLD_DBFS) -> None:
        self._threshold = max(1, mean_square(threshold_dbfs))

    def memories(self, blocks: Blocks) -> Numbers:
        """Return the memory behind each block; its lowest bit is 1 where the average reaches the threshold."""
        count = len(blocks.sums)
        if count == 0:
            return np.zeros(0, np.int64)
        # at most 2^30 a sample, 2^14 samples a block and 2^12 steps: 2^56
        steps: Numbers = np.minimum(blocks.sums * STEPS // (self._threshold * blocks.samples), _MOST)
        index = np.arange(count)
        place = index - index[blocks.first][np.cumsum(blocks.first) - 1]
        former = np.minimum(place + (blocks.memory >> _COUNT_AT & (1 << _COUNT_BITS) - 1), _FORMER)
        total = steps.copy()
        memories: Numbers = np.minimum(former + 1, _FORMER) << _COUNT_AT | steps << _AT[0]
        for back in range(1, CHUNKS):
            earlier = _earlier(steps, blocks.memory, place, back)
            total += earlier
            if back < _FORMER:
                memories |= earlier << _AT[back]
        memories |= total >= STEPS * (former + 1)
        return memories


def _earlier(steps: Numbers, memory: Numbers, place: Numbers, back: int) -> Numbers:
    """Return each channel's block `back` blocks before; where that was in an earlier poll, from the memory."""
    earlier = np.zeros_like(steps)
    earlier[back:] = steps[:-back]
    for missing in range(1, back + 1):
        remembered = np.flatnonzero(place == back - missing)
        earlier[remembered] = memory[remembered] >> _AT[missing - 1] & (1 << _BITS) - 1
    return earlier
