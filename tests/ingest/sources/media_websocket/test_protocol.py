import json

import pytest
from hypothesis import given

from ingest.media import Media
from ingest.protocol import (
    AudioReceived,
    Call,
    CloseConnection,
    Effect,
    EventReceived,
    GiveUp,
    Observation,
    Observed,
    SendText,
    SessionOpened,
)
from ingest.single_call import Description
from ingest.sources.media_websocket.protocol import SCOPE, MediaWebSocketProtocol, Rules
from schemas.symbols import CallEventKind, ClosedBy, Codec, Source
from tests.ingest.single_calls import FRAME, FRAME_TEXT, LOST, actions, is_one_timeline_each, tell
from tests.ingest.sources.media_websocket.test_messages import MESSAGES

TOKEN = "secret-token"
SUCCESS = '{"type":"auth","result":"success"}'
SUBSCRIPTION = {"type": "subscribe", "connectionId": "media-1", "capabilities": ["audio"]}
AUDIO = json.dumps({"type": "audio", "data": FRAME_TEXT})


def machine(**rules) -> MediaWebSocketProtocol:
    call = Call("call-1", connection_id="media-1")
    protocol = MediaWebSocketProtocol(
        call, Description(Source.MEDIA_WEBSOCKET, "media-websocket", Media()), Rules(**rules)
    )
    protocol.use_token(TOKEN)
    return protocol


def connected(**rules) -> MediaWebSocketProtocol:
    found = machine(**rules)
    found.connected(10.0)
    return found


def subscribed(**rules) -> MediaWebSocketProtocol:
    found = connected(**rules)
    found.receive_text(SUCCESS, 10.5)
    return found


def live() -> MediaWebSocketProtocol:
    found = subscribed()
    found.receive_text('{"type":"subscribe"}', 11.0)
    return found


def sent(effects: list[Effect]) -> list[dict]:
    return [json.loads(effect.text) for effect in effects if isinstance(effect, SendText)]


def given_up(effects: list[Effect]) -> GiveUp:
    (found,) = [effect for effect in effects if isinstance(effect, GiveUp)]
    return found


def test_the_token_is_the_first_message_and_the_subscription_follows_its_success():
    protocol = machine()
    opened, first = protocol.connected(10.0)
    assert isinstance(opened, SessionOpened)
    assert sent([first]) == [{"type": "auth", "token": TOKEN}]
    assert sent(protocol.receive_text(SUCCESS, 10.5)) == [SUBSCRIPTION]
    (audio,) = protocol.receive_text(AUDIO, 11.0)
    assert isinstance(audio, AudioReceived)
    assert (audio.key, audio.payload, audio.codec) == ("call-1", FRAME, Codec.PCMU)
    assert (audio.position_samples, audio.duration_samples) == (0, 160)


def test_the_user_is_named_where_one_is_set():
    assert sent(machine(user_id="u-1").connected(10.0)) == [{"type": "auth", "token": TOKEN, "userId": "u-1"}]


def test_without_authentication_in_a_message_the_subscription_comes_first():
    protocol = machine(authenticates=False)
    protocol.use_token(None)
    assert sent(protocol.connected(10.0)) == [SUBSCRIPTION]


def test_without_a_token_there_is_nothing_to_say():
    protocol = machine()
    protocol.use_token(None)
    effects = protocol.connected(10.0)
    assert sent(effects) == []
    assert "OAuth client" in given_up(effects).message


def test_each_connection_authenticates_with_its_own_token_and_subscribes_anew():
    protocol = live()
    protocol.disconnected(12.0, 1006, "", ClosedBy.NETWORK)
    protocol.use_token("new-token")
    told, first = protocol.connected(13.0)
    assert isinstance(told, EventReceived)
    assert told.event.kind is CallEventKind.RECONNECT
    assert sent([first]) == [{"type": "auth", "token": "new-token"}]
    assert protocol.receive_binary(FRAME, 13.1) == [Observed(Observation.AUDIO_OUTSIDE_SESSION)]
    assert sent(protocol.receive_text(SUCCESS, 13.5)) == [SUBSCRIPTION]
    assert isinstance(protocol.receive_binary(FRAME, 14.0)[0], AudioReceived)


