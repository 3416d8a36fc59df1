"""Transcription on the shipped driver: a crash at any step leaves every utterance, and repeats with equal bytes."""

import itertools

import pytest

from processors.transcription.forward import Transcription
from runtime.forward_testing import Crashed, ForwardDriver, Point
from schemas.symbols import UtteranceKind
from schemas.topics import UTTERANCES
from tests.processors.transcription.calls import BASE_MS, Call, tick

POINTS = (Point.BEFORE_WRITE, Point.AFTER_WRITE, Point.BEFORE_COMMIT)


def driven() -> ForwardDriver:
    """Two calls side by side, one of them lost, with garbage and a misplaced event between them."""
    driver = ForwardDriver(Transcription())
    one, two = Call(0, language="de"), Call(1)
    events = [
        one.opened(),
        two.opened(),
        one.text("good"),
        two.digit("1"),
        one.digit("7"),
        two.text("bye"),
        one.closed(),
    ]
    for number, event in enumerate(events):
        driver.send(event, key=event.conversation_id, timestamp_ms=BASE_MS + 300 * number)
    driver.send_value(b"garbage", key=b"x", timestamp_ms=BASE_MS + 3000)
    driver.send(two.text("never"), key="another", timestamp_ms=BASE_MS + 3000)
    for number in range(1, 182):
        driver.send_value(driver.store.encode(tick()), timestamp_ms=BASE_MS + 3000 + 5000 * number)
    return driver


async def test_the_log_becomes_utterances_with_the_input_s_timestamps_and_dead_letters():
    driver = driven()
    await driver.run()
    found = [(one.conversation_id[-1], one.kind, one.text) for one in driver.records(UTTERANCES.name)]
    opened, text, closed = UtteranceKind.OPENED, UtteranceKind.TEXT, UtteranceKind.CLOSED
    assert found == [
        ("0", opened, None),
        ("1", opened, None),
        ("0", text, "good"),
        ("1", text, "1"),
        ("0", text, "7"),
        ("1", text, "bye"),
        ("0", closed, None),
        ("1", closed, None),
    ]
    assert [output.timestamp_ms - BASE_MS for output in driver.outputs[:-1]] == [300 * number for number in range(7)]
    assert driver.dead_letters == [7, 8]
    assert [output.key for output in driver.outputs[:2]] == [b"conversation-0", b"conversation-1"]


@pytest.mark.parametrize(("point", "times"), list(itertools.product(POINTS, (1, 2, 5, 8))))
async def test_a_crash_leaves_every_utterance_and_repeats_with_equal_bytes(point, times):
    undisturbed = driven()
    await undisturbed.run()
    driver = driven()
    driver.crash_at(point, times)
    with pytest.raises(Crashed):
        await driver.run()
    await driver.run()
    assert list(dict.fromkeys(driver.outputs)) == undisturbed.outputs
    assert driver.dead_letters[-2:] == undisturbed.dead_letters
    assert len(driver.outputs) <= len(undisturbed.outputs) + 1


async def test_a_new_owner_late_in_a_call_knows_what_was_said_about_it():
    driver = ForwardDriver(Transcription())
    call = Call(0, language="de")
    driver.send(call.opened(), key=call.conversation, timestamp_ms=BASE_MS)
    await driver.run()
    driver.crash()
    driver.send(call.digit("1"), key=call.conversation, timestamp_ms=BASE_MS + 60_000)
    await driver.run()
    (_, pressed) = driver.records(UTTERANCES.name)
    assert (pressed.partial, pressed.language) == (False, "de")
