import json

import pytest
from hypothesis import given

from ingest.media import Media
from ingest.protocol import AudioReceived, Call, EventReceived, Observation, Observed, SendBinary, SessionOpened
from ingest.single_call import Description
from ingest.sources.conversation_audio.protocol import ConversationAudioProtocol, Rules
from schemas.symbols import CallEventKind, ClosedBy, Source
from tests.ingest.single_calls import FRAME, FRAME_TEXT, actions, is_one_timeline_each, tell
from tests.ingest.sources.conversation_audio.test_messages import MESSAGES

BINARY_PINGS = Rules(binary_pings=True)


def machine(rules: Rules | None = None) -> ConversationAudioProtocol:
    description = Description(Source.CONVERSATION_AUDIO, "conversation-audio", Media())
    return ConversationAudioProtocol(Call("call-1"), description, rules or Rules())


def connected(rules: Rules | None = None) -> ConversationAudioProtocol:
    found = machine(rules)
    found.connected(10.0)
    return found


def test_a_connection_opens_the_session_and_nothing_is_said_to_the_peer():
    (opened,) = machine().connected(10.0)
    assert isinstance(opened, SessionOpened)
    assert (opened.key, opened.source) == ("call-1", Source.CONVERSATION_AUDIO)
    assert opened.info.platform_session_id is None


def test_binary_messages_are_audio_where_the_peer_pings_with_control_frames():
    (audio,) = connected().receive_binary(FRAME, 11.0)
    assert isinstance(audio, AudioReceived)
    assert (audio.payload, audio.position_samples, audio.duration_samples) == (FRAME, 0, 160)


@pytest.mark.parametrize("ping", [b"", b"\x00", b"ping", b"\xff\xfe1\x00", FRAME, bytes(125)])
def test_a_binary_ping_is_answered_at_once_by_what_it_held_and_is_no_audio(ping):
    protocol = connected(BINARY_PINGS)
    assert protocol.receive_binary(ping, 11.0) == [SendBinary(ping)]


def test_texts_are_audio_between_binary_pings():
    protocol = connected(BINARY_PINGS)
    first, ping, second = (
        protocol.receive_text(FRAME_TEXT, 11.0)[0],
        protocol.receive_binary(b"p", 11.01)[0],
        protocol.receive_text(FRAME_TEXT, 11.02)[0],
    )
    assert ping == SendBinary(b"p")
    assert isinstance(first, AudioReceived)
    assert isinstance(second, AudioReceived)
    assert (first.position_samples, second.position_samples) == (0, 160)


def test_texts_are_json_where_that_is_set():
    protocol = connected(Rules(binary_pings=True, bare_texts=False))
    assert isinstance(protocol.receive_text(json.dumps({"data": FRAME_TEXT}), 11.0)[0], AudioReceived)
    named = Observed(Observation.PROTOCOL_ERROR, detail="not JSON")
    assert protocol.receive_text(FRAME_TEXT, 11.0) == [named]


@pytest.mark.parametrize("rules", [Rules(), BINARY_PINGS])
def test_errors_are_events_and_what_is_unknown_is_counted(rules):
    protocol = connected(rules)
    (told,) = protocol.receive_text('{"type":"error","message":"gone","code":410}', 11.0)
    assert isinstance(told, EventReceived)
    assert (told.event.kind, told.event.message, told.event.code) == (CallEventKind.PLATFORM_ERROR, "gone", 410)
    assert protocol.receive_text('{"type":"status"}', 11.0) == [Observed(Observation.UNKNOWN_MESSAGE)]
    (odd,) = protocol.receive_text("?", 11.0)
    assert odd == Observed(Observation.PROTOCOL_ERROR, detail="payload is not base64")
    assert isinstance(protocol.receive_text(FRAME_TEXT, 11.0)[0], AudioReceived)


@pytest.mark.parametrize("code", [1000, 1001])
def test_a_close_of_the_peer_is_a_loss_after_which_audio_goes_on(code):
    protocol = connected()
    protocol.receive_binary(FRAME, 11.0)
    assert protocol.disconnected(71.0, code, "idle", ClosedBy.REMOTE) == []
    assert not protocol.finished
    (told,) = protocol.connected(73.0)
    assert isinstance(told, EventReceived)
    assert (told.event.kind, told.event.code) == (CallEventKind.RECONNECT, code)
    assert isinstance(protocol.receive_binary(FRAME, 73.1)[-1], AudioReceived)


def test_a_silent_conversation_is_not_given_up():
    protocol = connected()
    assert protocol.deadline_s() is None
    assert protocol.timeout(610.0) == []


@given(actions(MESSAGES))
def test_whatever_comes_the_facts_can_be_written_and_each_session_is_one_timeline(story):
    assert is_one_timeline_each(tell(machine(), story))


@given(actions(MESSAGES))
def test_whatever_comes_between_binary_pings_each_session_is_one_timeline(story):
    assert is_one_timeline_each(tell(machine(BINARY_PINGS), story))
