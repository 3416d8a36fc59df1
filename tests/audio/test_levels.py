import math

import numpy as np
import pytest

from audio.levels import FLOOR_DBFS, FULL_SCALE, is_at_least, level_dbfs, mean_square, peak_dbfs


def _sine(amplitude: float) -> list[int]:
    return [round(amplitude * math.sin(2 * math.pi * 50 * i / 8000)) for i in range(160)]


def test_a_full_scale_square_wave_is_0_dbfs_and_a_full_scale_sine_3_below():
    assert level_dbfs(FULL_SCALE**2 * 160, 160) == 0
    sine = _sine(FULL_SCALE)
    assert level_dbfs(sum(x * x for x in sine), 160) == pytest.approx(-3.01)


def test_digital_silence_and_the_faintest_tail_stop_at_the_floor():
    assert level_dbfs(0, 160) == FLOOR_DBFS
    assert level_dbfs(1, 10**6) == FLOOR_DBFS
    assert peak_dbfs(0) == FLOOR_DBFS


def test_the_peak_of_half_scale_is_6_below():
    assert peak_dbfs((FULL_SCALE // 2) ** 2) == pytest.approx(-6.02)


def test_a_sine_whose_rms_is_above_001_counts_where_its_mean_magnitude_would_not():
    samples = np.array(_sine(490), np.int64)
    assert np.abs(samples).mean() / FULL_SCALE < 0.01
    assert is_at_least(int((samples**2).sum()), 160, mean_square(-40))


def test_thresholds_decide_on_integers_at_the_very_edge():
    threshold = mean_square(-40)
    assert threshold == 107_374
    assert is_at_least(threshold * 160, 160, threshold)
    assert not is_at_least(threshold * 160 - 1, 160, threshold)
