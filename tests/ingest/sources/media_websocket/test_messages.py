import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.media import PAYLOAD_FIELDS
from ingest.sources.media_websocket.messages import (
    Audio,
    Authentication,
    Failure,
    Subscription,
    auth,
    parse,
    subscribe,
)
from ingest.text import MalformedMessage
from tests.ingest.single_calls import ANYTHING, FRAME, FRAME_TEXT

FIELDS = ("result", "message", "code", "data", "payload", "audio")
MESSAGES = st.builds(
    lambda kind, rest: json.dumps({"type": kind, **rest}),
    st.sampled_from(["auth", "subscribe", "audio", "error"]) | ANYTHING,
    st.dictionaries(st.sampled_from(FIELDS), ANYTHING | st.sampled_from(["success", FRAME_TEXT])),
)


def read(text: str):
    return parse(text, PAYLOAD_FIELDS)


def test_what_is_said_to_the_peer_is_what_the_document_says():
    assert json.loads(auth("secret", None)) == {"type": "auth", "token": "secret"}
    assert json.loads(auth("secret", "u-1")) == {"type": "auth", "token": "secret", "userId": "u-1"}
    assert json.loads(subscribe("c-1")) == {"type": "subscribe", "connectionId": "c-1", "capabilities": ["audio"]}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"type":"auth","result":"success"}', Authentication(True, None)),
        ('{"type":"auth","result":"success","message":"welcome"}', Authentication(True, "welcome")),
        ('{"type":"auth","result":"failure","message":"expired"}', Authentication(False, "expired")),
        ('{"type":"auth","result":true}', Authentication(False, None)),
        ('{"type":"auth"}', Authentication(False, None)),
        ('{"type":"subscribe"}', Subscription(True, None)),
        ('{"type":"subscribed","result":"success"}', Subscription(True, None)),
        ('{"type":"subscribe","result":"failure","message":"who?"}', Subscription(False, "who?")),
        ('{"type":"subscription","result":null}', Subscription(False, None)),
        ('{"type":"error","message":"no","code":403}', Failure("no", 403)),
        ('{"type":"error","code":-1}', Failure(None, -1)),
        ('{"type":"telemetry"}', None),
    ],
)
def test_messages_are_read(text, wanted):
    assert read(text) == wanted


def test_audio_is_read_from_the_fields_set():
    assert read(json.dumps({"type": "audio", "payload": FRAME_TEXT})) == Audio(FRAME)
    assert parse(json.dumps({"type": "audio", "media": FRAME_TEXT}), ["media"]) == Audio(FRAME)


@pytest.mark.parametrize(
    ("text", "defect"),
    [
        ("hello", "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "type is not a string"),
        ('{"type":"audio"}', "audio without a payload"),
        ('{"type":"audio","data":7}', "payload is not a string"),
        ('{"type":"audio","data":"*"}', "payload is not base64"),
    ],
)
def test_what_is_no_message_is_refused_without_a_quote(text, defect):
    with pytest.raises(MalformedMessage) as refused:
        read(text)
    assert str(refused.value) == defect


@given(MESSAGES | st.text(st.characters()) | ANYTHING.map(json.dumps))
def test_any_text_is_read_or_refused(text):
    try:
        found = read(text)
    except MalformedMessage:
        return
    assert found is None or isinstance(found, Authentication | Subscription | Audio | Failure)
