import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.media_streams.messages import Failure, Packet, parse, subscription
from ingest.text import MalformedMessage

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("interactionId", "sequenceNumber", "timestamp", "payload", "status", "code", "message")


def packet(**changes) -> str:
    message = {"interactionId": "i", "sequenceNumber": 1, "timestamp": 160, "payload": "/////w=="}
    return json.dumps({key: value for key, value in {**message, **changes}.items() if value is not ...})


def test_a_subscription_is_the_document_s():
    # the document's builder: interactionId, mediaType, codecPreferences for each, in this order
    assert subscription([("a", ("opus", "pcmu")), ("b", ("opus", "pcmu"))]) == (
        '{"interactions":[{"interactionId":"a","mediaType":"voice","codecPreferences":["opus","pcmu"]},'
        '{"interactionId":"b","mediaType":"voice","codecPreferences":["opus","pcmu"]}]}'
    )


def test_a_packet_is_read_as_the_document_has_it():
    text = '{"interactionId":"i-1","sequenceNumber":4294967295,"timestamp":0,"payload":"f39/fw=="}'
    assert parse(text, 32, 32) == Packet("i-1", 4294967295, 0, b"\x7f" * 4)


def test_further_fields_of_a_packet_are_ignored():
    assert parse(packet(codec="opus", format=[1]), 32, 32) == Packet("i", 1, 160, b"\xff" * 4)


@pytest.mark.parametrize(
    ("text", "defect"),
    [
        ("not json", "not JSON"),
        ('"text"', "not a JSON object"),
        ('{"payload":NaN}', "not JSON"),
        (packet(interactionId=...), "interactionId is not a string"),
        (packet(interactionId=["i"]), "interactionId is not a string"),
        (packet(sequenceNumber=True), "sequenceNumber is not a number of the width set"),
        (packet(sequenceNumber="1"), "sequenceNumber is not a number of the width set"),
        (packet(sequenceNumber=-1), "sequenceNumber is not a number of the width set"),
        (packet(sequenceNumber=2**32), "sequenceNumber is not a number of the width set"),
        (packet(sequenceNumber=10**300), "sequenceNumber is not a number of the width set"),
        (packet(timestamp=...), "timestamp is not a number of the width set"),
        (packet(timestamp=1.5), "timestamp is not a number of the width set"),
        (packet(timestamp=2**32), "timestamp is not a number of the width set"),
        (packet(payload=...), "payload is not a string"),
        (packet(payload=[255]), "payload is not a string"),
        (packet(payload="a"), "payload is not base64"),
        (packet(payload="_-_-"), "payload is not base64"),
        (packet(payload="é==="), "payload is not base64"),
        (packet(payload="\ud800"), "payload is not base64"),
    ],
)
def test_what_is_no_packet_is_refused_without_a_quote(text, defect):
    with pytest.raises(MalformedMessage) as refused:
        parse(text, 32, 32)
    assert str(refused.value) == defect


@pytest.mark.parametrize("bits", [8, 16, 32, 53])
def test_numbers_are_taken_up_to_the_width_set(bits):
    top = 2**bits - 1
    read = parse(packet(sequenceNumber=top, timestamp=top), bits, bits)
    assert isinstance(read, Packet)
    assert (read.sequence, read.timestamp) == (top, top)


def test_the_document_s_error_is_one():
    text = '{"status":400,"code":"mediaNotAvailable","interactionId":"i"}'
    assert parse(text, 32, 32) == Failure("i", 400, "mediaNotAvailable", None)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"status":400}', Failure(None, 400, None, None)),
        ('{"code":"rateLimited","message":"slow"}', Failure(None, -1, "rateLimited", "slow")),
        ('{"status":500,"interactionId":7}', Failure(None, 500, None, None)),
        ('{"status":399,"code":"ok"}', None),
        ('{"status":"400"}', None),
        ('{"status":true}', None),
        ('{"code":400}', None),
        ('{"type":"subscribed"}', None),
        ("{}", None),
    ],
)
def test_an_error_has_a_code_or_a_status_from_400_on(text, wanted):
    assert parse(text, 32, 32) == wanted


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (Failure(None, 400, "a", "b"), "a: b"),
        (Failure(None, 400, "a", None), "a"),
        (Failure(None, 400, None, "b"), "b"),
        (Failure(None, 400, None, None), None),
    ],
)
def test_an_error_in_words_is_what_it_states(failure, text):
    assert failure.text == text


@given(st.text(st.characters()) | ANYTHING.map(json.dumps))
def test_any_text_is_read_or_refused(text):
    read_or_refuse(text)


@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING))
def test_any_values_in_the_fields_are_read_or_refused(message):
    read_or_refuse(json.dumps(message))


def read_or_refuse(text: str) -> None:
    try:
        read = parse(text, 16, 32)
    except MalformedMessage:
        return
    assert read is None or isinstance(read, Packet | Failure)
    if isinstance(read, Packet):
        assert 0 <= read.sequence < 2**16
        assert 0 <= read.timestamp < 2**32
