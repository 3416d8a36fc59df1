import asyncio
import base64
import contextlib
import json

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close

from simulators.conversation_audio.server import ConversationAudioServer, Framing, Heartbeat
from simulators.live_call.player import LivePlayer
from simulators.live_call.script import Cut, Script

SPEED = 20.0


def audio(chunks: int = 20) -> bytes:
    return b"".join(number.to_bytes(2, "big") * 80 for number in range(chunks))


def call(chunks: int = 20, *actions, **script) -> LivePlayer:
    return LivePlayer(Script(audio=audio(chunks), actions=actions, **script).plan(), speed=SPEED)


def quiet() -> LivePlayer:
    """A call that never begins."""
    return LivePlayer(Script(audio=audio(1)).plan(), starts_on_listener=False)


def serving(player: LivePlayer | None = None, **settings) -> ConversationAudioServer:
    return ConversationAudioServer({"c-1": player or call()}, **{"heartbeat": Heartbeat.NONE} | settings)


def beating(heartbeat: Heartbeat, **settings) -> ConversationAudioServer:
    settings = {"heartbeat": heartbeat, "framing": Framing.TEXT, "ping_s": 0.02, "answer_s": 0.2} | settings
    return serving(quiet(), **settings)


@contextlib.asynccontextmanager
async def dialled(server: ConversationAudioServer, **settings):
    settings = {"proxy": None, "ping_interval": None} | settings
    async with connect(server.url + server.path("c-1"), **settings) as client:
        yield client


async def echo(client: ClientConnection, times: int) -> None:
    for _ in range(times):
        message = await client.recv()
        assert isinstance(message, bytes)
        await client.send(message)


async def listen(client: ClientConnection) -> None:
    while True:
        await client.recv()


async def end_of(client: ClientConnection) -> Close | None:
    with pytest.raises(ConnectionClosed) as end:
        await listen(client)
    return end.value.rcvd


async def test_audio_comes_at_once_and_as_it_is():
    server = serving()
    async with server.serving(), dialled(server) as client:
        assert b"".join([await client.recv() for _ in range(20)]) == audio()
    assert server.handshakes[0].path == "/media/v1/conversations/c-1/audio"
    assert server.calls["c-1"].report.missing == ()


async def test_audio_as_text_is_base64():
    server = serving(framing=Framing.TEXT)
    async with server.serving(), dialled(server) as client:
        messages = [await client.recv() for _ in range(20)]
    assert all(isinstance(message, str) for message in messages)
    assert b"".join(map(base64.b64decode, messages)) == audio()


async def test_pings_of_the_protocol_are_answered_by_it():
    server = beating(Heartbeat.CONTROL)
    async with server.serving(), dialled(server):
        await server.until(lambda: sum(ping.answered_after_s is not None for ping in server.pings) == 3)
    assert [ping.payload for ping in server.pings[:3]] == [number.to_bytes(8, "big") for number in range(3)]
    assert server.unexpected == 0


async def test_binary_pings_want_the_same_bytes_back():
    server = beating(Heartbeat.BINARY)
    async with server.serving(), dialled(server) as client:
        await echo(client, 3)
        await server.until(lambda: sum(ping.answered_after_s is not None for ping in server.pings) == 3)
        await client.send(b"something else")
        await client.send("text")
        await server.until(lambda: server.unexpected == 1)
        await echo(client, 1)
        await server.until(lambda: server.unexpected == 2)


@pytest.mark.parametrize("answer", [None, b"wrong", "\x00\x00\x00\x00\x00\x00\x00\x00"])
async def test_a_binary_ping_without_its_answer_closes_the_connection(answer):
    server = beating(Heartbeat.BINARY, answer_s=0.05)
    async with server.serving(), dialled(server) as client:
        assert isinstance(await client.recv(), bytes)
        if answer is not None:
            await client.send(answer)
        assert await end_of(client) == Close(1001, "no answer to a ping")
    assert server.pings[0].answered_after_s is None


async def test_a_ping_of_the_protocol_without_its_answer_closes_the_connection():
    server = beating(Heartbeat.CONTROL, answer_s=0.05)
    async with server.serving(), dialled(server, close_timeout=0) as client:
        client.transport.pause_reading()
        await server.until(lambda: bool(server.endings))
        client.transport.abort()
    assert [(one.code, one.by_client) for one in server.endings] == [(1006, False)]
    assert server.pings[0].answered_after_s is None


async def test_who_sends_nothing_is_closed_as_idle_with_the_code_that_was_asked_for():
    for code in (1000, 1001):
        server = serving(quiet(), idle_s=0.05, idle_code=code)
        async with server.serving(), dialled(server) as client:
            assert await end_of(client) == Close(code, "idle")


@pytest.mark.parametrize("way", ["answers", "pings", "messages"])
async def test_who_sends_anything_is_not_idle(way):
    heartbeat = Heartbeat.CONTROL if way == "answers" else Heartbeat.NONE
    server = beating(heartbeat, idle_s=0.8)
    async with server.serving(), dialled(server, ping_interval=0.02 if way == "pings" else None) as client:
        for _ in range(12):
            if way == "messages":
                await client.send("alive")
            await asyncio.sleep(0.1)
        assert len(server.peers("c-1")) == 1


async def test_pings_stop_and_go_on_when_told_to():
    server = beating(Heartbeat.BINARY)
    async with server.serving(), dialled(server) as client:
        await echo(client, 1)
        await server.until(lambda: server.pings[0].answered_after_s is not None)
        server.stop_pinging()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await echo(client, 1)
        asked = len(server.pings)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.recv()
        assert len(server.pings) == asked
        server.ping_again()
        await echo(client, 1)


async def test_what_was_kept_during_a_cut_comes_at_once_to_the_next_connection():
    server = serving(call(100, Cut(200), backlog_ms=60_000))
    async with server.serving():
        async with dialled(server) as client:
            first = [await client.recv() for _ in range(10)]
            assert await end_of(client) is None
        async with dialled(server) as client:
            rest = [await client.recv() for _ in range(90)]
    assert b"".join(first + rest) == audio(100)


async def test_a_token_is_asked_for_only_where_that_was_chosen():
    server = serving(is_valid=lambda token: token == "good")
    async with server.serving():
        with pytest.raises(InvalidStatus) as refusal:
            async with dialled(server):
                pass
        async with dialled(server, additional_headers={"Authorization": "Bearer good"}):
            pass
    assert refusal.value.response.status_code == 401


async def test_another_conversation_is_not_found():
    server = serving()
    async with server.serving() as url:
        with pytest.raises(InvalidStatus) as refusal:
            await connect(url + server.path("c-9"), proxy=None)
    assert refusal.value.response.status_code == 404


def test_binary_pings_among_binary_audio_are_refused():
    with pytest.raises(ValueError, match="as text"):
        serving(heartbeat=Heartbeat.BINARY)


async def test_the_report_is_json():
    server = beating(Heartbeat.BINARY)
    async with server.serving(), dialled(server) as client:
        await echo(client, 1)
        await server.until(lambda: server.pings[0].answered_after_s is not None)
    plain = json.loads(json.dumps(server.as_json()))
    assert plain["pings"] >= plain["pings_answered"] >= 1
    assert 0 <= plain["slowest_answer_s"] < 1
    assert plain["calls"]["c-1"]["listeners"] == 1
