from processors.silence.logic import SilenceProcessor
from processors.silence.tuning import Tuning
from tests.processors.silence.calls import BASE_S, QUIET, Call, Run, log_of


def test_everything_known_of_the_session_stands_in_every_record():
    call = Call(3, captured_at_s=BASE_S + 7).open(organisation="acme", queue="q", agent="eve").say(QUIET).close()
    run_of = Run(SilenceProcessor(Tuning(settings_hash="0123456789abcdef"))).feed(log_of(call))
    for _, record in run_of.found:
        assert (record.conversation_id, record.organisation) == ("conversation-3", "acme")
        assert (record.queue, record.agent, record.partial) == ("q", "eve", False)
        assert record.settings_hash == "0123456789abcdef"
        assert record.captured_at_us == round((BASE_S + 7) * 1e6)
        assert record.anchor_at_us == record.captured_at_us - 20_000  # the frame of 20 ms was heard before it came