@pytest.mark.parametrize(("after_s", "waits"), [(4.9, True), (5.0, False), (5.1, False)])
def test_a_peer_that_does_not_answer_the_token_is_given_up_after_five_seconds(after_s, waits):
    protocol = connected()
    assert protocol.deadline_s() == 15.0
    effects = protocol.timeout(10.0 + after_s)
    if waits:
        assert effects == []
        assert sent(protocol.receive_text(SUCCESS, 10.0 + after_s)) == [SUBSCRIPTION]
        return
    found = given_up(effects)
    assert found.token_refused
    assert SCOPE in found.message
    assert protocol.deadline_s() is None
    assert sent(protocol.receive_text(SUCCESS, 20.0)) == []


@pytest.mark.parametrize("limit_s", [0.5, 7.0])
def test_the_answers_may_take_as_long_as_set(limit_s):
    protocol = connected(auth_timeout_s=limit_s, subscribe_timeout_s=2 * limit_s)
    assert protocol.deadline_s() == 10.0 + limit_s
    protocol.receive_text(SUCCESS, 10.25)
    assert protocol.deadline_s() == 10.25 + 2 * limit_s


@pytest.mark.parametrize(
    "answer",
    [
        '{"type":"auth","result":"failure","message":"token expired"}',
        '{"type":"error","message":"token expired"}',
    ],
)
def test_a_refused_token_is_given_up_with_the_peers_words_and_the_scope(answer):
    found = given_up(connected().receive_text(answer, 10.5))
    assert found.token_refused
    assert "token expired" in found.message
    assert SCOPE in found.message


def test_the_token_is_never_repeated_though_the_peer_quotes_it():
    answer = json.dumps({"type": "error", "message": f"bad token {TOKEN}"})
    effects = connected().receive_text(answer, 10.5)
    assert "bad token ..." in given_up(effects).message
    assert TOKEN not in repr(effects)
    assert TOKEN not in repr(live().receive_text(answer, 12.0))


@pytest.mark.parametrize(("after_s", "waits"), [(9.9, True), (10.0, False), (10.1, False)])
def test_a_subscription_without_an_answer_is_given_up_after_ten_seconds_by_the_connections_id(after_s, waits):
    protocol = subscribed()
    assert protocol.deadline_s() == 20.5
    effects = protocol.timeout(10.5 + after_s)
    if waits:
        assert effects == []
        assert isinstance(protocol.receive_text(AUDIO, 10.5 + after_s)[0], AudioReceived)
        return
    found = given_up(effects)
    assert "media-1" in found.message
    assert not found.token_refused
    assert protocol.receive_text(AUDIO, 30.0) == [Observed(Observation.AUDIO_OUTSIDE_SESSION)]


@pytest.mark.parametrize(
    "answer",
    [
        '{"type":"subscribe","result":"failure","message":"no such connection"}',
        '{"type":"error","message":"no such connection","code":404}',
    ],
)
def test_a_refused_subscription_is_given_up_by_the_connections_id(answer):
    found = given_up(subscribed().receive_text(answer, 11.0))
    assert "media-1" in found.message
    assert "no such connection" in found.message
    assert not found.token_refused


@pytest.mark.parametrize("first", [AUDIO, FRAME, '{"type":"subscribe"}', '{"type":"subscribed","result":"success"}'])
def test_an_acknowledgement_or_a_frame_ends_the_wait_for_one(first):
    protocol = subscribed()
    if isinstance(first, bytes):
        protocol.receive_binary(first, 11.0)
    else:
        protocol.receive_text(first, 11.0)
    assert protocol.deadline_s() is None
    assert protocol.timeout(1e9) == []


