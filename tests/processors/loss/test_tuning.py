from processors.loss.logic import LossProcessor
from processors.loss.tuning import Tuning
from tests.processors.loss.calls import Call, Run, log_of


def test_the_window_and_the_limits_are_those_it_is_given():
    call = Call().open().say(4)
    call.late_s = 0.3
    call.say(0.2)
    call.late_s = 0
    log = log_of(call.say(2).close())
    tuned = Run(LossProcessor(Tuning(window_s=1, stall_ms=400))).feed(log)
    assert [window.end_samples for window in tuned.windows] == [8000, 16_000, 24_000, 32_000, 40_000, 48_000, 49_600]
    assert tuned.final.stalls == 0
    assert Run().feed(log).final.stalls == 1


def test_the_digest_is_no_setting():
    assert "settings_hash" not in Tuning.names()
    assert LossProcessor(Tuning(settings_hash="0123456789abcdef")).settings_hash == "0123456789abcdef"
