import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.identity import Lineage, uuid7
from ingest.protocol import (
    CloseConnection,
    EventReceived,
    Fact,
    Observation,
    Observed,
    SessionClosed,
    SessionOpened,
)
from ingest.sequencer import Encoding, Moment, Sequencer
from ingest.sources.appfoundry.protocol import AppFoundryProtocol, Wanted
from schemas.codec import SchemaStore
from schemas.symbols import CallEventKind, Channel, ClosedBy, Reason, Source
from tests.ingest.sources.appfoundry.test_messages import MESSAGES

STORE = SchemaStore()
LOST = (1006, "", ClosedBy.NETWORK)


def machine(**wanted) -> AppFoundryProtocol:
    return AppFoundryProtocol("ws-1", "call-1", Wanted(**wanted))


def connected(**wanted) -> AppFoundryProtocol:
    found = machine(**wanted)
    found.connected(10.0)
    return found


def say(protocol: AppFoundryProtocol, **message) -> list:
    return protocol.receive_text(json.dumps(message), 11.0)


def test_the_first_connection_opens_a_session_of_the_conversation_set():
    (opened,) = machine(language="de-DE").connected(10.0)
    assert isinstance(opened, SessionOpened)
    assert (opened.key, opened.info.conversation_id, opened.info.platform_session_id) == ("ws-1", "call-1", "ws-1")
    assert (opened.info.source_name, opened.info.language) == ("appfoundry", "de-DE")
    assert (opened.source, opened.states_pauses) == (Source.APPFOUNDRY, False)


def test_a_transcript_is_an_event_with_all_it_states():
    protocol = connected(channel=Channel.INTERNAL, language="de-DE")
    (found,) = say(protocol, type="transcript", text="Hallo", isFinal=False, language="de", confidence=0.5, id="t")
    event = found.event
    assert (found.key, event.kind, event.text, event.is_final) == ("ws-1", CallEventKind.TRANSCRIPT, "Hallo", False)
    assert (event.channel, event.language, event.confidence, event.text_id) == (Channel.INTERNAL, "de", 0.5, "t")


def test_what_a_transcript_does_not_state_is_as_set():
    (found,) = say(connected(language="de-DE"), type="transcript", text="Hallo")
    event = found.event
    assert (event.is_final, event.language, event.confidence, event.text_id) == (True, "de-DE", -1, None)
    assert event.channel is Channel.EXTERNAL


def test_intents_and_errors_are_events():
    protocol = connected()
    (intent,) = say(protocol, type="intent", intent="billing", text="my bill", confidence=1)
    assert (intent.event.kind, intent.event.intent, intent.event.text) == (CallEventKind.INTENT, "billing", "my bill")
    (error,) = say(protocol, type="error", message="no skill", code=500)
    assert (error.event.kind, error.event.message, error.event.code) == (CallEventKind.PLATFORM_ERROR, "no skill", 500)


@pytest.mark.parametrize(
    ("text", "what", "detail"),
    [
        ('{"type":"audio","payload":"f39/"}', Observation.AUDIO_OUTSIDE_SESSION, ""),
        ('{"type":"telemetry"}', Observation.UNKNOWN_MESSAGE, ""),
        ("{", Observation.PROTOCOL_ERROR, "not JSON"),
        ('{"type":"transcript","text":null}', Observation.PROTOCOL_ERROR, "a transcript without text"),
    ],
)
def test_what_is_no_text_is_counted_and_texts_go_on(text, what, detail):
    protocol = connected()
    assert protocol.receive_text(text, 11.0) == [Observed(what, detail=detail)]
    assert isinstance(say(protocol, type="transcript", text="a")[0], EventReceived)