def test_a_malformed_frame_acknowledges_nothing_and_ends_nothing():
    protocol = subscribed()
    named = Observed(Observation.PROTOCOL_ERROR, detail="payload is not base64")
    assert protocol.receive_text('{"type":"audio","data":"*"}', 11.0) == [named]
    assert protocol.deadline_s() == 20.5
    assert isinstance(protocol.receive_text(AUDIO, 12.0)[0], AudioReceived)


def test_after_giving_up_or_a_loss_nothing_more_is_taken_of_that_connection():
    refused = connected()
    refused.receive_text('{"type":"auth","result":"failure"}', 10.5)
    again = refused.receive_text('{"type":"auth","result":"failure"}', 10.6)
    assert [type(effect) for effect in again] == [Observed]
    lost = live()
    lost.disconnected(12.0, *LOST)
    assert lost.receive_binary(FRAME, 12.1) == [Observed(Observation.AUDIO_OUTSIDE_SESSION)]


def test_after_giving_up_a_new_connection_begins_anew():
    protocol = connected()
    protocol.timeout(15.0)
    protocol.gave_up(15.0)
    protocol.disconnected(15.1, 1000, "", ClosedBy.LOCAL)
    protocol.use_token("new-token")
    opened, first = protocol.connected(75.0)
    assert isinstance(opened, SessionOpened)
    assert sent([first]) == [{"type": "auth", "token": "new-token"}]


def test_an_error_between_the_audio_is_an_event_and_audio_goes_on():
    protocol = live()
    (told,) = protocol.receive_text('{"type":"error","message":"late","code":7}', 12.0)
    assert isinstance(told, EventReceived)
    assert (told.event.kind, told.event.message, told.event.code) == (CallEventKind.PLATFORM_ERROR, "late", 7)
    assert isinstance(protocol.receive_text(AUDIO, 12.0)[0], AudioReceived)


@pytest.mark.parametrize("protocol", [live(), subscribed()])
def test_a_token_refused_in_mid_session_is_told_and_the_connection_opened_anew(protocol):
    told, closing = protocol.receive_text('{"type":"auth","result":"failure","message":"expired"}', 12.0)
    assert isinstance(told, EventReceived)
    assert (told.event.kind, told.event.message) == (CallEventKind.PLATFORM_ERROR, "expired")
    assert closing == CloseConnection(3000, token_refused=True)
    assert protocol.deadline_s() is None
    assert not protocol.finished


@pytest.mark.parametrize(
    ("protocol", "text", "observation"),
    [
        (connected(), AUDIO, Observation.AUDIO_OUTSIDE_SESSION),
        (connected(), '{"type":"subscribe"}', Observation.UNEXPECTED_MESSAGE),
        (subscribed(), SUCCESS, Observation.UNEXPECTED_MESSAGE),
        (live(), '{"type":"subscribe","result":"failure"}', Observation.UNEXPECTED_MESSAGE),
        (live(), '{"type":"telemetry"}', Observation.UNKNOWN_MESSAGE),
        (live(), "{", Observation.PROTOCOL_ERROR),
    ],
)
def test_what_is_out_of_turn_or_unknown_is_counted_and_ends_nothing(protocol, text, observation):
    (counted,) = protocol.receive_text(text, 12.0)
    assert isinstance(counted, Observed)
    assert counted.what is observation
    assert not protocol.finished


def test_a_second_acknowledgement_means_nothing():
    assert live().receive_text('{"type":"subscribe"}', 12.0) == []


def test_the_deadline_ends_with_the_connection():
    protocol = connected()
    protocol.disconnected(11.0, *LOST)
    assert protocol.deadline_s() is None
    assert protocol.timeout(1e9) == []
    stopped = connected()
    stopped.drain(11.0)
    assert stopped.deadline_s() is None
    assert stopped.connected(12.0) == [CloseConnection(1000)]


@given(actions(MESSAGES))
def test_whatever_comes_the_facts_can_be_written_and_each_session_is_one_timeline(story):
    assert is_one_timeline_each(tell(machine(), story))


@given(actions(MESSAGES))
def test_whatever_comes_without_authentication_each_session_is_one_timeline(story):
    assert is_one_timeline_each(tell(machine(authenticates=False), story))
