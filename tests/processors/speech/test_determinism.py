"""Same records in, same records out: whatever the polls, the neighbours and the restarts."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.silence.tuning import Tuning
from processors.speech.logic import SpeechProcessor
from processors.speech.tuning import SpeechTuning
from tests.processors.driving import (
    assert_any_polls_are_the_same,
    assert_neighbours_change_nothing,
    assert_restarts_change_nothing,
    interleaved,
)
from tests.processors.silence.test_determinism import random_call
from tests.processors.speech.calls import Run, babble, packets, reordered

detectors = st.sampled_from(("voice", "level", "level"))


def runs_by(detector: str):
    """What makes runs by this detector."""
    return lambda: Run(SpeechProcessor(SpeechTuning(Tuning(detector=detector))))


def some_calls(dice: random.Random, count: int):
    """Calls of which anything can be expected, and one of packets out of order."""
    numbered = reordered(dice, packets(count, babble(dice, 3), lost=(11, 40)))
    return [*(random_call(dice, number) for number in range(count)), numbered.close()]


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**32 - 1), poll=st.integers(1, 60), detector=detectors)
def test_outputs_and_state_do_not_depend_on_the_polls(seed, poll, detector):
    dice = random.Random(seed)
    assert_any_polls_are_the_same(runs_by(detector), interleaved(dice, some_calls(dice, 2)), poll)


@settings(deadline=None, max_examples=4)
@given(seed=st.integers(0, 2**32 - 1), poll=st.integers(1, 200))
def test_a_session_does_not_depend_on_its_neighbours(seed, poll):
    dice = random.Random(seed)
    assert_neighbours_change_nothing(runs_by("level"), some_calls(dice, 3), seed, poll)


@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 2**32 - 1), poll=st.integers(1, 100), detector=detectors)
def test_a_restart_between_any_two_polls_changes_nothing(seed, poll, detector):
    dice = random.Random(seed)
    assert_restarts_change_nothing(runs_by(detector), interleaved(dice, some_calls(dice, 2)), poll)
