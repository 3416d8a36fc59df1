import json

import pytest
from hypothesis import given

from ingest.media import Media
from ingest.protocol import (
    AudioReceived,
    Call,
    CloseConnection,
    EventReceived,
    Observation,
    Observed,
    SessionOpened,
)
from ingest.single_call import Description
from ingest.sources.appfoundry.protocol import AppFoundryProtocol, Rules
from schemas.symbols import CallEventKind, Channel, Channels, ClosedBy, Codec, Source
from tests.ingest.single_calls import FRAME, FRAME_TEXT, LOST, actions, is_one_timeline_each, tell
from tests.ingest.sources.appfoundry.test_messages import MESSAGES


def machine(language: str | None = None, **rules) -> AppFoundryProtocol:
    media = Media(Codec.L16_LE, 8000, Channels.EXTERNAL)
    description = Description(Source.APPFOUNDRY, "appfoundry", media, language)
    return AppFoundryProtocol(Call("call-1", connection_id="ws-1"), description, Rules(**rules))


def connected(**wanted) -> AppFoundryProtocol:
    found = machine(**wanted)
    found.connected(10.0)
    return found


def say(protocol: AppFoundryProtocol, **message) -> list:
    return protocol.receive_text(json.dumps(message), 11.0)


def test_the_first_connection_opens_a_session_of_the_conversation_set():
    (opened,) = machine(language="de-DE").connected(10.0)
    assert isinstance(opened, SessionOpened)
    assert (opened.key, opened.info.conversation_id, opened.info.platform_session_id) == ("call-1", "call-1", "ws-1")
    assert (opened.info.source_name, opened.info.language) == ("appfoundry", "de-DE")
    assert (opened.source, opened.states_pauses) == (Source.APPFOUNDRY, False)


def test_a_transcript_is_an_event_with_all_it_states():
    protocol = connected(channel=Channel.INTERNAL, language="de-DE")
    (found,) = say(protocol, type="transcript", text="Hallo", isFinal=False, language="de", confidence=0.5, id="t")
    event = found.event
    assert (found.key, event.kind, event.text, event.is_final) == ("call-1", CallEventKind.TRANSCRIPT, "Hallo", False)
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
        ('{"type":"audio","payload":"f39/"}', Observation.PROTOCOL_ERROR, "payload holds no whole samples"),
        ('{"type":"audio","payload":""}', Observation.PROTOCOL_ERROR, "payload is empty"),
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
    assert not protocol.finished


def test_audio_lies_where_it_arrives_and_texts_stand_between_it():
    protocol = connected()
    audio, said, more = (
        say(protocol, type="audio", data=FRAME_TEXT)[0],
        say(protocol, type="transcript", text="a")[0],
        say(protocol, type="audio", data=FRAME_TEXT)[0],
    )
    assert isinstance(audio, AudioReceived)
    assert (audio.payload, audio.codec, audio.channels) == (FRAME, Codec.L16_LE, Channels.EXTERNAL)
    assert (audio.position_samples, audio.duration_samples, audio.sample_rate_hz) == (0, 80, 8000)
    assert isinstance(said, EventReceived)
    assert said.event.position_samples == 80
    assert isinstance(more, AudioReceived)
    assert more.position_samples == 80


@pytest.mark.parametrize(("code", "closes"), [(400, False), (401, True), (402, False), (-1, False)])
def test_a_token_refused_in_mid_session_is_told_and_the_connection_opened_anew(code, closes):
    protocol = connected()
    told, *closing = say(protocol, type="error", message="Unauthorized", code=code)
    assert told.event.kind is CallEventKind.PLATFORM_ERROR
    assert closing == ([CloseConnection(3000, token_refused=True)] if closes else [])
    assert not protocol.finished


@pytest.mark.parametrize("kind", ["transcript", "intent", "error"])
def test_a_token_that_the_platform_repeats_in_whatever_spelling_stands_in_no_event(kind):
    protocol = machine()
    protocol.use_token("to/ken-1234")
    protocol.connected(10.0)
    said = r"bad \u0074o\/ken-1234"
    words = ("text", "intent", "message", "id", "language")
    effects = protocol.receive_text(
        f'{{"type":"{kind}",{",".join(f""""{each}":"{said}" """ for each in words)}}}', 11.0
    )
    assert "bad ..." in repr(effects)
    assert "ken-1234" not in repr(effects)
    assert [effect.event.channel for effect in effects if kind != "error"] == [Channel.EXTERNAL] * (kind != "error")


@pytest.mark.parametrize("code", [1008, 4401])
def test_a_close_because_of_the_token_is_a_loss_like_any_other(code):
    protocol = connected()
    protocol.disconnected(12.0, code, "token expired", ClosedBy.REMOTE)
    (told,) = protocol.connected(13.0)
    assert (told.event.kind, told.event.code) == (CallEventKind.RECONNECT, code)


def test_texts_after_the_end_are_counted():
    protocol = connected()
    protocol.drain(12.0)
    assert say(protocol, type="transcript", text="late") == [Observed(Observation.UNEXPECTED_MESSAGE)]


@given(actions(MESSAGES))
def test_whatever_comes_the_facts_can_be_written_and_each_session_is_one_timeline(story):
    assert is_one_timeline_each(tell(machine(), story))
