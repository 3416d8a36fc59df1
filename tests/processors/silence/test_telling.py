from processors.silence import state as columns
from tests.processors.silence.calls import LOUD, QUIET, Call, Run, log_of


def late(run: Run) -> tuple[int, int]:
    session = run.state.session[0]
    return int(session[columns.LATE]), int(session[columns.BLOCK])


def test_one_complete_block_always_waits_and_is_told_by_the_next_or_by_the_end():
    call = Call().say(QUIET[: 2 * 480])
    run = Run().feed(log_of(call))
    assert late(run) == (320, 480)
    call.frames.clear()
    run.feed(log_of(call.say(LOUD[: 2 * 80])))
    assert late(run) == (320, 480)
    call.frames.clear()
    run.feed(log_of(call.say(LOUD[2 * 80 : 2 * 160])))
    assert late(run) == (480, 640)
    call.frames.clear()
    run.feed(log_of(call.close()))
    assert (run.totals[0].silence_ms, run.totals[0].speech_ms) == (60, 20)
