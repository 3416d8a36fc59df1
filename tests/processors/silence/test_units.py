import numpy as np

from processors.silence import state as columns
from processors.silence.units import firsts, lasts
from tests.processors.silence.calls import FIVE_S, QUIET, Call, Run, log_of


def test_firsts_and_lasts_bound_what_has_the_same_keys():
    first = firsts(np.array([1, 1, 2, 2, 2]), np.array([5, 6, 6, 6, 7]))
    assert first.tolist() == [True, True, True, False, True]
    assert lasts(first).tolist() == [True, True, False, True, True]
    assert firsts(np.zeros(0, np.int64)).tolist() == []


def test_a_block_of_many_frames_is_told_by_the_frame_that_completes_the_next_one():
    call = Call().say(QUIET[:16_000], 2 * 40)
    found = Run().feed(log_of(call.say(QUIET)), 3)
    announced = next(row for row, record in found.found if record.kind.value == "SILENCE_STARTED")
    assert announced == 4 * 14 - 1
    assert found.state.session[0, columns.HEAD] == FIVE_S + 8000
