"""The processor on its host: crashes and polls leave no trace in what was written, copies are the inputs' own bytes."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.speech.logic import SpeechProcessor
from runtime.testing import Driver
from schemas.symbols import Channels, Codec, FrameKind
from schemas.topics import SPEECH
from simulators.conversation import script
from tests.processors.driving import CRASHES, driven, shuffled
from tests.processors.silence.calls import ENCODER, Call
from tests.processors.speech.calls import LEVEL, babble, packets


def log() -> list[tuple[bytes, bytes]]:
    """Two calls side by side, one of them with a gap, a third of packets, and a garbage record in the middle."""
    payload = script.load().payload[: 2 * 8000 * 9]
    calls = [Call(number, Codec.PCMU, Channels.EXTERNAL_INTERNAL).open().say(payload, 3200) for number in range(2)]
    calls[1].mark(FrameKind.GAP, 4000).say(payload, 1600).close()
    calls[0].close()
    third = packets(2, babble(random.Random(3), 4), lost=(30, 31, 77))
    return shuffled([*calls, third], ENCODER.encode)


@pytest.fixture(scope="module")
def undisturbed() -> Driver:
    return driven(SpeechProcessor(), log())


@pytest.mark.parametrize(("poll", "crash_every", "commit_every"), CRASHES)
def test_the_topic_is_byte_equal_through_crashes_and_any_polls(undisturbed, poll, crash_every, commit_every):
    driver = driven(SpeechProcessor(), log(), poll, crash_every, commit_every)
    assert driver.outputs == undisturbed.outputs
    assert driver.entry.state == undisturbed.entry.state


def test_copies_are_input_records_once_each_and_the_garbage_is_a_dead_letter(undisturbed):
    copies = [(output.key, output.value) for output in undisturbed.outputs if output.topic == SPEECH.name]
    assert set(copies) < set(log())
    assert 20 < len(copies) == len(set(copies))
    assert [letter.value for letter in undisturbed.dead_letters] == [b"garbage"]


@settings(deadline=None, max_examples=3)
@given(crash_every=st.integers(1, 3), commit_every=st.integers(1, 4), seed=st.integers(0, 99))
def test_a_crash_between_any_two_records_changes_nothing(crash_every, commit_every, seed):
    call = Call().open().say(babble(random.Random(seed), 2)).mark(FrameKind.PAUSED)
    entries = [(call.key, ENCODER.encode(frame)) for frame in call.frames]
    whole = driven(SpeechProcessor(LEVEL), entries)
    parts = driven(SpeechProcessor(LEVEL), entries, 1, crash_every, commit_every)
    assert (parts.outputs, parts.entry.state) == (whole.outputs, whole.entry.state)
