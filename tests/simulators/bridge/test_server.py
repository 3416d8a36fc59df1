import asyncio
import contextlib
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from simulators.bridge.script import Answer, Fault, Message, transcript
from simulators.bridge.server import BridgeServer


def user_input(text, **more):
    return json.dumps({"type": "event", "event": "userInput", "data": {"text": text, "sessionId": "c", **more}})


@contextlib.asynccontextmanager
async def dialled(server, name="c", **settings):
    async with server.serving() as url, connect(url + server.path(name), proxy=None, **settings) as client:
        yield client


async def test_an_input_is_kept_and_answered():
    server = BridgeServer("app")
    async with dialled(server) as client:
        await client.send(user_input("hello", id="t"))
        kinds = [json.loads(await client.recv())["type"] for _ in range(4)]
    assert kinds == ["intent", "transcript", "audio", "audio"]
    (taken,) = server.received
    assert (taken.text, taken.session_id, taken.data["id"], server.texts("c")) == ("hello", "c", "t", ["hello"])


async def test_an_answer_may_name_its_input_be_slow_or_hold_anything():
    server = BridgeServer("app")
    server.script.queue.append(Answer((transcript("yes"),), echoes_turn=True))
    server.script.queue.append(Answer((transcript("slow", 0.05), Message(b"\xff"))))
    async with dialled(server) as client:
        await client.send(user_input("one", id="t"))
        assert json.loads(await client.recv())["turnId"] == "t"
        begun_s = asyncio.get_running_loop().time()
        await client.send(user_input("two"))
        assert "slow" in await client.recv()
        assert asyncio.get_running_loop().time() - begun_s >= 0.05
        assert await client.recv() == b"\xff"


@pytest.mark.parametrize(("fault", "code"), [(Fault.RESET, None), (Fault.CLOSE, 1011)])
async def test_a_connection_can_end_after_what_was_said(fault, code):
    server = BridgeServer("app")
    server.script.queue.append(Answer((transcript("half"),), fault=fault))
    async with dialled(server) as client:
        await client.send(user_input("one"))
        assert "half" in await client.recv()
        with pytest.raises(ConnectionClosed) as ended:
            await client.recv()
    assert (ended.value.rcvd.code if ended.value.rcvd else None) == code
    assert len(server.received) == 1


async def test_an_input_can_go_unanswered_and_the_next_is_taken():
    server = BridgeServer("app")
    server.script.queue.append(Answer(fault=Fault.SILENCE))
    async with dialled(server) as client:
        await client.send(user_input("one"))
        await client.send(user_input("two"))
        assert "two" in [await client.recv() for _ in range(2)][1]


async def test_other_sockets_and_tokens_are_refused():
    server = BridgeServer("app", is_valid=lambda token: token == "good")
    async with server.serving() as url:
        for path, headers, status in (
            (server.path("c"), {}, 401),
            ("/v2/appfoundry/apps/other/websockets/c", {"Authorization": "Bearer good"}, 404),
        ):
            with pytest.raises(InvalidStatus) as refused:
                await connect(url + path, proxy=None, additional_headers=headers).__aenter__()
            assert refused.value.response.status_code == status


async def test_it_may_speak_unasked_and_counts_what_is_neither_input_nor_voice():
    server = BridgeServer("app")
    async with dialled(server) as client:
        await server.until(lambda: server.peers("c"))
        assert await server.say("c", transcript("I am here")) == 1
        assert "I am here" in await client.recv()
        await client.send("odd")
        await server.until(lambda: server.odd == 1)
        assert server.received == []
