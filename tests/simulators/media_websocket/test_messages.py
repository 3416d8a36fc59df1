import json

import pytest

from simulators.media_websocket import messages
from simulators.media_websocket.messages import Auth, Subscribe


def test_what_the_documents_client_sends_is_understood():
    auth = '{"type":"auth","token":"YOUR_ACCESS_TOKEN","userId":"YOUR_USER_ID"}'
    assert messages.read(auth) == Auth("YOUR_ACCESS_TOKEN", "YOUR_USER_ID")
    assert messages.read('{"type":"auth","token":"t"}') == Auth("t", None)
    subscribe = '{"type":"subscribe","connectionId":"YOUR_MEDIA_CONNECTION_ID","capabilities":["audio"]}'
    assert messages.read(subscribe) == Subscribe("YOUR_MEDIA_CONNECTION_ID", ("audio",))


@pytest.mark.parametrize(
    "message",
    [
        "{",
        "[]",
        "1",
        b'{"type":"auth","token":"t"}',
        b"\xff",
        '{"type":"audio"}',
        '{"type":["auth"]}',
        '{"type":"auth"}',
        '{"type":"auth","token":""}',
        '{"type":"auth","token":1}',
        '{"type":"auth","token":"t","userId":1}',
        '{"action":"subscribe","topics":["media.audio"]}',
        '{"type":"subscribe","connectionId":"c"}',
        '{"type":"subscribe","connectionId":"","capabilities":["audio"]}',
        '{"type":"subscribe","connectionId":1,"capabilities":["audio"]}',
        '{"type":"subscribe","connectionId":"c","capabilities":[]}',
        '{"type":"subscribe","connectionId":"c","capabilities":["audio",1]}',
    ],
)
def test_anything_else_is_not(message):
    assert messages.read(message) is None


def test_a_token_is_not_shown():
    assert "secret" not in repr(messages.read('{"type":"auth","token":"secret"}'))


def test_the_answers_are_those_of_the_document():
    assert json.loads(messages.authenticated()) == {"type": "auth", "result": "success"}
    refused = json.loads(messages.refused())
    assert (refused["type"], refused["result"]) == ("auth", "error")
    assert "media:websocket:write" in refused["message"]
    assert json.loads(messages.refused(None)) == {"type": "auth", "result": "error"}
    assert json.loads(messages.subscribed("c")) == {"type": "subscribe", "result": "success", "connectionId": "c"}
    assert json.loads(messages.not_subscribed("c", "no")) == {
        "type": "subscribe",
        "result": "error",
        "connectionId": "c",
        "message": "no",
    }


def test_audio_is_base64_in_the_field_that_was_chosen():
    assert json.loads(messages.audio(b"\xff\x7f\x00")) == {"type": "audio", "data": "/38A"}
    assert json.loads(messages.audio(b"\xff\x7f\x00", "payload")) == {"type": "audio", "payload": "/38A"}
