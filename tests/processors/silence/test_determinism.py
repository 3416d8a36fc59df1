"""Same records in, same records out: whatever the polls, the neighbours and the restarts."""

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.silence.logic import SilenceProcessor
from processors.silence.tuning import Tuning
from schemas.symbols import Channels, Codec, FrameKind, Reason
from tests.processors.driving import (
    assert_any_polls_are_the_same,
    assert_neighbours_change_nothing,
    assert_restarts_change_nothing,
    interleaved,
)
from tests.processors.silence.calls import Call, Run

CODECS = (Codec.PCMU, Codec.PCMA, Codec.L16_LE, Codec.L16_BE, Codec.OPUS, Codec.TELEPHONE_EVENT)
MARKS = (FrameKind.PAUSED, FrameKind.RESUMED, FrameKind.DISCARDED, FrameKind.GAP, FrameKind.ALIVE, FrameKind.UNKNOWN)
LOUDNESS = (0, 60, 250, 400, 3000, 40_000)


def speech(dice: random.Random, codec: Codec, channels: int, samples: int) -> bytes:
    """Noise whose loudness changes now and then, as bytes of the codec."""
    noise = np.random.default_rng(dice.getrandbits(32))
    loud = noise.choice(LOUDNESS, (samples // 700 + 1, channels)).repeat(700, axis=0)[:samples]
    wave = np.clip(noise.normal(0, 1, (samples, channels)) * loud, -32768, 32767)
    if codec in (Codec.PCMU, Codec.PCMA):
        # not a codec: bytes whose magnitude follows the wave
        magnitude = np.log2(1 + np.abs(wave)) * 8
        bits = np.clip(magnitude, 0, 127).astype(np.uint8) | np.where(wave < 0, 128, 0).astype(np.uint8)
        return (~bits if codec is Codec.PCMU else bits ^ np.uint8(0xD5)).tobytes()
    return wave.astype(">i2" if codec is Codec.L16_BE else "<i2").tobytes()


def runs_by(detector: str):
    """What makes runs by this detector."""
    return lambda: Run(SilenceProcessor(Tuning(detector=detector)))


detectors = st.sampled_from(("voice", "voice", "level", "moving_average"))
LAYOUTS = (Channels.EXTERNAL, Channels.EXTERNAL_INTERNAL, Channels.INTERNAL_EXTERNAL, Channels.MIXED)
STEREO = (Channels.EXTERNAL_INTERNAL, Channels.INTERNAL_EXTERNAL)


def talk(dice: random.Random, call: Call) -> None:
    usual = dice.choice((80, 160, 160, 160, 161, 333, 1600, 12_000))
    for _ in range(dice.randint(1, 25)):
        samples = usual if dice.random() < 0.8 else dice.choice((0, 1, 79, 160, 240, 2000))
        odd = b"\x01" * dice.choice((0, 0, 0, 1))
        payload = speech(dice, call.codec, 1 + (call.channels in STEREO), samples) + odd
        call.put(FrameKind.AUDIO, payload=payload, duration_samples=samples)
        call.position += samples


def jump(dice: random.Random, call: Call) -> None:
    call.position = max(0, call.position + dice.choice((-5000, -160, -7, 3, 160, 2400, 40_000, 900_000)))


def change(dice: random.Random, call: Call) -> None:
    if dice.random() < 0.6:
        call.codec = dice.choice(CODECS)
    else:
        call.channels = dice.choice(LAYOUTS)


def lose(dice: random.Random, call: Call) -> None:
    call.sequence += dice.randint(1, 3)


def inform(dice: random.Random, call: Call) -> None:
    call.open(agent=dice.choice("abc"), queue="q")


def repeat(dice: random.Random, call: Call) -> None:
    if call.frames:
        call.frames.extend(call.frames[-dice.randint(1, len(call.frames)) :])


def mark(dice: random.Random, call: Call) -> None:
    duration = dice.choice((-1, 0, 80, 1600, 9600, 600_000))
    reason = dice.choice((Reason.UNKNOWN, Reason.RECONNECT, Reason.SECURE_PAUSE))
    call.mark(dice.choice(MARKS), duration, moves=dice.random() < 0.8, reason=reason)


ACTIONS = (*[talk] * 20, jump, jump, change, change, lose, inform, repeat, mark, mark, mark)


def random_call(dice: random.Random, number: int) -> Call:
    call = Call(number, dice.choice(CODECS[:4]), dice.choice(LAYOUTS))
    call.fields["sample_rate_hz"] = dice.choice((8000, 8000, 8000, 16000, 48_000, 11025))
    if dice.random() < 0.7:
        call.open(organisation="o")
    for _ in range(dice.randint(1, 12)):
        dice.choice(ACTIONS)(dice, call)
    if dice.random() < 0.5:
        call.close(reason=dice.choice((Reason.END, Reason.IDLE)))
        if dice.random() < 0.3:
            call.say(bytes(1600))
    return call


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), poll=st.integers(1, 60), calls=st.integers(1, 5), detector=detectors)
def test_outputs_and_state_do_not_depend_on_the_polls(seed, poll, calls, detector):
    dice = random.Random(seed)
    log = interleaved(dice, [random_call(dice, number) for number in range(calls)])
    assert_any_polls_are_the_same(runs_by(detector), log, poll)


@settings(deadline=None, max_examples=4)
@given(seed=st.integers(0, 2**32 - 1), detector=detectors)
def test_one_row_at_a_time_is_the_same_as_all_at_once(seed, detector):
    dice = random.Random(seed)
    log = interleaved(dice, [random_call(dice, number) for number in range(2)])
    run = runs_by(detector)
    assert run().feed(log, 1).found == run().feed(log, 10_000).found


@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 2**32 - 1), poll=st.integers(1, 200), detector=detectors)
def test_a_session_does_not_depend_on_its_neighbours(seed, poll, detector):
    dice = random.Random(seed)
    calls = [random_call(dice, number) for number in range(4)]
    assert_neighbours_change_nothing(runs_by(detector), calls, seed, poll)


@settings(deadline=None, max_examples=6)
@given(seed=st.integers(0, 2**32 - 1), poll=st.integers(1, 100), detector=detectors)
def test_a_restart_between_any_two_polls_changes_nothing(seed, poll, detector):
    dice = random.Random(seed)
    log = interleaved(dice, [random_call(dice, number) for number in range(3)])
    assert_restarts_change_nothing(runs_by(detector), log, poll)
