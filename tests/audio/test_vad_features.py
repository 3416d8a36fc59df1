import numpy as np
import pytest

from audio.vad_features import BANDS, FEATURES, FRAME, HISTORY, LIMIT, MEMORY, extract
from audio.vad_matrix import Scratch

RATE_HZ = 8000
SCRATCH = Scratch()


def features(samples: np.ndarray) -> np.ndarray:
    """The features of one stream, (frames, FEATURES)."""
    history, memory = np.zeros((1, HISTORY), np.int16), np.zeros((MEMORY, 1), np.float32)
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, 1, FRAME)
    return np.stack([extract(history, memory, frame, SCRATCH)[:, 0].copy() for frame in frames])


def noise(seconds: float, rms: float, seed: int = 1) -> np.ndarray:
    return np.rint(np.random.default_rng(seed).standard_normal(int(seconds * RATE_HZ)) * rms).astype(np.int16)


def tone(hz: float, seconds: float, amplitude: float) -> np.ndarray:
    at = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return np.rint(amplitude * np.sin(2 * np.pi * hz * at)).astype(np.int16)


@pytest.mark.parametrize("samples", [noise(2, 3000), np.zeros(16_000, np.int16), np.full(16_000, -32_768, np.int16)])
def test_features_are_whole_numbers_within_the_limit(samples):
    found = features(samples)
    assert found.shape == (100, FEATURES)
    assert found.dtype == np.float32
    assert (found == np.rint(found)).all()
    assert np.abs(found).max() <= LIMIT


def test_direct_current_changes_next_to_nothing():
    plain = noise(2, 600)
    difference = np.abs(features(plain + np.int16(4000)) - features(plain))[2:]
    assert np.median(difference) == 0
    assert np.quantile(difference, 0.99) <= 4


def test_steady_noise_is_soon_its_own_floor_and_louder_sound_stands_above_it():
    sound = noise(4, 100)
    sound[24_000:] *= 10
    above = features(sound)[:, :BANDS].mean(axis=1)
    assert above[100:149].max() < 40
    assert above[151] > 70


def test_a_tone_stands_in_few_bins_and_noise_does_not():
    row = 3 * BANDS + BANDS // 4 + 6
    assert features(tone(440, 1, 4000))[5:, row].min() > 90
    assert features(noise(1, 2000))[5:, row].max() < 30


def test_a_click_fills_less_of_a_frame_than_noise():
    row = 3 * BANDS + BANDS // 4 + 13
    click = np.zeros(1600, np.int16)
    click[1000:1012] = 9000
    click[1001:1012:2] = -9000
    assert features(click)[1000 // FRAME, row] > 150
    assert features(noise(1, 2000))[:, row].max() < 30


@pytest.mark.parametrize("streams", [1, 2, 3, 5, 8, 33])
def test_neighbours_change_nothing(streams):
    sound = np.stack([noise(1, 50 * 3**number, number) for number in range(8)] * 5)[:33]
    history, memory = np.zeros((33, HISTORY), np.int16), np.zeros((MEMORY, 33), np.float32)
    few_history, few_memory = history[-streams:].copy(), memory[:, -streams:].copy()
    for start in range(0, 8000, FRAME):
        together = extract(history, memory, np.ascontiguousarray(sound[:, start : start + FRAME]), SCRATCH).copy()
        few = extract(few_history, few_memory, np.ascontiguousarray(sound[-streams:, start : start + FRAME]), SCRATCH)
        assert (together[:, -streams:] == few).all()
    assert (memory[:, -streams:] == few_memory).all()
