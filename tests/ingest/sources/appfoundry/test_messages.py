import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.media import PAYLOAD_FIELDS
from ingest.sources.appfoundry.messages import Audio, Failure, Intent, Spoken, Transcript, parse
from ingest.text import MalformedMessage
from tests.ingest.single_calls import ANYTHING, FRAME, FRAME_TEXT

NOTHING = Spoken(None, None, -1)
FIELDS = ("text", "isFinal", "language", "confidence", "id", "intent", "message", "code", "data")
MESSAGES = st.builds(
    lambda kind, rest: json.dumps({"type": kind, **rest}),
    st.sampled_from(["transcript", "intent", "error", "audio"]) | ANYTHING,
    st.dictionaries(st.sampled_from(FIELDS), ANYTHING | st.just(FRAME_TEXT)),
)


def read_of(text: str):
    return parse(text, PAYLOAD_FIELDS)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"type":"transcript","text":"hello"}', Transcript("hello", True, NOTHING)),
        ('{"type":"intent","intent":"billing"}', Intent("billing", None, NOTHING)),
        ('{"type":"error","message":"no skill"}', Failure("no skill", -1)),
        ('{"type":"error"}', Failure(None, -1)),
        ('{"type":"event","event":"userInput"}', None),
    ],
)
def test_the_document_s_messages_are_read(text, wanted):
    assert read_of(text) == wanted


def test_audio_is_read_from_the_fields_set():
    assert read_of(json.dumps({"type": "audio", "payload": FRAME_TEXT})) == Audio(FRAME)
    assert parse(json.dumps({"type": "audio", "media": FRAME_TEXT}), ["media"]) == Audio(FRAME)


def test_what_is_stated_beside_a_text_is_taken_over():
    read = read_of('{"type":"transcript","text":"a","isFinal":false,"language":"de","confidence":0.5,"id":"t-1"}')
    assert read == Transcript("a", False, Spoken("t-1", "de", 0.5))
    read = read_of('{"type":"intent","intent":"n","text":"a","language":"de","confidence":1,"id":"t-1"}')
    assert read == Intent("n", "a", Spoken("t-1", "de", 1))


@pytest.mark.parametrize(
    ("value", "final"), [(True, True), (False, False), (None, True), (0, True), ("false", True), ([], True)]
)
def test_a_text_is_final_unless_it_says_that_it_is_not(value, final):
    read = read_of(json.dumps({"type": "transcript", "text": "a", "isFinal": value}))
    assert isinstance(read, Transcript)
    assert read.is_final is final


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("0", 0),
        ("1", 1),
        ("0.25", 0.25),
        ("-0.1", -1),
        ("1.1", -1),
        ("1e999", -1),
        ("true", -1),
        ('"1"', -1),
        ("[]", -1),
    ],
)
def test_a_confidence_is_taken_where_it_is_one(value, wanted):
    read = read_of('{"type":"transcript","text":"a","confidence":' + value + "}")
    assert isinstance(read, Transcript)
    assert read.spoken.confidence == wanted


@pytest.mark.parametrize(("code", "wanted"), [(429, 429), (2**31, -1), (-1, -1), (True, -1), ("429", -1)])
def test_an_error_keeps_its_code_where_it_is_one(code, wanted):
    assert read_of(json.dumps({"type": "error", "code": code})) == Failure(None, wanted)


@pytest.mark.parametrize(
    ("text", "defect"),
    [
        ("hello", "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "type is not a string"),
        ('{"type":["audio"]}', "type is not a string"),
        ('{"type":"transcript"}', "a transcript without text"),
        ('{"type":"transcript","text":""}', "a transcript without text"),
        ('{"type":"transcript","text":7}', "a transcript without text"),
        ('{"type":"intent","intent":{}}', "an intent without a name"),
        ('{"type":"audio"}', "audio without a payload"),
        ('{"type":"audio","data":"*"}', "payload is not base64"),
    ],
)
def test_what_is_no_message_is_refused_without_a_quote(text, defect):
    with pytest.raises(MalformedMessage) as refused:
        read_of(text)
    assert str(refused.value) == defect


@given(MESSAGES | st.text(st.characters()) | ANYTHING.map(json.dumps))
def test_any_text_is_read_or_refused(text):
    try:
        read = read_of(text)
    except MalformedMessage:
        return
    if isinstance(read, Transcript | Intent):
        assert read.spoken.confidence == -1 or 0 <= read.spoken.confidence <= 1
        assert len(read.text or "") <= 4096
    else:
        assert read is None or isinstance(read, Failure | Audio)
