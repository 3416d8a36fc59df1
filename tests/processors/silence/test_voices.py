import numpy as np
import pytest

from processors.silence.voices import SIDES, Voices


def filled(lanes: int = 3) -> Voices:
    """Lanes 0 and 2 have begun, lane 2 has the tail of a filter and 7 samples of an unfinished block."""
    chance = np.random.default_rng(1)
    voices = Voices()
    voices.fit(lanes)
    for row in (0, 1, 4):
        voices.vad.numbers[row] = chance.standard_normal(voices.vad.numbers.shape[1])
        voices.vad.history[row] = chance.integers(-9, 9, voices.vad.history.shape[1])
    voices.tail[4] = 3
    voices.widen(960)
    voices.rest[2, :, :7] = chance.integers(-9, 9, (SIDES, 7))
    return voices


LANES, LEFT = np.array([2, 0]), np.array([7, 0])


def test_what_was_remembered_is_restored_to_the_bit_whatever_the_lanes():
    voices, others = filled(), Voices()
    content = voices.snapshot(LANES, LEFT)
    others.fit(4)
    others.restore(content, np.array([3, 1]), LEFT)
    assert others.snapshot(np.array([3, 1]), LEFT) == content
    assert (others.vad.numbers[6] == voices.vad.numbers[4]).all()
    assert (others.rest[3, :, :7] == voices.rest[2, :, :7]).all()
    assert not others.vad.numbers[7].any()


def test_a_cleared_lane_is_one_that_has_not_begun():
    voices = filled()
    for lane in range(3):
        voices.clear(lane)
    blank = Voices()
    blank.fit(3)
    nothing = np.zeros(2, np.int64)
    assert voices.snapshot(LANES, nothing) == blank.snapshot(LANES, nothing)


@pytest.mark.parametrize("cut", [1, 100, 500])
def test_other_bytes_are_refused(cut):
    content = filled().snapshot(LANES, LEFT)
    for damaged in (content[:-cut], content + b"x" * cut):
        voices = Voices()
        voices.fit(3)
        with pytest.raises(ValueError, match=r"bytes|buffer"):
            voices.restore(damaged, LANES, LEFT)
