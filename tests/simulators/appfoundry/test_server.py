import asyncio
import base64
import contextlib
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close

from simulators.appfoundry.script import Message, Timeline, error, intent, transcript, typed
from simulators.appfoundry.server import AppFoundryServer, Received
from simulators.live_call.player import LivePlayer
from simulators.live_call.script import Cut, Script

SPEED = 20.0
TIMELINE = Timeline(
    (transcript(0, "one"), intent(200, "two"), error(200, "three"), typed(400, "four"), Message(600, b"\xff"))
)
GOOD = {"Authorization": "Bearer good"}


def serving(**settings) -> AppFoundryServer:
    timelines = {"s-1": TIMELINE, "s-2": Timeline()}
    return AppFoundryServer("app-1", timelines, is_valid=lambda token: token == "good", **{"speed": SPEED} | settings)


@contextlib.asynccontextmanager
async def dialled(server: AppFoundryServer, websocket_id: str = "s-1", **settings):
    settings = {"additional_headers": GOOD, "proxy": None, "ping_interval": None} | settings
    async with connect(server.url + server.path(websocket_id), **settings) as client:
        await server.connected(websocket_id)
        yield client


async def test_a_timeline_is_sent_in_order_and_in_time():
    server = serving()
    loop = asyncio.get_running_loop()
    async with server.serving(), dialled(server) as client, asyncio.TaskGroup() as group:
        begun_s = loop.time()
        group.create_task(server.play("s-1"))
        received = [await client.recv() for _ in TIMELINE.messages]
        assert loop.time() - begun_s >= 0.6 / SPEED
    assert received == [message.content for message in TIMELINE.messages]
    assert [one.reached for one in server.sent] == [1] * 5


async def test_the_path_is_the_one_of_the_document():
    assert serving().path("s-1") == "/v2/appfoundry/apps/app-1/websockets/s-1"


async def test_what_is_due_while_nobody_is_there_is_gone():
    server = serving()
    async with server.serving():
        await server.play("s-1", Timeline((transcript(0, "nobody"),)))
        async with dialled(server) as client, asyncio.TaskGroup() as group:
            group.create_task(server.play("s-1"))
            assert json.loads(await client.recv())["text"] == "one"
            server.abort("s-1")
            with pytest.raises(ConnectionClosed) as end:
                await client.recv()
            assert end.value.rcvd is None
            await server.until(lambda: len(server.sent) == 6)
    assert [one.reached for one in server.sent] == [0, 1, 0, 0, 0, 0]


async def test_a_message_can_be_sent_at_once_to_one_websocket():
    server = serving()
    async with server.serving(), dialled(server, "s-1") as one, dialled(server, "s-2") as two:
        assert await server.send("s-2", {"type": "transcript", "text": "now"}) == 1
        assert await server.send("s-1", "{not json") == 1
        assert json.loads(await two.recv())["text"] == "now"
        assert await one.recv() == "{not json"


async def test_another_timeline_can_be_played():
    server = serving()
    async with server.serving(), dialled(server, "s-2") as client:
        await server.play("s-2", Timeline((intent(0, "other"),)))
        assert json.loads(await client.recv()) == {"type": "intent", "intent": "other"}


async def test_messages_of_clients_are_kept_word_for_word():
    server = serving()
    event = '{"type":"event", "event":"userInput","data":{"text":"hi","sessionId":"x","timestamp":1.5}}'
    async with server.serving(), dialled(server) as client:
        await client.send(event)
        await client.send(b"\x01")
        await server.until(lambda: len(server.received) == 2)
    assert server.received == [Received("s-1", event), Received("s-1", b"\x01")]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v2/appfoundry/apps/app-1/websockets/s-1", {"Authorization": "Bearer bad"}, 401),
        ("/v2/appfoundry/apps/app-2/websockets/s-1", GOOD, 404),
        ("/v2/appfoundry/apps/app-1/websockets/s-9", GOOD, 404),
        ("/v2/appfoundry/apps/app-1/websockets/s-1/", GOOD, 404),
    ],
)
async def test_a_wrong_token_app_or_websocket_is_refused(path, headers, status):
    server = serving()
    async with server.serving() as url:
        with pytest.raises(InvalidStatus) as refusal:
            await connect(url + path, additional_headers=headers, proxy=None)
    assert refusal.value.response.status_code == status


async def test_a_handshake_is_forbidden_on_order():
    server = serving()
    async with server.serving():
        server.refuse_next(1, 403)
        with pytest.raises(InvalidStatus) as refusal:
            async with dialled(server):
                pass
        assert refusal.value.response.status_code == 403
        async with dialled(server):
            assert len(server.peers("s-1")) == 1


async def test_a_connection_without_pings_is_closed_as_idle():
    server = serving(idle_limit_s=0.05)
    async with server.serving(), dialled(server) as client:
        with pytest.raises(ConnectionClosed) as end:
            await client.recv()
    assert end.value.rcvd == Close(1000, "idle")


async def test_the_report_is_json():
    server = serving()
    async with server.serving(), dialled(server) as client:
        await client.send("hello")
        await server.until(lambda: len(server.received) == 1)
        await server.send("s-1", b"\xff")
    plain = json.loads(json.dumps(server.as_json()))
    assert plain["received"] == [{"websocket_id": "s-1", "content": "hello"}]
    assert plain["sent"] == [{"websocket_id": "s-1", "content": "b'\\xff'", "reached": 1}]
    assert plain["connections"] == 1


def test_a_timeline_cannot_stand_still():
    with pytest.raises(ValueError, match="speed"):
        serving(speed=0.0)


async def test_audio_comes_beside_the_words_and_goes_on_after_a_cut():
    sound = bytes(range(160)) * 50
    call = LivePlayer(Script(audio=sound, actions=(Cut(200),), backlog_ms=60_000).plan(), speed=SPEED)
    server = serving(calls={"s-2": call})
    async with server.serving():
        async with dialled(server, "s-2") as client:
            first = [json.loads(await client.recv()) for _ in range(10)]
            with pytest.raises(ConnectionClosed):
                await client.recv()
        async with dialled(server, "s-2") as client:
            await server.send("s-2", {"type": "transcript", "text": "now"})
            rest = [json.loads(await client.recv()) for _ in range(41)]
    chunks = [message for message in first + rest if message["type"] == "audio"]
    assert b"".join(base64.b64decode(chunk["payload"]) for chunk in chunks) == sound
    assert [message["text"] for message in rest if message["type"] == "transcript"] == ["now"]
    assert server.as_json()["calls"]["s-2"]["cuts"] == 1


async def test_the_field_of_audio_can_be_chosen():
    call = LivePlayer(Script(audio=b"\xff" * 160).plan(), speed=SPEED)
    server = serving(calls={"s-2": call}, audio_field="data")
    async with server.serving(), dialled(server, "s-2") as client:
        message = json.loads(await client.recv())
    assert base64.b64decode(message["data"]) == b"\xff" * 160
