import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.cognigy.messages import BotAnswer, BotOutput, Intent, read_answer, request, trace_of, turn_id, user_id
from schemas.symbols import BotSpeaker, Channel, UtteranceInput
from tests.processors.cognigy.turns import body, utterance

PATHS = ("nlu.intent", "nlu.score")


def read(content: bytes, longest_bytes: int = 10_000) -> BotAnswer:
    return read_answer(content, longest_bytes, PATHS)


def test_an_utterance_becomes_the_documented_request():
    sent = json.loads(request(utterance("grüezi", confidence=0.5, input=UtteranceInput.SPEECH)))
    assert sent == {
        "userId": user_id("conversation"),
        "sessionId": "conversation",
        "text": "grüezi",
        "data": {
            "_idem": turn_id(utterance().utterance_id),
            "input": "speech",
            "channel": "external",
            "language": "en-US",
            "confidence": 0.5,
            "occurredAtMs": 1_700_000_000_000,
        },
    }


def test_what_is_not_known_is_null():
    sent = json.loads(request(utterance(language=None, occurred_at_us=-1, channel=Channel.UNKNOWN)))
    assert {name: sent["data"][name] for name in ("channel", "language", "confidence", "occurredAtMs")} == {
        "channel": "unknown",
        "language": None,
        "confidence": None,
        "occurredAtMs": None,
    }


def test_ids_are_digests_and_the_same_however_often_they_are_made():
    assert turn_id("utterance") == hashlib.sha256(b"utterance").hexdigest()
    assert user_id("+41 44 668 18 00") == user_id("+41 44 668 18 00")
    assert "668" not in user_id("+41 44 668 18 00")
    assert user_id("a") == hashlib.sha256(b"callstream-user:a").hexdigest()[:32]
    assert user_id("a") != user_id("b")


def test_nothing_of_the_caller_but_words_goes_out():
    text = request(utterance(agent="Ms Example", organisation="org", queue="sales")).decode()
    assert all(word not in text for word in ("Ms Example", "org", "sales", "session of"))


def test_outputs_come_one_by_one_with_words_data_speaker_and_trace():
    answer = read(
        body({"text": "One.", "data": {"b": 1, "a": [1.5, "é"]}}, {"text": "Two.", "source": "agent"}, {"data": {}})
    )
    assert answer.outputs == (
        BotOutput(BotSpeaker.BOT, "One.", '{"b":1,"a":[1.5,"\\u00e9"]}', "trace"),
        BotOutput(BotSpeaker.AGENT, "Two.", None, "trace"),
        BotOutput(BotSpeaker.BOT, None, "{}", "trace"),
    )
    assert answer.trace_id == "trace"


def test_a_flow_that_says_nothing_is_an_answer_too():
    assert read(body()) == BotAnswer(())


def test_an_unknown_speaker_is_unknown():
    assert [
        output.speaker for output in read(body({"source": "engagement"}, {"source": "x"}, {"source": 1})).outputs
    ] == [
        BotSpeaker.ENGAGEMENT,
        BotSpeaker.UNKNOWN,
        BotSpeaker.UNKNOWN,
    ]


@pytest.mark.parametrize(
    ("data", "intent"),
    [
        ({"nlu": {"intent": "order", "score": 0.75}}, Intent("order", 0.75, "nlu.intent")),
        ({"nlu": {"intent": "order"}}, Intent("order", -1, "nlu.intent")),
        ({"nlu": {"intent": "order", "score": 7}}, Intent("order", -1, "nlu.intent")),
        ({"nlu": {"intent": "order", "score": True}}, Intent("order", -1, "nlu.intent")),
        ({"nlu": {"intent": ""}}, None),
        ({"nlu": {"intent": 5}}, None),
        ({"nlu": "order"}, None),
        ("order", None),
        (None, None),
    ],
)
def test_the_intent_is_read_where_the_paths_point(data, intent):
    answer = read(body({"text": "One.", "data": data}))
    assert (answer.intent, answer.outputs[0].intent) == (intent, intent)


def test_the_first_intent_of_a_turn_is_the_turn_s_and_the_merged_data_come_last():
    two = body({"text": "One."}, {"data": {"nlu": {"intent": "first"}}}, {"data": {"nlu": {"intent": "second"}}})
    merged = body({"text": "One."}, data={"nlu": {"intent": "merged"}})
    assert [read(content).intent.name for content in (two, merged)] == ["first", "merged"]


@pytest.mark.parametrize(
    ("content", "defect"),
    [
        (b"<html>", "the answer is not JSON"),
        (b"", "the answer is not JSON"),
        (b"[" * 9_000, "the answer is not JSON"),
        (b'{"outputStack": [{"text": NaN}]}', "the answer is not JSON"),
        (b"[]", "the answer is no object"),
        (b'{"text": "hi"}', "the answer has no list outputStack"),
        (b'{"outputStack": ["hi"]}', "an output is no object"),
        (b'{"outputStack": [{"text": 5}]}', "the text of an output is no text"),
        (b'{"outputStack": [{"data": {"a": 1e999}}]}', "the data of an output holds a number beyond all limits"),
        (b" " * 10_001, "the answer is too large"),
    ],
)
def test_what_is_not_as_documented_is_named(content, defect):
    assert read(content).outputs == (BotOutput(defect=defect),)


def test_one_bad_output_leaves_the_others():
    outputs = read(b'{"outputStack": [{"text": "One."}, 5, {"text": "Three."}]}').outputs
    assert [(output.text, output.defect) for output in outputs] == [
        ("One.", None),
        (None, "an output is no object"),
        ("Three.", None),
    ]


def test_an_answer_without_end_is_cut_and_said_to_be():
    outputs = read(json.dumps({"outputStack": [{}] * 500}).encode()).outputs
    assert len(outputs) == 201
    assert outputs[-1].defect == "the answer has too many outputs"


def test_half_characters_do_not_reach_the_log():
    output = read(b'{"outputStack": [{"text": "a\\ud800b", "data": "\\ud800", "traceId": "\\ud800"}]}').outputs[0]
    assert (output.text, output.data_json, output.trace_id) == ("a?b", '"\\ud800"', "?")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )
)
def test_data_survive_as_they_were(data):
    (output,) = read_answer(body({"data": data}), 10**6, PATHS).outputs
    assert (None if output.data_json is None else json.loads(output.data_json)) == data


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["outputStack", "text", "data", "traceId", "source", "nlu"]), inner)
        ),
        max_leaves=20,
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_answer_makes_the_reader_fail(content):
    for output in read(content).outputs:
        for text in (output.text, output.data_json, output.trace_id):
            assert text is None or text.encode("utf-8")
    trace_of(content)


@pytest.mark.parametrize(
    ("content", "trace"),
    [(b'{"traceId": "t-1"}', "t-1"), (b'{"traceId": 5}', None), (b"<html>", None), (b"[]", None)],
)
def test_the_trace_of_an_error_is_read_where_there_is_one(content, trace):
    assert trace_of(content) == trace
