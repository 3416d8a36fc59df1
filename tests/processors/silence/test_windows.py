import numpy as np
import pytest

from processors.silence.logic import SilenceProcessor
from schemas.symbols import Channels, Codec
from tests.processors.silence.calls import RATE_HZ, Call, Run, log_of, run


def steady(value: int, seconds: float = 1) -> bytes:
    return np.full(int(seconds * RATE_HZ), value, "<i2").tobytes()


def test_a_direct_current_is_told_with_its_sign_per_side_whatever_the_frames():
    both = np.stack((np.full(8000, 3277), np.full(8000, -328)), axis=1).astype("<i2").tobytes()
    for size in (640, 1200, 4 * 8000):
        found = run(Call(channels=Channels.EXTERNAL_INTERNAL).say(both, size).close())
        assert [round(w.dc_offset_ratio, 4) for w in found.windows] == [0.1, -0.01]
        assert [round(t.dc_offset_ratio, 4) for t in found.totals] == [0.1, -0.01]


@pytest.mark.parametrize("poll", [1, 7, 1000])
def test_speech_sound_and_silence_of_a_second_are_its_audio_and_its_background_is_that_of_the_silence(poll):
    chance = np.random.default_rng(2)
    quiet = np.rint(chance.standard_normal(3 * RATE_HZ) * 10)
    tone = np.rint(3000 * np.sin(2 * np.pi * 425 * np.arange(2 * RATE_HZ) / RATE_HZ))
    call = Call().say(np.concatenate((quiet, tone, quiet)).astype("<i2").tobytes(), 700).close()
    found = Run(SilenceProcessor()).feed(log_of(call), poll)
    assert len(found.windows) == 8
    for window in found.windows:
        assert window.speech_ms + window.sound_ms + window.silence_ms == window.audio_ms == 1000
        assert window.silence_ratio == window.silence_ms / 1000
    assert [window.sound_ms for window in found.windows[3:5]] == [1000, 1000]
    assert [window.noise_floor_dbfs for window in found.windows[3:5]] == [None, None]
    assert found.windows[1].noise_floor_dbfs == pytest.approx(-70.3, abs=0.3)
    assert found.totals[0].sound_ms == sum(window.sound_ms for window in found.windows)


def test_a_window_whose_last_block_waits_is_told_when_the_audio_stops():
    found = run(Call(codec=Codec.PCMU).say(b"\xff" * 8000).close())
    assert [(row, record.silence_ms) for row, record in found.found if record in found.windows] == [(25, 1000)]
