import pytest

from simulators.cognigy.script import Answer, Fault, Input, Output, Script, defect, documented, echo

TAKEN = Input("conversation", "user", "hello", None, 1.0)
GOOD = {"userId": "u", "sessionId": "s", "text": "hello"}


@pytest.mark.parametrize(
    ("request_body", "wrong"),
    [
        (GOOD, None),
        ({"userId": "u", "sessionId": "s", "data": {"a": 1}}, None),
        ({**GOOD, "userId": ""}, "userId is missing"),
        ({"userId": "u", "text": "hello"}, "sessionId is missing"),
        ({"userId": "u", "sessionId": "s"}, "text and data are missing"),
        (["hello"], "the body is no JSON object"),
    ],
)
def test_a_request_has_a_user_a_session_and_a_text_or_data(request_body, wrong):
    assert defect(request_body) == wrong


def test_an_answer_has_the_outputs_one_by_one_and_together():
    body = documented(
        TAKEN, (Output("One.", {"a": 1}), Output(None, {"b": 2}), Output("Two.", source="agent")), "trace"
    )
    assert (body["text"], body["data"]) == ("One.Two.", {"a": 1, "b": 2})
    assert [(entry["text"], entry["data"], entry["source"]) for entry in body["outputStack"]] == [
        ("One.", {"a": 1}, "bot"),
        (None, {"b": 2}, "bot"),
        ("Two.", None, "agent"),
    ]
    assert {entry["traceId"] for entry in body["outputStack"]} == {"trace"}
    assert (body["userId"], body["sessionId"]) == ("user", "conversation")


def test_answers_come_from_the_queue_then_by_text_then_from_the_rest():
    script = Script(answers={"hello": Answer(status=201)})
    script.queue.append(Answer(status=503))
    assert [script.answer(text).status for text in ("hello", "hello", "other")] == [503, 201, 200]
    assert script.answer("other") == echo("other")


def test_a_reset_before_reading_is_used_up_by_one_request():
    script = Script()
    script.queue.extend([Answer(fault=Fault.RESET_BEFORE_READ), Answer(status=204)])
    assert [script.resets_unread(), script.resets_unread()] == [True, False]
    assert script.answer("hello").status == 204
