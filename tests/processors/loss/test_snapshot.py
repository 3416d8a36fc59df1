"""The bytes of a state; test_determinism restarts random calls between any two polls."""

from processors.loss.logic import LossProcessor
from processors.loss.tuning import Tuning
from tests.processors.loss.calls import Call, Run, log_of, run


def test_a_session_that_did_not_change_is_not_written_anew_and_one_that_did_is():
    calls = [Call(number).open().say(1) for number in range(2)]
    found = run(*calls)
    found.processor.snapshot(found.state)
    packed = dict(found.state.packed)
    more = Call(1)
    more.sequence, more.position = calls[1].sequence, calls[1].position
    found.feed(log_of(more.say(6)))
    found.processor.snapshot(found.state)
    assert [found.state.packed[slot] is packed[slot] for slot in sorted(packed)] == [True, False]


def test_a_state_goes_on_with_another_length_of_the_window():
    call = Call().open().say(6)
    content = run(call).processor.snapshot(run(call).state)
    again = Run(LossProcessor(Tuning(window_s=2)))
    again.state = again.processor.restore(again.processor.state_version, content)
    later = Call()
    later.sequence, later.position = call.sequence, call.position
    again.feed(log_of(later.say(5).close()))
    assert [window.end_samples // 8000 for window in again.windows] == [8, 10, 11]
