import hashlib
import json
from dataclasses import replace

from runtime.deadletter import blanked, headers, kept, remains
from schemas.codec import SchemaStore
from schemas.records import CallEvent, Origin, Participant, SessionInfo, Utterance
from schemas.symbols import CallEventKind, UtteranceInput, UtteranceKind

ORIGIN = Origin(topic="calls.events", partition=0, offset=0, index=0)


def made(error="too short"):
    return dict(
        headers(
            error=error,
            stage="process",
            topic="calls.audio",
            partition=3,
            offset=41,
            group="silence",
            error_class="InvalidRecord",
        )
    )


def test_the_headers_are_those_of_kafka_connect_and_our_version():
    assert list(made()) == [
        "__connect.errors.topic",
        "__connect.errors.partition",
        "__connect.errors.offset",
        "__connect.errors.connector.name",
        "__connect.errors.task.id",
        "__connect.errors.stage",
        "__connect.errors.class.name",
        "__connect.errors.exception.class.name",
        "__connect.errors.exception.message",
        "callstream.version",
    ]


def test_values_are_text():
    found = made("zu kurz: ä")
    assert found["__connect.errors.partition"] == b"3"
    assert found["__connect.errors.offset"] == b"41"
    assert found["__connect.errors.exception.message"].decode() == "zu kurz: ä"


def test_a_long_text_is_cut():
    assert len(made("x" * 10_000)["__connect.errors.exception.message"]) == 500


def test_a_dead_letter_keeps_the_bytes_as_received():
    assert kept("calls.audio", b"\x00bytes") == b"\x00bytes"
    assert kept("calls.audio", None) is None


def test_of_an_unreadable_call_event_only_length_and_digest_are_kept():
    left = kept("calls.events", b"digits 4111")
    assert json.loads(left) == {"length_bytes": 11, "sha256": hashlib.sha256(b"digits 4111").hexdigest()}
    assert b"4111" not in left.replace(hashlib.sha256(b"digits 4111").hexdigest().encode(), b"")


def test_of_an_utterance_nobody_can_read_only_length_and_digest_are_kept():
    assert set(json.loads(kept("calls.utterances", b"4111"))) == {"length_bytes", "sha256"}


def test_a_pressed_key_loses_its_digit_and_a_spoken_text_stays_as_received():
    store = SchemaStore()
    spoken = Utterance(kind=UtteranceKind.TEXT, conversation_id="c", session_id="s", text="4711", origin=ORIGIN)
    pressed = replace(spoken, input=UtteranceInput.DTMF)
    assert remains(Utterance, store.encode(spoken), spoken, store) == store.encode(spoken)
    assert remains(Utterance, store.encode(pressed), None, store) == kept("calls.utterances", store.encode(pressed))
    left = store.decode(remains(Utterance, store.encode(pressed), pressed, store), Utterance)
    assert (left.text, left.input, left.session_id) == (None, UtteranceInput.DTMF, "s")


def test_a_call_event_that_was_refused_loses_what_is_personal_and_nothing_else():
    store = SchemaStore()
    session_info = SessionInfo(
        conversation_id="c-1",
        source_name="audiohook",
        platform_session_id="p-1",
        agent="Jane",
        participants=(Participant(address="+49170", name="Joe"),),
    )
    event = CallEvent(
        kind=CallEventKind.DTMF,
        conversation_id="c-1",
        session_id="s-1",
        event_counter=7,
        agent="Jane",
        digit="4",
        text="my card is 4111",
        session_info=session_info,
    )
    left = blanked(event, store)
    for secret in (b"Jane", b"+49170", b"Joe", b"4111"):
        assert secret in store.encode(event)
        assert secret not in left
    found = store.decode(left, CallEvent)
    assert (found.kind, found.session_id, found.event_counter) == (CallEventKind.DTMF, "s-1", 7)
    assert (found.digit, found.session_info) == (None, None)
    left = store.decode(blanked(session_info, store), SessionInfo)
    assert (left.participants, left.platform_session_id) == ((), "p-1")
