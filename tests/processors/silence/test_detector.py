import numpy as np

from audio.levels import mean_square
from processors.silence.detector import Blocks, LevelDetector
from processors.silence.logic import SilenceProcessor
from processors.silence.tuning import Tuning
from tests.processors.silence.calls import BY_LEVEL, FIVE_S, Call, Run, log_of, sine


def test_a_sine_is_judged_by_its_rms_not_by_its_mean_magnitude():
    """RMS 0.0106 is above 0.01, where its mean magnitude of 0.0095 is below."""
    at_001 = SilenceProcessor(Tuning(detector="level", on_dbfs=-40, off_dbfs=-40))
    for processor in (at_001, SilenceProcessor(BY_LEVEL)):
        found = Run(processor).feed(log_of(Call().say(sine(0.0106, FIVE_S)).close()))
        assert found.totals[0].speech_ms == 5000
        below = Run(processor).feed(log_of(Call().say(sine(0.0094, FIVE_S)).close()))
        assert below.totals[0].silence_ms == 5000


def blocks(*levels: int, memory: int = 0) -> Blocks:
    sums = np.array(levels, np.int64)
    first = np.arange(len(levels)) == 0
    return Blocks(sums * 160, np.full(len(levels), 160), first, np.full(len(levels), memory))


def test_between_the_thresholds_a_channel_stays_what_it_was():
    detector = LevelDetector(-40, -43)
    on, between, off = mean_square(-40), mean_square(-41), mean_square(-43) - 1
    assert detector.memories(blocks(between, on, between, off, between)).tolist() == [0, 1, 1, 0, 0]
    assert detector.memories(blocks(between, off, memory=1)).tolist() == [1, 0]


def test_a_channel_does_not_inherit_from_the_one_in_front_of_it():
    detector = LevelDetector(-40, -43)
    sums = np.array([mean_square(-30), mean_square(-41)], np.int64) * 160
    both = Blocks(sums, np.full(2, 160), np.array([True, True]), np.zeros(2, np.int64))
    assert detector.memories(both).tolist() == [1, 0]
