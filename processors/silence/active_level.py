"""The active speech level of a channel by ITU-T P.56, method B, block by block: how loud the voice is while it speaks.

The envelope is that of the recommendation, the rectified signal through two filters of 30 ms one after the other, with
one step for each block of 20 ms: the input is the block's RMS times sqrt(2/pi), which is the mean magnitude of
noise and within half a dB of that of speech. Each block counts for the largest envelope of the last 200 ms, the
hangover. From how long each power of two was reached, and from the energy of the whole, follows the level that stands
15.9 dB above its own threshold.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from audio.levels import FULL_SCALE
from processors.silence import state as columns
from processors.silence.courses import turns
from processors.silence.media import Numbers

MARGIN_DB: Final = 15.9
_DECAY: Final = math.exp(-20 / 30)
_SECOND: Final = 20 / 30 * _DECAY
_MEAN_MAGNITUDE: Final = math.sqrt(2 / math.pi)
_STEPS: Final = 256.0
"""Parts of a sample's step in which the filters are kept, as whole numbers."""

_HANGOVER: Final = 10
_BITS: Final = 4
_MASK: Final = (1 << _BITS * _HANGOVER) - 1
_THRESHOLDS: Final = (1 << _BITS) - 1
_BACK: Final = np.arange(0, _BITS * _HANGOVER, _BITS)[:, np.newaxis]


def follow(channel: Numbers, row: Numbers, channels: tuple[Numbers, Numbers], sums: Numbers, samples: Numbers) -> None:
    """Take complete blocks, by channel and by time, into the rows of `channel`: each into its `row`.

    `channels` says where each channel begins, and of which channel each block is.
    """
    begins = channels[0]
    heard = np.sqrt(sums / samples) * (_MEAN_MAGNITUDE * _STEPS)
    kept = channel[row[begins], columns.SMOOTH : columns.RECENT + 1].T
    recents = np.empty(len(row), np.int64)
    for now, own in turns(*channels):
        smooth, smoother, recent = kept[:, own]
        value = heard[now]
        step = smooth - value
        smoother = value + (smoother - value) * _DECAY + step * _SECOND
        reached = np.minimum(np.maximum(np.frexp(smoother / _STEPS)[1], 0), _THRESHOLDS)
        recents[now] = recent = recent << _BITS & _MASK | reached
        kept[0, own], kept[1, own], kept[2, own] = np.rint(value + step * _DECAY), np.rint(smoother), recent
    channel[row[begins], columns.SMOOTH : columns.RECENT + 1] = kept.T
    highest = np.maximum.reduce(recents >> _BACK & _THRESHOLDS)
    np.add.at(channel.reshape(-1), row * channel.shape[1] + columns.REACHED.start + highest, samples)


def level_dbfs(squares: int, reached: Sequence[int]) -> float | None:
    """Return the active level; None where nothing was active.

    `squares` is the sum of squares of the whole, `reached` the samples by the highest power of two that was reached.
    """
    active, before = sum(reached), None
    if squares <= 0:
        return None
    for number in range(1, _THRESHOLDS + 1):
        active -= reached[number - 1]
        if active <= 0:
            return None
        level = 10 * math.log10(squares / active / FULL_SCALE**2)
        above = level - 20 * math.log10(2 ** (number - 1) / FULL_SCALE) - MARGIN_DB
        if above <= 0:
            if before is None:
                return None
            share = before[1] / (before[1] - above)
            return round(before[0] + share * (level - before[0]), 2)
        before = (level, above)
    return None
