"""Levels of 16-bit samples, from exact integer sums.

0 dBFS is the RMS of a full-scale square wave, |sample| = 32,768 throughout; a full-scale sine has -3.01 dBFS.
A level is 10·log10(mean square / 32,768²), rounded to 0.01 dB, never below -120. What decides compares integers:
`is_at_least` and the thresholds of `mean_square`; no rounding of a logarithm decides anything.
"""

import math
from functools import lru_cache
from typing import Final

FULL_SCALE: Final = 32_768
FLOOR_DBFS: Final = -120.0
_DECIMALS: Final = 2


def level_dbfs(sum_of_squares: int, samples: int) -> float:
    """Return the RMS level of `samples` > 0 samples with this sum of squares."""
    if sum_of_squares <= 0:
        return FLOOR_DBFS
    return max(FLOOR_DBFS, round(10 * math.log10(sum_of_squares / (samples * FULL_SCALE**2)), _DECIMALS))


@lru_cache(maxsize=4096)
def peak_dbfs(peak_square: int) -> float:
    """Return the level of the largest magnitude, given its square."""
    return level_dbfs(peak_square, 1)


def mean_square(dbfs: float) -> int:
    """Return a level as a threshold for the mean square: the nearest integer, in squared 16-bit units."""
    return round(FULL_SCALE**2 * 10 ** (dbfs / 10))


def is_at_least(sum_of_squares: int, samples: int, threshold: int) -> bool:
    """Tell whether the mean square reaches a threshold of `mean_square`, exactly."""
    return sum_of_squares >= threshold * samples
