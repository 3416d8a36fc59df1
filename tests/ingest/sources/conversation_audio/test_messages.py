import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.media import PAYLOAD_FIELDS
from ingest.sources.conversation_audio.messages import Audio, Failure, parse
from ingest.text import MalformedMessage
from tests.ingest.single_calls import ANYTHING, FRAME, FRAME_TEXT

MESSAGES = st.one_of(
    st.binary(max_size=300).map(lambda data: base64.b64encode(data).decode()),
    st.builds(
        lambda kind, rest: json.dumps({"type": kind, **rest}),
        st.sampled_from(["audio", "error"]) | ANYTHING,
        st.dictionaries(st.sampled_from(["data", "payload", "message", "code"]), ANYTHING | st.just(FRAME_TEXT)),
    ),
)


def test_a_text_is_base64_alone():
    assert parse(FRAME_TEXT, PAYLOAD_FIELDS, bare=True) == Audio(FRAME)


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("rest", [{}, {"type": "audio"}])
def test_an_object_with_audio_is_audio_whatever_is_set(bare, rest):
    text = json.dumps({**rest, "payload": FRAME_TEXT})
    assert parse(text, PAYLOAD_FIELDS, bare=bare) == Audio(FRAME)
    assert parse(f" {text}", PAYLOAD_FIELDS, bare=bare) == Audio(FRAME)


@pytest.mark.parametrize("bare", [True, False])
def test_errors_are_read_and_other_types_are_not_known(bare):
    found = parse('{"type":"error","message":"gone","code":410}', PAYLOAD_FIELDS, bare=bare)
    assert found == Failure("gone", 410)
    assert parse('{"type":"error","code":"410"}', PAYLOAD_FIELDS, bare=bare) == Failure(None, -1)
    assert parse('{"type":"status","payload":"AQ=="}', PAYLOAD_FIELDS, bare=bare) is None


@pytest.mark.parametrize(
    ("text", "bare", "defect"),
    [
        (FRAME_TEXT, False, "not JSON"),
        ("hello!", True, "payload is not base64"),
        ("[]", True, "payload is not base64"),
        ("[]", False, "not a JSON object"),
        ("{", True, "not JSON"),
        ("{}", True, "audio without a payload"),
        ('{"type":7}', False, "type is not a string"),
    ],
)
def test_what_is_no_message_is_refused_without_a_quote(text, bare, defect):
    with pytest.raises(MalformedMessage) as refused:
        parse(text, PAYLOAD_FIELDS, bare=bare)
    assert str(refused.value) == defect


@given(MESSAGES | st.text(st.characters()) | ANYTHING.map(json.dumps), st.booleans())
def test_any_text_is_read_or_refused(text, bare):
    try:
        found = parse(text, PAYLOAD_FIELDS, bare=bare)
    except MalformedMessage:
        return
    assert found is None or isinstance(found, Audio | Failure)
