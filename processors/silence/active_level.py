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
from numpy.typing import NDArray

from audio.levels import FULL_SCALE
from processors.silence import state as columns
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


def follow(  # noqa: PLR0913, PLR0917 - blocks of channels
    channel: Numbers, slot: Numbers, side: Numbers, first: NDArray[np.bool_], sums: Numbers, samples: Numbers
) -> None:
    """Take complete blocks, by channel (`first` is True where one begins) and by time, into the rows of `channel`."""
    begins = np.flatnonzero(first)
    turn = np.arange(len(slot)) - np.repeat(begins, np.diff(begins, append=len(slot)))
    heard = np.sqrt(sums / samples) * (_MEAN_MAGNITUDE * _STEPS)
    for number in range(int(turn.max(initial=-1)) + 1):
        now = np.flatnonzero(turn == number)
        at = (slot[now], side[now])
        value = heard[now]
        step = channel[(*at, columns.SMOOTH)] - value
        smooth = value + step * _DECAY
        smoother = value + (channel[(*at, columns.SMOOTHER)] - value) * _DECAY + step * _SECOND
        reached = np.clip(np.frexp(smoother / _STEPS)[1], 0, _THRESHOLDS)
        recent = (channel[(*at, columns.RECENT)] << _BITS & _MASK) | reached
        highest = reached
        for back in range(1, _HANGOVER):
            highest = np.maximum(highest, recent >> _BITS * back & _THRESHOLDS)
        channel[(*at, columns.SMOOTH)] = np.rint(smooth)
        channel[(*at, columns.SMOOTHER)] = np.rint(smoother)
        channel[(*at, columns.RECENT)] = recent
        channel[(*at, columns.REACHED.start + highest)] += samples[now]


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
