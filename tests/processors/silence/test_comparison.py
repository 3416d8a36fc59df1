from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.levels import mean_square
from processors.silence.comparison import CHUNKS, STEPS, FixedDetector, MovingAverageDetector
from processors.silence.detector import Blocks, Detector

THRESHOLD = mean_square(-40)
SAMPLES = 160
DETECTORS = [FixedDetector(), MovingAverageDetector()]
LOUDEST = 32_768**2 * SAMPLES

sums = st.one_of(st.integers(0, 12 * THRESHOLD * SAMPLES), st.sampled_from([0, THRESHOLD * SAMPLES, LOUDEST]))
channels = st.lists(st.lists(sums, min_size=1, max_size=24), min_size=1, max_size=4)


def memories(detector: Detector, runs: list[list[int]], memory: list[int]) -> list[list[int]]:
    """Give some channels' blocks to the detector at once; return the memories behind them, by channel."""
    lengths = [len(run) for run in runs]
    first = np.zeros(sum(lengths), np.bool_)
    first[np.cumsum([0, *lengths[:-1]])] = True
    found = detector.memories(
        Blocks(
            np.array([value for run in runs for value in run], np.int64),
            np.full(sum(lengths), SAMPLES),
            first,
            np.repeat(np.array(memory, np.int64), lengths),
        )
    )
    return [part.tolist() for part in np.split(found, np.cumsum(lengths)[:-1])]


def active(detector: Detector, run: list[int]) -> list[bool]:
    return [bool(memory & 1) for memory in memories(detector, [run], [0])[0]]


def averaged(run: list[int], index: int) -> float:
    """Return the mean square of the last five blocks, against the threshold."""
    window = run[max(0, index - CHUNKS + 1) : index + 1]
    return sum(window) / (len(window) * SAMPLES * THRESHOLD)


def test_the_fixed_threshold_is_a_root_mean_square_of_a_hundredth_of_full_scale():
    just = THRESHOLD * SAMPLES
    assert active(FixedDetector(), [just - 1, just, just + 1, 0, LOUDEST]) == [False, True, True, False, True]
    assert abs((THRESHOLD / 32_768**2) ** 0.5 - 0.01) < 1e-7


def test_another_threshold_can_be_held_against():
    quieter = mean_square(-50) * SAMPLES
    for kind in (FixedDetector, MovingAverageDetector):
        assert active(kind(-50), [quieter - 1]) == [False]
        assert active(kind(-50), [quieter]) == [True]


def test_a_loud_block_holds_the_average_up_for_five_blocks():
    assert active(MovingAverageDetector(), [0] * 5 + [LOUDEST] + [0] * 5) == [False] * 5 + [True] * 5 + [False]


def test_a_block_of_four_thresholds_does_not_lift_five():
    four = 4 * THRESHOLD * SAMPLES
    assert active(MovingAverageDetector(), [0] * 4 + [four]) == [False] * 5
    assert active(MovingAverageDetector(), [0] * 3 + [four]) == [False] * 3 + [True]


def test_behind_its_begin_the_average_is_of_the_blocks_there_are():
    twice = 2 * THRESHOLD * SAMPLES
    assert active(MovingAverageDetector(), [twice, 0, 0]) == [True, True, False]


def test_blocks_of_unequal_length_count_alike():
    blocks = Blocks(
        np.array([2 * THRESHOLD * 80, 0], np.int64), np.array([80, 160]), np.array([True, False]), np.zeros(2, np.int64)
    )
    assert (MovingAverageDetector().memories(blocks) & 1).tolist() == [1, 1]


@given(st.lists(sums, min_size=1, max_size=40))
def test_the_moving_average_is_the_true_one_but_for_the_rounding_it_states(run: list[int]):
    for index, answer in enumerate(active(MovingAverageDetector(), run)):
        average = averaged(run, index)
        if answer:
            assert average >= 1 - 1e-12
        else:
            assert average < 1 + 1 / STEPS + 1e-12


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
@given(data=st.data(), runs=channels)
def test_any_cut_into_polls_gives_the_same_memories(detector: Detector, data: st.DataObject, runs: list[list[int]]):
    for run, whole in zip(runs, memories(detector, runs, [0] * len(runs)), strict=True):
        cuts = data.draw(st.lists(st.integers(0, len(run)), max_size=6).map(sorted))
        found: list[int] = []
        for start, stop in pairwise([0, *cuts, len(run)]):
            if start < stop:
                found += memories(detector, [run[start:stop]], [found[-1] if found else 0])[0]
        assert found == whole


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
@given(runs=channels)
def test_any_neighbours_give_the_same_memories(detector: Detector, runs: list[list[int]]):
    memory = [memories(detector, [run], [0])[0][-1] for run in runs]
    together = memories(detector, runs, memory)
    assert together == [memories(detector, [run], [behind])[0] for run, behind in zip(runs, memory, strict=True)]


@given(st.lists(sums, min_size=1, max_size=40))
def test_a_memory_fits_its_column(run: list[int]):
    for memory in memories(MovingAverageDetector(), [run], [0])[0]:
        assert 0 <= memory < 1 << 60


def test_audio_that_was_heard_is_told_from_audio_that_has_just_begun():
    detector = MovingAverageDetector()
    twice = 2 * THRESHOLD * SAMPLES
    behind_silence = memories(detector, [[0, 0]], [0])[0][-1]
    assert behind_silence != 0
    assert memories(detector, [[twice]], [behind_silence])[0][0] & 1 == 0


def test_no_blocks_are_no_memories():
    none = np.zeros(0, np.int64)
    for detector in DETECTORS:
        assert len(detector.memories(Blocks(none, none, none.astype(np.bool_), none))) == 0


def test_the_longest_and_loudest_block_does_not_overflow():
    samples = 768_000 // 50
    blocks = Blocks(np.array([samples << 30]), np.array([samples]), np.array([True]), np.zeros(1, np.int64))
    for threshold_dbfs in (-90.0, -40.0, -1.0):
        assert MovingAverageDetector(threshold_dbfs).memories(blocks)[0] & 1
