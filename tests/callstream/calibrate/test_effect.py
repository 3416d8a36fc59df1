from dataclasses import replace

import numpy as np
import pytest

from callstream.calibrate.effect import Effect, effects
from callstream.calibrate.listening import listen
from processors.silence.tuning import Tuning
from schemas.symbols import Channel, Channels, FrameKind
from tests.callstream.calibrate.sounds import RATE_HZ, as_l16, decoded, frame, noise, opened

LEVEL = Tuning(detector="level")
HUM = noise(10, -38)
AT_TEN_S = 10 * RATE_HZ


def of(tuning: Tuning, *values: bytes) -> dict[Channel, Effect]:
    frames, keys = decoded(*values)
    return {each.channel: each for each in effects(frames, keys, listen(frames, keys).streams, tuning)}


def tones(*parts: tuple[float, float]) -> np.ndarray:
    """Tones of (seconds, dBFS)."""
    waves = []
    for seconds, dbfs in parts:
        time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
        waves.append(np.rint(32_768 * 2**0.5 * 10 ** (dbfs / 20) * np.sin(2 * np.pi * 400 * time)))
    return np.concatenate(waves)


def test_spans_and_silences_are_those_of_the_service():
    audio = as_l16(tones((2, -20), (3, -70), (1, -20), (4, -70)))
    found = of(LEVEL, opened(0), frame(0, 1, payload=audio), frame(0, 2, FrameKind.CLOSED, position_samples=80_000))
    external = found[Channel.EXTERNAL]
    assert (external.speech_spans, external.silences) == (2, 2)
    assert external.longest_silence_s == 4
    assert external.active_ratio == pytest.approx(0.3, abs=0.005)


def test_a_call_that_goes_on_is_ended_for_the_count():
    (found,) = of(LEVEL, opened(0), frame(0, 1, payload=as_l16(tones((2, -20), (3, -70))))).values()
    assert (found.speech_spans, found.silences, found.longest_silence_s) == (1, 1, 3)


def test_noise_above_the_threshold_is_active_and_below_it_is_not():
    values = (opened(0), frame(0, 1, payload=as_l16(HUM)))
    (low,) = of(replace(LEVEL, on_dbfs=-40, off_dbfs=-43), *values).values()
    (high,) = of(replace(LEVEL, on_dbfs=-32, off_dbfs=-35), *values).values()
    assert (low.active_noise_ratio, high.active_noise_ratio) == (1, 0)
    assert (low.quiet_speech_ratio, high.quiet_speech_ratio) == (-1, -1)
    assert (low.active_ratio, high.active_ratio) == (1, 0)
    assert high.longest_silence_s == 10


def test_channels_and_calls_are_counted_apart():
    stereo = as_l16(tones((5, -20)), tones((5, -70)))
    found = of(
        LEVEL,
        opened(0),
        frame(0, 1, payload=stereo, channels=Channels.EXTERNAL_INTERNAL),
        opened(1),
        frame(1, 1, payload=as_l16(tones((5, -70)))),
    )
    assert list(found) == [Channel.EXTERNAL, Channel.INTERNAL]
    assert found[Channel.EXTERNAL].active_ratio == pytest.approx(0.5)
    assert (found[Channel.EXTERNAL].speech_spans, found[Channel.EXTERNAL].silences) == (1, 1)
    assert found[Channel.INTERNAL].active_ratio == 0


def test_positions_of_a_call_count_not_the_time_it_was_stored():
    late = frame(0, 2, payload=as_l16(tones((2, -20))), position_samples=AT_TEN_S)
    (found,) = of(LEVEL, opened(0), frame(0, 1, payload=as_l16(tones((3, -70)))), late).values()
    assert found.active_ratio == pytest.approx(0.4, abs=0.01)


def test_the_voice_detector_is_not_judged_by_itself():
    (found,) = of(Tuning(), opened(0), frame(0, 1, payload=as_l16(HUM))).values()
    assert (found.active_noise_ratio, found.quiet_speech_ratio) == (-1, -1)
    assert (found.active_ratio, found.silences) == (0, 1)
