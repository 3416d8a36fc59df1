"""The processor on its host: crashes and polls leave no trace in what was written."""

import random

import pytest

from processors.silence.logic import SilenceProcessor
from runtime.clock import ManualClock
from runtime.testing import Driver
from schemas.symbols import Channels, Codec, FrameKind
from schemas.topics import ACTIVITY, SILENCE
from simulators.conversation import script
from tests.processors.silence.calls import ENCODER, Call


def log() -> list[tuple[bytes, bytes]]:
    """Two calls side by side, one of them with a gap, and a garbage record in the middle."""
    payload = script.load().payload[: 2 * 8000 * 9]
    calls = [Call(number, Codec.PCMU, Channels.EXTERNAL_INTERNAL).open().say(payload, 3200) for number in range(2)]
    calls[1].mark(FrameKind.GAP, 4000).say(payload, 1600).close()
    calls[0].close()
    waiting = [[(call.key, ENCODER.encode(frame)) for frame in call.frames] for call in calls]
    dice, mixed = random.Random(5), []
    while any(waiting):
        mixed.append(dice.choice([frames for frames in waiting if frames]).pop(0))
    mixed.insert(len(mixed) // 2, (b"x", b"garbage"))
    return mixed


def driven(poll: int, crash_every: int = 0, commit_every: int = 1) -> Driver:
    driver = Driver(SilenceProcessor(), clock=ManualClock())
    for number, (key, value) in enumerate(log()):
        driver.send_value(value, key=key, timestamp_ms=1_700_000_000_000 + 100 * number)
    steps = 0
    while driver.step(poll):
        steps += 1
        if steps % commit_every == 0:
            driver.commit()
        if crash_every and steps % crash_every == 0:
            # what was not committed is lost and done again; committing first lets the test end
            driver.crash()
            driver.step(poll)
            driver.commit()
    driver.commit()
    return driver


@pytest.fixture(scope="module")
def undisturbed() -> Driver:
    return driven(100_000)


@pytest.mark.parametrize(("poll", "crash_every", "commit_every"), [(1, 0, 50), (7, 3, 2), (64, 2, 5)])
def test_the_topics_are_byte_equal_through_crashes_and_any_polls(undisturbed, poll, crash_every, commit_every):
    driver = driven(poll, crash_every, commit_every)
    assert driver.outputs == undisturbed.outputs
    assert driver.entry.state == undisturbed.entry.state


def test_both_topics_are_written_and_the_garbage_is_a_dead_letter(undisturbed):
    assert undisturbed.records(SILENCE.name)
    assert undisturbed.records(ACTIVITY.name)
    assert [letter.value for letter in undisturbed.dead_letters] == [b"garbage"]
