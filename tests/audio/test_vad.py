import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.vad import DELAY_FRAMES, FRAME_SAMPLES, VadState, VoiceDetector

RATE_HZ = 8000
DETECTOR = VoiceDetector()
STREAMS = 6
FRAMES = 40


def noise(seconds: float, rms: float, seed: int = 1) -> np.ndarray:
    return np.rint(np.random.default_rng(seed).standard_normal(int(seconds * RATE_HZ)) * rms).astype(np.int16)


def tones(seconds: float, *hz: float) -> np.ndarray:
    at = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return np.rint(3000 * sum(np.sin(2 * np.pi * one * at) for one in hz)).astype(np.int16)


def vowels(seconds: float, seed: int = 1) -> np.ndarray:
    """A buzz of a wandering pitch through three resonances, three syllables a second: enough of a voice."""
    chance = np.random.default_rng(seed)
    size = int(seconds * RATE_HZ)
    at = np.arange(size) / RATE_HZ
    pitch = 130 * 2 ** (0.25 * np.sin(2 * np.pi * 0.4 * at) + 0.05 * np.sin(2 * np.pi * 1.7 * at))
    phase = np.cumsum(pitch) / RATE_HZ
    buzz = np.diff(np.floor(phase), prepend=0.0) + 0.02 * chance.standard_normal(size)
    out = np.zeros(size)
    for place in range(0, size, 2667):
        part = buzz[place : place + 2667]
        spectrum, hz = np.fft.rfft(part), np.fft.rfftfreq(len(part), 1 / RATE_HZ)
        resonances = (chance.uniform(300, 800), chance.uniform(900, 2200), chance.uniform(2300, 3000))
        shape = sum(1 / (1 + ((hz - one) / 90) ** 2) / (1 + number) for number, one in enumerate(resonances))
        envelope = np.sin(np.pi * np.minimum(1, np.arange(len(part)) / 2000)) ** 0.5
        out[place : place + len(part)] = np.fft.irfft(spectrum * shape, len(part)) * envelope
    return np.rint(out / np.sqrt(np.mean(out**2)) * 2500).astype(np.int16)


