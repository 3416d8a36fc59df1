"""Keys a caller presses: published only where that is allowed, and readable nowhere else."""

import json

import pytest
from prometheus_client import REGISTRY, generate_latest

from ingest.protocol import EventReceived, Observation
from ingest.sources.audiohook.protocol import Limits
from runtime.deadletter import blanked
from schemas import topics
from schemas.codec import as_datum
from schemas.records import CallEvent
from schemas.symbols import CallEventKind
from schemas.versions import newest
from sinks.audit_log.redaction import Digester, plain, redactor
from tests.ingest.sources.audiohook.test_protocol import Conversation, facts, observed, of
from tests.ingest.sources.audiohook.words import Client
from tests.ingest.test_server import OPEN, dial, said, serving
from tests.ingest.test_session import STORE, FakeOutlet

DIGITS = "0123456789*#ABCD"


def pressed(digit: object, *, allowed: bool = True) -> CallEvent:
    call = Conversation(Limits(publish_digits=allowed))
    call.open()
    (event,) = of(EventReceived, call.say("dtmf", parameters={"digit": digit}))
    assert event.event.kind is CallEventKind.DTMF
    return event.event


@pytest.mark.parametrize("digit", DIGITS)
def test_a_digit_is_published_where_the_setting_allows_it_and_only_there(digit):
    assert pressed(digit).digit == digit
    assert pressed(digit, allowed=False).digit is None


def test_nothing_is_published_unless_it_is_allowed():
    assert not Limits().publish_digits


@pytest.mark.parametrize("digit", ["", "12", "4111111111111111", "x", "٣", "1\n", None, 7, {"digit": "1"}])
def test_what_is_no_single_key_is_an_event_without_a_digit(digit):
    assert pressed(digit).digit is None


@pytest.mark.parametrize("allowed", [True, False])
def test_a_digit_pressed_in_a_pause_is_counted_and_is_no_event(allowed):
    call = Conversation(Limits(publish_digits=allowed))
    call.open()
    call.say("paused")
    effects = call.say("dtmf", parameters={"digit": "5"})
    assert facts(effects) == []
    assert observed(effects) == [Observation.EVENT_WHILE_PAUSED]


async def events(tmp_path, digits: str, **settings) -> list[CallEvent]:
    """What stands on calls.events after digits came over a socket."""
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"open": ""}))
    client, outlet = Client(), FakeOutlet()
    async with serving(outlet, keys, **settings) as server, dial(server, fields=OPEN) as connection:
        await connection.send(client.open())
        await said(connection)
        for digit in digits:
            await connection.send(client.say("dtmf", parameters={"digit": digit}))
        await connection.send(client.close())
        while (await said(connection))["type"] != "closed":
            pass
    records = [STORE.decode(record.value, CallEvent) for record in outlet.records if record.topic == topics.EVENTS.name]
    return [record for record in records if record.kind is CallEventKind.DTMF]


def measured() -> set[str]:
    """Every name of a metric with its labels."""
    return {line.rpartition(" ")[0] for line in generate_latest(REGISTRY).decode().splitlines() if line[0] != "#"}


async def test_no_digit_stands_in_what_is_logged_or_measured(tmp_path, capfd):
    before = measured()
    capfd.readouterr()
    found = await events(tmp_path, DIGITS, publish_digits=True)
    assert "".join(event.digit for event in found) == DIGITS
    # the folder of this test is named after it
    lines = capfd.readouterr().err.replace(str(tmp_path), "").lower().splitlines()
    assert [line for line in lines if "dtmf" in line or "digit" in line] == []
    assert [name for name in measured() - before if "digit" in name or "dtmf" in name] == []


async def test_without_leave_the_record_has_no_digit(tmp_path):
    found = await events(tmp_path, DIGITS)
    assert [event.digit for event in found] == [None] * len(DIGITS)


async def test_neither_a_dead_letter_nor_the_audit_log_has_the_digit(tmp_path):
    redact = redactor(newest("call_event").definition, Digester(b"key"))
    for number, event in enumerate(await events(tmp_path, "7#", publish_digits=True)):
        assert event.digit in "7#"
        assert STORE.decode(blanked(event, STORE), CallEvent).digit is None
        kept = redact(plain(as_datum(event)), f"calls.events/0/{number}")
        assert kept["digit"].startswith("hmac-sha256:")
