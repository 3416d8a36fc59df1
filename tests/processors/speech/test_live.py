"""The metric says how many bytes of audio were passed and left out; marks are no part of it."""

from processors.speech.live import MeteredSpeech
from runtime import metrics
from schemas.symbols import FrameKind
from tests.processors.silence.calls import QUIET, Call, log_of, sine
from tests.processors.speech.calls import LEVEL, Run, value_of

OUTCOMES = ("passed", "left_out")


def counted() -> list[float]:
    return [metrics.SPEECH_BYTES.labels(outcome)._value.get() for outcome in OUTCOMES]


def test_every_byte_of_audio_is_counted_once_by_what_became_of_it():
    call = Call().open().say(QUIET[:32_000]).say(sine(0.1, 8000)).close()
    before = counted()
    run = Run(MeteredSpeech(LEVEL)).feed(log_of(call), 7)
    passed, left_out = (now - then for now, then in zip(counted(), before, strict=True))
    audio = [value_of(frame) for frame in call.frames if frame.kind is FrameKind.AUDIO]
    assert passed == sum(len(value) for value in audio if value in run.values)
    assert passed + left_out == sum(map(len, audio))
    assert left_out > passed > 0


def test_what_expires_is_counted_too():
    before = counted()
    run = Run(MeteredSpeech(LEVEL)).feed(log_of(Call().open().say(QUIET[:3200])))
    assert counted() == before
    run.expire(1000 + 15 * 60_000)
    assert counted()[1] > before[1]
