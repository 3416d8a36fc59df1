import numpy as np
import pytest

from audio.vad import VoiceDetector
from processors.silence.logic import SilenceProcessor
from processors.silence.tuning import Tuning
from schemas.symbols import Channels, Codec, FrameKind, SilenceEventKind
from simulators.conversation import script
from tests.audio.test_vad import noise, tones, vowels
from tests.processors.silence.calls import RATE_HZ, Call, Run, log_of

SPOKEN = (SilenceEventKind.SPEECH,)
QUIET = (SilenceEventKind.SILENCE,)


def heard(*parts: np.ndarray, detector: str = "voice", frame_bytes: int = 320, **fields) -> Run:
    samples = np.concatenate(parts).astype("<i2").tobytes()
    call = Call(**fields).say(samples, frame_bytes).close()
    return Run(SilenceProcessor(Tuning(detector=detector))).feed(log_of(call))


def test_a_voice_is_speech_and_a_tone_is_neither_speech_nor_silence():
    found = heard(noise(2, 20), tones(2, 440, 480), noise(2, 20), vowels(3), noise(2, 20))
    assert all(7.8 * RATE_HZ > span[2] >= 5.9 * RATE_HZ for span in found.spans(*SPOKEN))
    assert [(span[2], span[4]) for span in found.spans(*QUIET)][:1] == [(0, "SOUND")]
    assert found.totals[0].sound_ms == pytest.approx(2000, abs=100)
    assert found.totals[0].speech_ms == pytest.approx(2700, abs=400)
    assert {event.detector for event in found.events} == {"voice-1"}


@pytest.mark.parametrize(("quiet", "share"), [(noise(8, 2), 0.1), (noise(8, 20), 0.5), (noise(8, 300), 1.0)])
def test_the_detector_is_not_asked_about_quiet_that_goes_on(monkeypatch, quiet, share):
    asked = 0
    step = VoiceDetector.step

    def counted(self, state, streams, samples):
        nonlocal asked
        asked += len(samples)
        return step(self, state, streams, samples)

    monkeypatch.setattr(VoiceDetector, "step", counted)
    found = heard(vowels(2), quiet, vowels(2))
    assert asked <= 200 + len(quiet) // 160 * share
    if share < 1:
        # what was passed over harms no edge
        assert found.spans(*SPOKEN)[-1][2] == pytest.approx(10 * RATE_HZ, abs=RATE_HZ // 20)
    assert found.totals[0].silence_ms >= 7_500


@pytest.mark.parametrize(("before", "after"), [(30, 300), (100, 1000), (1000, 30)])
def test_the_floor_follows_a_step_of_the_noise_within_a_second_and_speech_is_heard_over_it(before, after):
    step = 4 * RATE_HZ
    talk = noise(3, after, seed=3)
    talk += np.concatenate((np.zeros(RATE_HZ, np.int16), vowels(1.5), np.zeros(RATE_HZ // 2, np.int16)))
    found = heard(noise(4, before), noise(4, after, seed=2), talk)
    settled = [window for window in found.windows if step + RATE_HZ <= window.start_samples < 2 * step]
    assert len(settled) == 3
    assert {window.silence_ms for window in settled} == {1000}
    speech = [span for span in found.spans(*SPOKEN) if span[2] >= step + RATE_HZ]
    assert abs(speech[0][2] - (2 * step + RATE_HZ)) <= RATE_HZ // 10
    assert abs(speech[-1][3] - (2 * step + 2.5 * RATE_HZ)) <= RATE_HZ // 2


@pytest.mark.parametrize("factor", [2, 3, 6])
def test_higher_rates_are_brought_down_whatever_their_frames(factor):
    samples = np.concatenate((noise(1, 10), vowels(2), noise(1, 10)))
    at = np.arange(len(samples) * factor) / factor
    finer = np.rint(np.interp(at, np.arange(len(samples)), samples))
    found = heard(finer, sample_rate_hz=factor * RATE_HZ, frame_bytes=320 * factor)
    spoken = [(span[2] / factor, span[3] / factor) for span in found.spans(*SPOKEN)]
    assert spoken[0][0] == pytest.approx(RATE_HZ, abs=800)
    assert spoken[-1][1] == pytest.approx(3 * RATE_HZ, abs=1600)
    again = heard(finer, sample_rate_hz=factor * RATE_HZ, frame_bytes=998)
    assert again.spans() == found.spans()


def test_a_rate_that_cannot_be_brought_down_is_judged_by_its_level():
    found = heard(noise(2, 10), tones(2, 440), sample_rate_hz=11_025)
    assert {event.detector for event in found.events} == {"level-1"}
    assert {event.confidence for event in found.events} == {-1}
    assert found.totals[0].speech_ms > 0


@pytest.mark.parametrize(
    ("detector", "name"),
    [("level", "level-1"), ("fixed", "fixed-1"), ("moving_average", "moving-average-1"), ("voice", "voice-1")],
)
def test_the_setting_chooses_what_judges(detector, name):
    found = heard(noise(1, 10), vowels(2), noise(1, 10), detector=detector)
    assert {event.detector for event in found.events} == {name}
    assert found.spans(*SPOKEN)


def test_behind_a_break_the_detector_begins_anew():
    part = script.load().payload[: 2 * 9 * RATE_HZ]

    def call() -> Call:
        return Call(codec=Codec.PCMU, channels=Channels.EXTERNAL_INTERNAL).say(part, 320)

    alone = Run(SilenceProcessor()).feed(log_of(call().close()))
    twice = call().mark(FrameKind.GAP, 8000)
    start = twice.position
    found = Run(SilenceProcessor()).feed(log_of(twice.say(part, 320).close()))
    again = [(s[0], s[1], s[2] - start, s[3] - start) for s in found.spans(*SPOKEN, *QUIET) if s[2] >= start]
    assert again == [span[:4] for span in alone.spans(*SPOKEN, *QUIET)]


def test_speech_and_silence_say_how_sure_they_are():
    found = heard(noise(2, 20), vowels(3), noise(2, 20))
    sure = {event.kind: event.confidence for event in found.events}
    assert sure[SilenceEventKind.SPEECH] > 0.8
    assert sure[SilenceEventKind.SILENCE] > 0.8
    assert sure[SilenceEventKind.SPEECH_STARTED] == -1


def test_a_short_first_block_is_judged_by_what_there_is_of_it():
    payload = script.load().payload[2 * 9 * RATE_HZ : 2 * 10 * RATE_HZ]
    call = Call(codec=Codec.PCMU, channels=Channels.EXTERNAL_INTERNAL)
    call.position = 100
    found = Run(SilenceProcessor()).feed(log_of(call.say(payload, 320).close()))
    assert min(span[2] for span in found.spans()) == 100
    total = found.totals[0]
    assert total.speech_ms + total.sound_ms + total.silence_ms == total.audio_ms == 1000
