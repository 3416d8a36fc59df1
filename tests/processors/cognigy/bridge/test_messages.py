import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.cognigy.bridge.messages import Failure, Message, Reading, audio_chunk, read, user_input
from processors.cognigy.events import Heard, Intent, Spoke, Understood
from schemas.symbols import Codec
from tests.processors.cognigy.bridge.lines import said
from tests.processors.cognigy.turns import NOW_S

READING = Reading()


def text(kind, **fields):
    return json.dumps({"type": kind, **fields})


def test_an_input_is_the_document_s_event_with_an_id_and_the_time_of_the_words():
    message = json.loads(user_input(said()))
    assert (message["type"], message["event"]) == ("event", "userInput")
    assert message["data"] == {
        "text": "hello",
        "sessionId": "conversation",
        "timestamp": NOW_S,
        "id": said().turn_id,
        "input": "platform",
        "language": "en-US",
    }
    told = json.loads(user_input(replace(said(), about={"queue": "sales"})))
    assert told["data"]["call"] == {"queue": "sales"}


def test_a_piece_of_voice_says_what_it_is_and_where_it_stands():
    message = json.loads(audio_chunk("c", b"\x01\x02", Codec.L16_LE, 8000, 320))
    assert base64.b64decode(message.pop("payload")) == b"\x01\x02"
    assert message == {"type": "audio", "sessionId": "c", "encoding": "l16", "sampleRate": 8000, "position": 320}


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (text("transcript", text="hello"), Heard("hello")),
        (text("transcript", text="hello", isFinal=True), Heard("hello", '{"isFinal":true}')),
        (text("intent", intent="order"), Understood(Intent("order", -1, "intent"))),
        (
            text("intent", intent="order", confidence=0.5),
            Understood(Intent("order", 0.5, "intent"), '{"confidence":0.5}'),
        ),
        (
            text("intent", intent="order", confidence=True),
            Understood(Intent("order", -1, "intent"), '{"confidence":true}'),
        ),
        (text("error", message="no"), Failure("no", -1)),
        (text("error", code=401), Failure(None, 401)),
        (text("error", code="401"), Failure(None, -1)),
        (text("audio", data="AAE="), Spoke(b"\x00\x01", Codec.L16_LE, 8000)),
        (text("audio", audio="AAE="), Spoke(b"\x00\x01", Codec.L16_LE, 8000)),
    ],
)
def test_each_documented_type_is_an_event(message, event):
    found = read(message, READING)
    assert (found.event, found.kind) == (event, json.loads(message)["type"])
    assert found.ends is isinstance(event, Failure)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "{",
        "[]",
        "1",
        "null",
        "{}",
        '{"type": 5}',
        '{"type": "transcript", "text": NaN}',
        text("transcript"),
        text("transcript", text=""),
        text("intent"),
        text("intent", intent=5),
        text("audio"),
        text("audio", payload=""),
        text("audio", payload="%%"),
        text("audio", payload=[1]),
        "[" * 100_000,
    ],
)
def test_what_makes_no_sense_is_malformed(message):
    assert read(message, READING) == Message("malformed")


@pytest.mark.parametrize("frame", [b"", b"\xff\xfe1\x00", b'{"type": "transcript", "text": "x"}'])
def test_a_binary_message_is_never_parsed(frame):
    assert read(frame, READING) == Message("binary")


def test_other_types_are_unknown_unless_they_end_an_answer():
    assert read(text("weather"), READING) == Message("unknown")
    assert read(text("turnEnd"), replace(READING, end_types=("turnEnd",))) == Message("end", ends=True)


def test_a_message_may_name_itself_and_its_turn():
    found = read(text("transcript", text="x", id="m", turnId="t"), READING)
    assert (found.id, found.turn_id) == ("m", "t")
    assert read(text("transcript", text="x", re="t"), replace(READING, turn_field="re")).turn_id == "t"
    assert read(text("transcript", text="x", id=5, turnId=""), READING).turn_id is None


def test_texts_are_cut_and_hold_nothing_that_cannot_be_written():
    long = read(text("transcript", text="x" * 9999), READING).event
    assert isinstance(long, Heard)
    assert len(long.text) == 4096
    lone = read('{"type": "transcript", "text": "\\ud800"}', READING).event
    assert isinstance(lone, Heard)
    assert lone.text == "?"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "intent", "message", "code", "payload", "id", "turnId", "confidence"])
            | st.text(),
            inner | st.sampled_from(["transcript", "intent", "error", "audio"]),
            max_size=5,
        )
    ),
    max_leaves=10,
)


@given(JSON.map(json.dumps) | st.text() | st.binary())
def test_no_message_whatever_it_holds_raises_anything(message):
    found = read(message, READING)
    assert found.kind in {"audio", "transcript", "intent", "error", "unknown", "malformed", "binary"}
    assert (found.event is None) is (found.kind in {"unknown", "malformed", "binary"})
