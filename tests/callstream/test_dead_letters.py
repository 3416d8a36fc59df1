import json
import uuid

import pytest

from audio.frames import FrameEncoder
from callstream.dead_letters import (
    DeadLetter,
    beside,
    facts,
    newest_of,
    personal,
    printable,
    schema_id,
    since_ms,
    table,
    when,
)
from runtime.deadletter import headers
from schemas.codec import SchemaStore
from schemas.records import AudioFrame, CallEvent
from schemas.symbols import CallEventKind, FrameKind
from schemas.versions import RECORD_TYPES, newest

STORE = SchemaStore()
SECRET = "a caller's secret"
SESSION = uuid.UUID(int=7)


def letter(value=b"garbage", key=b"conversation-1", topic="calls.audio", offset=3, timestamp_ms=1_700_000_000_123):
    found = headers("the defect", "process", topic, 2, 41, "silence", "InvalidRecord")
    return DeadLetter("silence", 0, offset, timestamp_ms, key, value, tuple(found))


def frame() -> bytes:
    return FrameEncoder(STORE).encode(
        AudioFrame(
            kind=FrameKind.AUDIO, session_id=SESSION.bytes, sequence=5, sample_rate_hz=8000, payload=SECRET.encode()
        )
    )


def text_of(value, **options) -> str:
    return "\n".join(f"{name}: {text}" for name, text in facts(value, STORE, **options))


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("90s", 910_000),
        ("5m", 700_000),
        ("1970-01-01T00:00:10", 10_000),
        ("1970-01-01T01:00:10+01:00", 10_000),
        ("1970-01-02", 86_400_000),
    ],
)
def test_since_is_an_age_or_a_time(text, expected_ms):
    assert since_ms(text, 1_000_000) == expected_ms


@pytest.mark.parametrize("text", ["", "5", "5x", "yesterday", "-5m"])
def test_anything_else_is_no_since(text):
    with pytest.raises(ValueError, match=r".*"):
        since_ms(text, 0)


def test_the_newest_are_kept_oldest_first():
    letters = [letter(offset=offset, timestamp_ms=stamp) for offset, stamp in ((0, 30), (1, 10), (2, 20))]
    assert [found.offset for found in newest_of(letters, 2)] == [2, 0]


def test_the_table_names_when_which_where_from_and_why():
    head, line = table([letter()])
    assert head.split() == ["WHEN", "LETTER", "SOURCE", "STAGE", "ERROR"]
    assert line.split("  ") == [
        "2023-11-14T22:13:20.123Z",
        "silence/0/3",
        "calls.audio/2/41",
        "process",
        "the defect",
    ]


def test_a_letter_without_headers_is_listed_too():
    bare = DeadLetter("silence", 0, 0, -1, None, None, ())
    assert list(table([bare]))[1].split() == ["?", "silence/0/0", "?/?/?"]


def test_nothing_can_control_the_terminal():
    assert printable(b"\x1b[31mred\n\xff") == "�[31mred��"
    evil = DeadLetter("silence", 0, 0, 0, b"k", None, (("__connect.errors.stage", b"\x1b]0;x\x07"),))
    assert "\x1b" not in "".join(table([evil])) + text_of(evil)


def test_what_cannot_be_read_is_length_and_digest_only():
    shown = text_of(letter(value=SECRET.encode(), key=SECRET.encode()))
    assert SECRET not in shown
    assert SECRET.encode().hex() not in shown.replace(" ", "")
    assert "17 bytes, sha256 " in shown
    assert "the defect" in shown
    assert "not readable" in shown


def test_a_frame_s_fields_are_shown_but_its_audio_only_with_content():
    shown = text_of(letter(value=frame()))
    assert "field sequence: 5" in shown
    assert 'field kind: "AUDIO"' in shown
    assert "field payload: (personal" in shown
    assert SECRET.encode().hex() not in shown
    assert SECRET.encode().hex() in text_of(letter(value=frame()), content=True)


def test_a_cut_frame_still_says_which_one_it_is():
    shown = text_of(letter(value=frame()[:-4]))
    assert f"field session_id: {SESSION.hex}" in shown
    assert "field sequence: 5" in shown


def test_the_topic_may_have_a_prefix():
    value = letter(value=frame(), topic="replay.x.calls.audio")
    assert "field sequence" not in text_of(value)
    assert "field sequence: 5" in text_of(value, topic_prefix="replay.x.")


def test_the_text_of_a_call_event_is_personal():
    event = CallEvent(conversation_id="c", session_id="s", kind=CallEventKind.TRANSCRIPT, text=SECRET)
    value = letter(value=STORE.encode(event), topic="calls.events")
    assert SECRET not in text_of(value)
    assert 'field conversation_id: "c"' in text_of(value)
    assert SECRET in text_of(value, content=True)


def test_first_bytes_are_shown_when_asked_for():
    assert "bytes: 67 61 72" in text_of(letter(), first_bytes=3)
    assert "67 61 72" not in text_of(letter())


def test_null_is_null():
    shown = text_of(letter(value=None, key=None))
    assert "key: null" in shown
    assert "value: null" in shown


@pytest.mark.parametrize("folder", sorted(RECORD_TYPES))
def test_no_field_that_holds_something_personal_counts_as_public(folder):
    for field in newest(folder).definition["fields"]:
        if '"pii": true' in json.dumps(field):
            assert personal(field)
    assert personal({"name": "unmarked", "type": "string"})


def test_the_file_beside_says_where_from_and_holds_the_headers():
    described = json.loads(beside(letter()))
    assert described["group"] == "silence"
    assert (described["value_bytes"], described["key_base64"]) == (7, "Y29udmVyc2F0aW9uLTE=")
    assert dict(described["headers"])["__connect.errors.offset"] == "41"
    assert "garbage" not in beside(letter())


def test_the_schema_id_is_read_where_there_is_one():
    assert schema_id(letter(value=b"\x00\x00\x00\x00\x07body")) == 7
    assert schema_id(letter(value=None)) is None


def test_a_time_that_is_not_known_is_said_so():
    assert when(-1) == "?"
