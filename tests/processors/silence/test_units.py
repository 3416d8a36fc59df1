from processors.silence import state as columns
from tests.processors.silence.calls import FIVE_S, QUIET, Call, Run, log_of


def test_a_block_of_many_frames_is_told_by_the_frame_that_completes_the_next_one():
    call = Call().say(QUIET[:16_000], 2 * 40)
    found = Run().feed(log_of(call.say(QUIET)), 3)
    announced = next(row for row, record in found.found if record.kind.value == "SILENCE_STARTED")
    assert announced == 4 * 14 - 1
    assert found.state.session[0, columns.HEAD] == FIVE_S + 8000
