import numpy as np

from processors.silence.media import block_start, media, parts_of
from schemas.symbols import Codec, FrameKind
from tests.processors.silence.calls import Call, run


def test_audio_that_cannot_be_decoded_is_counted_and_not_judged():
    call = Call(codec=Codec.OPUS)
    for _ in range(50):
        call.put(FrameKind.AUDIO, payload=b"opus", duration_samples=160)
        call.position += 160
    found = run(call.close())
    assert found.events == []
    window = found.windows[0]
    assert (window.audio_ms, window.frames, window.bytes) == (1000, 50, 200)
    assert (window.level_dbfs, window.speech_ratio, window.speech_ms) == (None, -1, 0)


def test_media_is_one_number_and_back():
    number = media(np.array([11_025]), np.array([5]), np.array([1]))
    assert parts_of(int(number[0])) == (11_025, 5, 1)


def test_a_second_has_50_blocks_at_any_rate():
    for rate_hz in (8000, 11_025, 16_000, 44_100):
        assert block_start(50, rate_hz) == rate_hz
        assert block_start(0, rate_hz) == 0