def decided(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Speech and activity of one stream, as known after each frame."""
    state = VadState.new(1)
    frames = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, 1, FRAME_SAMPLES)
    answers = [DETECTOR.step(state, slice(None), frame) for frame in frames]
    return np.array([one.speech[0] for one in answers]), np.array([one.active[0] for one in answers])


def test_digital_silence_and_line_noise_are_neither():
    for samples in (np.zeros(40_000, np.int16), noise(5, 40), noise(5, 1000)):
        speech, active = decided(samples)
        assert speech[25:].mean() < 0.02
        assert active[25:].mean() < 0.02


def test_a_voice_is_speech_and_active_and_the_noise_behind_it_is_quiet():
    speech, active = decided(np.concatenate((noise(2, 30), vowels(3), noise(2, 30))))
    assert speech[110:245].mean() > 0.8
    assert active[110:245].mean() > 0.8
    assert speech[:98].mean() < 0.05
    assert speech[270:].mean() < 0.05


def test_a_tone_is_active_but_no_speech():
    speech, active = decided(np.concatenate((noise(1, 20), tones(2, 425), noise(1, 20), tones(2, 440, 480))))
    assert speech.mean() < 0.1
    assert active[60:145].mean() > 0.8


def test_clicks_are_no_speech():
    samples = noise(6, 15)
    chance = np.random.default_rng(4)
    for at in range(8000, 47_000, 1900):
        samples[at : at + 60] += np.rint(chance.standard_normal(60) * 6000 * np.exp(-np.arange(60) / 12)).astype(
            np.int16
        )
    assert decided(samples)[0].mean() < 0.05


def streams() -> np.ndarray:
    kinds = [
        noise(1, 200, 1),
        vowels(1, 2),
        tones(1, 697, 1209),
        noise(1, 3000, 3),
        vowels(1, 4),
        np.zeros(8000, np.int16),
    ]
    return np.stack([kind[: FRAMES * FRAME_SAMPLES] for kind in kinds]).reshape(STREAMS, FRAMES, FRAME_SAMPLES)


SOUND = streams()


def alone() -> tuple[np.ndarray, VadState]:
    state = VadState.new(STREAMS)
    odds = np.empty((STREAMS, FRAMES), np.float32)
    for stream in range(STREAMS):
        for frame in range(FRAMES):
            rows = np.array((stream,))
            odds[stream, frame] = DETECTOR.step(state, rows, SOUND[rows, frame]).odds[0]
    return odds, state


ODDS, LAST = alone()


@settings(max_examples=12)
@given(st.data())
def test_any_grouping_gives_the_same_answers_and_the_same_state(data):
    state = VadState.new(STREAMS)
    done = np.zeros(STREAMS, np.int64)
    while (done < FRAMES).any():
        left = np.flatnonzero(done < FRAMES).tolist()
        rows = np.array(data.draw(st.lists(st.sampled_from(left), min_size=1, unique=True)), np.intp)
        for _ in range(data.draw(st.integers(1, int(FRAMES - done[rows].max())))):
            answers = DETECTOR.step(state, rows, SOUND[rows, done[rows]])
            assert (answers.odds == ODDS[rows, done[rows]]).all()
            done[rows] += 1
    assert (state.history == LAST.history).all()
    assert (state.numbers == LAST.numbers).all()


def test_a_state_can_be_packed_and_restored_between_any_two_frames():
    state = VadState.new(STREAMS)
    for frame in range(FRAMES):
        answers = DETECTOR.step(state, slice(None), np.ascontiguousarray(SOUND[:, frame]))
        assert (answers.odds == ODDS[:, frame]).all()
        shape = state.numbers.shape
        numbers = np.frombuffer(state.numbers.tobytes(), np.float32).reshape(shape).copy()
        state = VadState(np.frombuffer(state.history.tobytes(), np.int16).reshape(STREAMS, -1).copy(), numbers)


def test_answers_come_as_late_as_promised():
    speech, _ = decided(np.concatenate((noise(2, 30), vowels(2))))
    first = int(np.flatnonzero(speech)[0])
    assert 100 + DELAY_FRAMES <= first <= 100 + DELAY_FRAMES + 6


@settings(max_examples=10)
@given(st.data())
def test_frames_of_a_poll_are_taken_in_turns(data):
    state = VadState.new(STREAMS)
    done = np.zeros(STREAMS, np.int64)
    while (done < FRAMES).any():
        left = np.flatnonzero(done < FRAMES).tolist()
        rows = np.array(data.draw(st.lists(st.sampled_from(left), min_size=1, max_size=30)), np.intp)
        at = np.array([done[row] + np.count_nonzero(rows[:place] == row) for place, row in enumerate(rows)])
        rows, at = rows[at < FRAMES], at[at < FRAMES]
        speech, _, odds = DETECTOR.run(state, rows, SOUND[rows, at])
        assert (odds == ODDS[rows, at]).all()
        assert len(speech) == len(rows)
        np.add.at(done, rows, 1)
    assert (state.numbers == LAST.numbers).all()


def test_a_delay_the_network_does_not_know_is_refused():
    with pytest.raises(ValueError, match="delay_frames is 3"):
        VoiceDetector(3)


def test_streams_passed_over_are_quiet_and_stay_as_they_were_but_for_the_end_of_their_last_frame():
    sound = np.concatenate((noise(0.2, 30), vowels(0.6), noise(0.4, 30)))
    frames = sound.reshape(-1, 1, FRAME_SAMPLES).repeat(3, axis=1)
    rows = np.array([4, 0, 2])
    state = VadState.new(5)
    for frame in frames[:40]:
        DETECTOR.heed(state, rows, frame, np.ones(3, np.bool_))
    before = state.numbers.copy()
    others = VadState(state.history.copy(), before.copy())
    answers = DETECTOR.heed(state, rows, frames[40], np.array([False, True, False]))
    alone = DETECTOR.step(others, rows[1:2], frames[40, 1:2])
    assert not answers.speech[[0, 2]].any()
    assert not answers.active[[0, 2]].any()
    assert answers.odds[[0, 2]].max() < -7
    assert (answers.speech[1], answers.active[1], answers.odds[1]) == (alone.speech, alone.active, alone.odds)
    assert (state.numbers[[4, 2]] == before[[4, 2]]).all()
    assert (state.numbers[0] == others.numbers[0]).all()
    assert (state.history[rows] == frames[40][:, FRAME_SAMPLES - state.history.shape[1] :]).all()
