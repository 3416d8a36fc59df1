import asyncio
import json

import pytest

from runtime.errors import Unavailable
from runtime.http import HttpClient, Unsent
from simulators.cognigy.script import MOST_BODY_BYTES, Answer, Fault, Output
from simulators.cognigy.server import CognigyServer

TOKEN = "0123456789abcdef"


@pytest.fixture
async def server():
    async with CognigyServer(TOKEN) as server:
        yield server


@pytest.fixture
async def http():
    async with HttpClient("bot", timeout_s=5, any_status=True) as http:
        yield http


def asked(text="hello", session="conversation", **more):
    return json.dumps({"userId": "user", "sessionId": session, "text": text, **more}).encode()


async def post(http, server, body, token=TOKEN, timeout_s=None):
    return await http.request("POST", f"{server.url}/{token}", content=body, timeout_s=timeout_s)


async def test_an_input_is_taken_and_answered_as_documented(server, http):
    server.script.answers["hello"] = Answer((Output("Hi."), Output("How can I help?", {"intent": "greeting"})))
    answer = await post(http, server, asked(data={"_idem": "1"}))
    body = answer.json()
    assert (answer.status, body["text"], body["sessionId"]) == (200, "Hi.How can I help?", "conversation")
    assert [entry["text"] for entry in body["outputStack"]] == ["Hi.", "How can I help?"]
    (taken,) = server.received
    assert (taken.session_id, taken.user_id, taken.text, taken.data) == (
        "conversation",
        "user",
        "hello",
        {"_idem": "1"},
    )


async def test_inputs_are_listed_in_the_order_of_their_arrival(server, http):
    for text in ("one", "two", "three"):
        await post(http, server, asked(text, session=text[0]))
    await post(http, server, asked("four", session="t"))
    await server.took(4)
    assert server.texts("t") == ["two", "three", "four"]
    listed = (await http.request("GET", f"{server.url}/inputs")).json()
    assert [taken["text"] for taken in listed] == ["one", "two", "three", "four"]
    arrivals = [taken["arrivedS"] for taken in listed]
    assert arrivals == sorted(arrivals)


@pytest.mark.parametrize(
    ("token", "body", "status"),
    [
        (TOKEN, b"no json", 400),
        (TOKEN, json.dumps({"userId": "u", "text": "hello"}).encode(), 400),
        (TOKEN, b"x" * (MOST_BODY_BYTES + 1), 413),
        ("another", asked(), 404),
        (f"/{TOKEN}", asked(), 404),
        (f"v1/{TOKEN}", asked(), 404),
    ],
)
async def test_what_is_wrong_with_a_request_is_refused_and_not_taken(server, http, token, body, status):
    assert (await post(http, server, body, token)).status == status
    assert (server.received, server.requests) == ([], 1)


async def test_the_test_address_is_the_same_bot(server, http):
    assert (await post(http, server, asked(), f"test/{TOKEN}")).status == 200
    assert len(server.received) == 1


async def test_a_status_is_answered_as_often_as_told(server, http):
    server.script.queue.extend([Answer(status=429, retry_after="2")] * 2)
    answers = [await post(http, server, asked()) for _ in range(3)]
    assert [(answer.status, answer.headers.get("retry-after")) for answer in answers] == [
        (429, "2"),
        (429, "2"),
        (200, None),
    ]
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("fault", "taken"), [(Fault.RESET_BEFORE_READ, 0), (Fault.RESET_AFTER_READ, 1), (Fault.RESET_IN_ANSWER, 1)]
)
async def test_a_connection_is_reset_where_told(server, http, fault, taken):
    server.script.queue.append(Answer((Output("never"),), fault=fault))
    with pytest.raises(Unavailable, match="no answer"):
        await post(http, server, asked())
    assert len(server.received) == taken
    assert (await post(http, server, asked())).status == 200


async def test_an_input_may_never_be_answered(server, http):
    server.script.queue.append(Answer(fault=Fault.SILENCE))
    with pytest.raises(Unavailable, match="within"):
        await post(http, server, asked(), timeout_s=0.1)
    assert len(server.received) == 1


async def test_an_answer_waits_as_long_as_told(server, http):
    server.script.queue.append(Answer((Output("late"),), delay_s=0.2))
    with pytest.raises(Unavailable, match="within"):
        await post(http, server, asked(), timeout_s=0.05)
    server.script.queue.append(Answer((Output("late"),), delay_s=0.01))
    assert (await post(http, server, asked())).json()["text"] == "late"


async def test_any_bytes_can_be_an_answer(server, http):
    server.script.queue.append(Answer(body=b"<html>"))
    assert (await post(http, server, asked())).body == b"<html>"


async def test_after_a_stop_nobody_answers_and_a_start_remembers(server, http):
    await post(http, server, asked("before"))
    held = asyncio.create_task(post(http, server, asked("held"), timeout_s=5))  # noqa: TID251
    server.script.queue.append(Answer(fault=Fault.SILENCE))
    await server.took(2)
    await server.stop()
    with pytest.raises(Unavailable):
        await held
    with pytest.raises(Unsent):
        await post(http, server, asked("while down"))
    await server.start()
    await post(http, server, asked("after"))
    assert server.texts("conversation") == ["before", "held", "after"]