def test_binary_messages_are_counted_and_named_once_on_each_connection():
    protocol = connected()
    counted = [protocol.receive_binary(data, 11.0) for data in (b"\xff\xfe1\x00", b"{}")]
    named = Observed(Observation.UNEXPECTED_MESSAGE, detail="a binary message")
    assert counted == [[named], [Observed(Observation.UNEXPECTED_MESSAGE)]]
    protocol.disconnected(12.0, *LOST)
    protocol.connected(13.0)
    assert protocol.receive_binary(b"", 14.0) == [named]


def test_a_lost_connection_is_an_event_of_the_session_that_goes_on():
    protocol = connected()
    assert protocol.disconnected(12.5, 1000, "idle", ClosedBy.REMOTE) == []
    (found,) = protocol.connected(14.0)
    assert isinstance(found, EventReceived)
    assert (found.event.kind, found.event.code, found.event.message) == (CallEventKind.RECONNECT, 1000, "idle")
    assert (found.event.connection_age_ms, found.event.closed_by) == (2500, ClosedBy.REMOTE)
    assert not protocol.finished


def test_a_spent_budget_ends_the_session_and_a_return_goes_on_from_it():
    protocol = connected()
    protocol.disconnected(12.0, *LOST)
    told, end = protocol.gave_up(60.0)
    assert told.event.kind is CallEventKind.RECONNECT_EXHAUSTED
    assert end == SessionClosed("ws-1", Reason.BUDGET_SPENT, closed_by=ClosedBy.LOCAL)
    assert not protocol.finished
    assert protocol.gave_up(61.0) == []
    (opened,) = protocol.connected(120.0)
    assert isinstance(opened, SessionOpened)
    assert opened.info.continued_from == "ws-1"


def test_a_stop_ends_the_session_and_the_connection():
    protocol = connected()
    assert protocol.drain(12.0) == [
        SessionClosed("ws-1", Reason.DRAIN, closed_by=ClosedBy.LOCAL),
        CloseConnection(1000),
    ]
    assert protocol.finished
    assert protocol.drain(13.0) == []
    assert say(protocol, type="transcript", text="late") == [Observed(Observation.UNEXPECTED_MESSAGE)]
    assert protocol.connected(14.0) == [CloseConnection(1000)]


def test_a_stop_without_a_connection_ends_what_is_open():
    assert machine().drain(1.0) == []
    protocol = connected()
    protocol.disconnected(12.0, *LOST)
    assert [type(effect) for effect in protocol.drain(13.0)] == [SessionClosed]


def test_it_has_no_deadline_of_its_own():
    protocol = connected()
    assert protocol.deadline_s() is None
    assert protocol.timeout(1e9) == []


ACTIONS = st.one_of(
    st.tuples(st.just("receive_text"), MESSAGES | st.text(st.characters())),
    st.tuples(st.just("receive_binary"), st.binary()),
    st.tuples(
        st.just("disconnected"), st.integers(1000, 4999), st.text(st.characters()), st.sampled_from(list(ClosedBy))
    ),
    st.tuples(st.sampled_from(["connected", "timeout", "gave_up", "drain"])),
)


@given(st.lists(ACTIONS, max_size=30))
def test_whatever_comes_the_facts_can_be_written_and_each_session_ends_once(actions):
    ids = iter(range(1, 1000))
    sequencer = Sequencer(Encoding(STORE), lambda: uuid7(1.0, next(ids).to_bytes(10, "big")), Lineage())
    protocol, facts = machine(), []
    for now_s, (what, *arguments) in enumerate([("connected",), *actions, ("drain",)]):
        if what in ("receive_text", "receive_binary"):
            effects = getattr(protocol, what)(*arguments, float(now_s))
        else:
            effects = getattr(protocol, what)(float(now_s), *arguments)
        facts += [effect for effect in effects if isinstance(effect, Fact)]
    written = [record for fact in facts for record in sequencer.take(fact, Moment(1.7e9, 1.0))]
    assert len(written) >= len(facts)
    opened, ended = (sum(isinstance(fact, kind) for fact in facts) for kind in (SessionOpened, SessionClosed))
    assert opened == ended > 0
