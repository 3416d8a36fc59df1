"""The processor on its host: crashes and polls leave no trace in what was written."""

import pytest

from processors.silence.logic import SilenceProcessor
from runtime.testing import Driver
from schemas.symbols import Channels, Codec, FrameKind
from schemas.topics import ACTIVITY, SILENCE
from simulators.conversation import script
from tests.processors.driving import CRASHES, driven, shuffled
from tests.processors.silence.calls import ENCODER, Call


def log() -> list[tuple[bytes, bytes]]:
    """Two calls side by side, one of them with a gap, and a garbage record in the middle."""
    payload = script.load().payload[: 2 * 8000 * 9]
    calls = [Call(number, Codec.PCMU, Channels.EXTERNAL_INTERNAL).open().say(payload, 3200) for number in range(2)]
    calls[1].mark(FrameKind.GAP, 4000).say(payload, 1600).close()
    calls[0].close()
    return shuffled(calls, ENCODER.encode)


@pytest.fixture(scope="module")
def undisturbed() -> Driver:
    return driven(SilenceProcessor(), log())


@pytest.mark.parametrize(("poll", "crash_every", "commit_every"), CRASHES)
def test_the_topics_are_byte_equal_through_crashes_and_any_polls(undisturbed, poll, crash_every, commit_every):
    driver = driven(SilenceProcessor(), log(), poll, crash_every, commit_every)
    assert driver.outputs == undisturbed.outputs
    assert driver.entry.state == undisturbed.entry.state


def test_both_topics_are_written_and_the_garbage_is_a_dead_letter(undisturbed):
    assert undisturbed.records(SILENCE.name)
    assert undisturbed.records(ACTIVITY.name)
    assert [letter.value for letter in undisturbed.dead_letters] == [b"garbage"]
