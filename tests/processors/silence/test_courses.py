import numpy as np

from audio.frames import decode
from processors.silence import state as columns
from processors.silence.courses import Courses, ends, firsts
from processors.silence.media import rows_of
from processors.silence.state import SilenceState
from tests.processors.silence.calls import ENCODER, QUIET, STORE, Call, Run, log_of


def test_firsts_and_ends_bound_what_has_the_same_keys():
    first = firsts(np.array([1, 1, 2, 2, 2]), np.array([5, 6, 6, 6, 7]))
    assert first.tolist() == [True, True, True, False, True]
    assert ends(first.nonzero()[0], len(first)).tolist() == [0, 1, 3, 4]
    assert firsts(np.zeros(0, np.int64)).tolist() == []
    assert ends(np.zeros(0, np.int64), 0).tolist() == []


def courses(state: SilenceState, *calls: Call) -> Courses:
    frames = decode([ENCODER.encode(frame) for call in calls for frame in call.frames], STORE)
    slots = np.array([2 * call.number for call in calls for _ in call.frames])
    return Courses.of(state, rows_of(frames, slots, np.ones(len(frames), np.bool_)))


def test_each_session_goes_on_from_its_own_head_and_never_back():
    state = Run().feed(log_of(Call(0).say(QUIET[:1600]), Call(1).say(QUIET[:320]))).state
    first, second = Call(0).say(QUIET[:640]), Call(1)
    second.position = 160
    found = courses(state, first, second.say(QUIET[:640]))
    assert found.slot.tolist() == [0, 2]
    assert found.rank.tolist() == [0, 0, 1, 1]
    assert found.before.tolist() == [800, 800, 160, 320]
    assert found.end.tolist() == [800, 800, 320, 480]


def test_work_on_the_rows_of_the_sessions_leaves_the_state_alone():
    state = Run().feed(log_of(Call().say(QUIET[:1600]))).state
    courses(state, Call().say(QUIET[:320])).session[:] = -1
    assert state.session[0, columns.HEAD] == 800
