import json

import pytest

from simulators.media_streams import messages
from simulators.media_streams.script import Packet

WANTED = {"interactionId": "c-1", "mediaType": "voice", "codecPreferences": ["opus", "pcmu"]}


def subscription(*entries):
    return json.dumps({"interactions": list(entries)})


def test_a_subscription_is_read_as_the_document_writes_it():
    other = WANTED | {"interactionId": "c-2"}
    assert messages.read_subscription(subscription(WANTED, other, WANTED)) == ("c-1", "c-2")


@pytest.mark.parametrize(
    "message",
    [
        "{",
        "[]",
        "{}",
        b"{}",
        b"\xff\xfe",
        '{"interactions": []}',
        '{"interactions": {}}',
        subscription("c-1"),
        subscription(WANTED | {"interactionId": ""}),
        subscription(WANTED | {"interactionId": 1}),
        subscription(WANTED | {"mediaType": "video"}),
        subscription(WANTED | {"codecPreferences": []}),
        subscription(WANTED | {"codecPreferences": [1]}),
        subscription({"interactionId": "c-1", "mediaType": "voice"}),
    ],
)
def test_anything_else_is_a_bad_request(message):
    with pytest.raises(messages.Refusal) as refusal:
        messages.read_subscription(message)
    answer = json.loads(refusal.value.answer())
    assert (answer["status"], answer["code"]) == (400, "badRequest")


def test_one_interaction_too_many_is_answered_with_its_id():
    answer = json.loads(messages.too_many("c-51"))
    assert "50" in answer.pop("message")
    assert answer == {"status": 400, "code": "tooManyInteractions", "interactionId": "c-51"}


def test_a_packet_has_the_four_fields_of_the_document():
    packet = Packet(0, 4294967295, 160, b"\xff\x7f\x00", 0, 0, 0)
    assert json.loads(messages.packet_text("c-1", packet)) == {
        "interactionId": "c-1",
        "sequenceNumber": 4294967295,
        "timestamp": 160,
        "payload": "/38A",
    }


def test_an_unknown_interaction_is_answered_with_its_id():
    answer = json.loads(messages.media_not_available("c-9"))
    assert answer.pop("message")
    assert answer == {"status": 400, "code": "mediaNotAvailable", "interactionId": "c-9"}
