import asyncio
import base64
import contextlib
import json

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close

from simulators.live_call.player import LivePlayer
from simulators.live_call.script import Cut, Say, Script
from simulators.media_websocket.messages import Subscribe
from simulators.media_websocket.server import PATH, Authentication, AuthFault, MediaWebSocketServer

SPEED = 20.0
SUCCESS = {"type": "auth", "result": "success"}


def audio(chunks: int = 20) -> bytes:
    return b"".join(number.to_bytes(2, "big") * 80 for number in range(chunks))


def call(chunks: int = 20, *actions) -> LivePlayer:
    return LivePlayer(Script(audio=audio(chunks), actions=actions).plan(), speed=SPEED)


def serving(calls: dict[str, LivePlayer] | None = None, **settings) -> MediaWebSocketServer:
    settings = {"is_valid": lambda token: token in {"good", "better"}} | settings
    return MediaWebSocketServer({"m-1": call()} if calls is None else calls, **settings)


@contextlib.asynccontextmanager
async def dialled(server: MediaWebSocketServer, token: str | None = "good", **settings):
    async with connect(server.url + PATH, **{"proxy": None, "ping_interval": None} | settings) as client:
        if token is not None:
            await client.send(json.dumps({"type": "auth", "token": token, "userId": "u"}))
        yield client


def subscription(name: str = "m-1") -> str:
    return json.dumps({"type": "subscribe", "connectionId": name, "capabilities": ["audio"]})


async def said(client: ClientConnection) -> dict:
    return json.loads(await client.recv())


async def heard(client: ClientConnection, chunks: int) -> bytes:
    messages = [await said(client) for _ in range(chunks)]
    assert {message["type"] for message in messages} == {"audio"}
    return b"".join(base64.b64decode(message["data"]) for message in messages)


async def nothing_comes(client: ClientConnection) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.recv()


async def test_a_token_and_a_subscription_bring_the_audio_of_a_connection():
    server = serving()
    async with server.serving(), dialled(server) as client:
        assert await said(client) == SUCCESS
        await client.send(subscription())
        assert await said(client) == {"type": "subscribe", "result": "success", "connectionId": "m-1"}
        assert await heard(client, 20) == audio()
        await server.until(lambda: server.calls["m-1"].report.ended)
    assert server.authentications == [Authentication("u", valid=True, answer=json.dumps(SUCCESS))]
    assert server.subscriptions == [Subscribe("m-1", ("audio",))]
    assert server.calls["m-1"].report.missing == ()
    assert server.oddities == 0


async def test_without_acknowledgements_the_audio_is_the_answer():
    server = serving(acknowledges=False)
    async with server.serving(), dialled(server) as client:
        await said(client)
        await client.send(subscription())
        assert await heard(client, 20) == audio()


async def test_the_audio_stands_in_the_field_that_was_chosen():
    server = serving(audio_field="payload", acknowledges=False)
    async with server.serving(), dialled(server) as client:
        await said(client)
        await client.send(subscription())
        assert base64.b64decode((await said(client))["payload"]) == audio()[:160]


async def test_a_bad_token_is_refused_with_a_message_and_brings_nothing():
    server = serving()
    async with server.serving(), dialled(server, "bad") as client:
        refusal = await said(client)
        assert (refusal["type"], refusal["result"]) == ("auth", "error")
        assert refusal["message"]
        await client.send(subscription())
        await nothing_comes(client)
        await server.until(lambda: server.oddities == 1)
    assert [one.valid for one in server.authentications] == [False]
    assert server.subscriptions == []


async def test_a_good_token_can_be_met_with_silence_or_with_an_error_on_order():
    server = serving()
    server.fail_auth_next(1)
    server.fail_auth_next(1, AuthFault.REFUSED)
    server.fail_auth_next(1, AuthFault.UNEXPLAINED)
    async with server.serving():
        async with dialled(server) as client:
            await nothing_comes(client)
        async with dialled(server) as client:
            assert "media:websocket:write" in (await said(client))["message"]
        async with dialled(server) as client:
            assert await said(client) == {"type": "auth", "result": "error"}
        async with dialled(server) as client:
            assert await said(client) == SUCCESS
    assert [one.answer is None for one in server.authentications] == [True, False, False, False]
    assert all(one.valid for one in server.authentications)


async def test_expired_tokens_are_refused_until_another_comes():
    server = serving()
    async with server.serving():
        async with dialled(server) as client:
            assert await said(client) == SUCCESS
        server.expire_tokens()
        async with dialled(server) as client:
            assert (await said(client))["result"] == "error"
        async with dialled(server, "better") as client:
            assert await said(client) == SUCCESS


async def test_a_token_has_to_come_in_time():
    server = serving(first_message_s=0.02)
    async with server.serving(), dialled(server, None) as client:
        with pytest.raises(ConnectionClosed) as end:
            await client.recv()
    assert end.value.rcvd == Close(1008, "no token")


async def test_no_header_is_looked_at():
    server = serving()
    async with server.serving(), dialled(server, additional_headers={"Authorization": "Bearer bad"}) as client:
        assert await said(client) == SUCCESS


async def test_an_unknown_connection_is_met_with_silence_or_told_of():
    silent, telling = serving(), serving(tells_unknown=True)
    for server in (silent, telling):
        async with server.serving(), dialled(server) as client:
            await said(client)
            await client.send(subscription("m-9"))
            if server is telling:
                answer = await said(client)
                assert (answer["result"], answer["connectionId"]) == ("error", "m-9")
            else:
                await nothing_comes(client)
        assert server.unknown_ids == ["m-9"]


async def test_a_connection_is_sent_once_however_often_it_is_subscribed():
    server = serving()
    async with server.serving(), dialled(server) as client:
        await said(client)
        await client.send(subscription())
        await client.send(subscription())
        await said(client)
        assert await heard(client, 20) == audio()
        await nothing_comes(client)
    assert server.calls["m-1"].report.listeners == 1


async def test_after_a_cut_a_client_has_to_begin_anew_and_hears_what_is_live():
    # long enough to be live still, however long it takes to begin anew
    server = serving({"m-1": call(10_000, Cut(200))})
    async with server.serving():
        async with dialled(server) as client:
            await said(client)
            await client.send(subscription())
            await said(client)
            assert await heard(client, 10) == audio(10)
            with pytest.raises(ConnectionClosed) as end:
                await client.recv()
            assert end.value.rcvd is None
        async with dialled(server) as client:
            assert await said(client) == SUCCESS
            await client.send(subscription())
            await said(client)
            first = int.from_bytes((await heard(client, 1))[:2], "big")
            assert await heard(client, 20) == audio(first + 21)[(first + 1) * 160 :]
    assert first >= 10
    assert len(server.authentications) == len(server.subscriptions) == 2
    assert server.most_at_once == {PATH: 1}


async def test_what_is_no_message_of_the_document_is_counted_and_can_be_sent():
    server = serving({"m-1": call(2, Say(0, "{not json"), Say(0, b"\xff"))}, acknowledges=False)
    async with server.serving(), dialled(server) as client:
        await said(client)
        for oddity in ("{", b"\x00", '{"action":"subscribe","topics":["media.audio"]}'):
            await client.send(oddity)
        await client.send(subscription())
        assert [await client.recv(), await client.recv()] == ["{not json", b"\xff"]
        assert await heard(client, 2) == audio(2)
    assert server.oddities == 3


async def test_a_connection_without_pings_is_cut_where_that_is_asked_for():
    server = serving({}, close_without_ping_s=0.05)
    async with server.serving(), dialled(server) as client:
        await said(client)
        with pytest.raises(ConnectionClosed) as end:
            await client.recv()
    assert end.value.rcvd is None


async def test_another_path_is_not_found():
    server = serving()
    async with server.serving() as url:
        with pytest.raises(InvalidStatus) as refusal:
            await connect(url + "/api/v2/analytics/events", proxy=None)
    assert refusal.value.response.status_code == 404


async def test_the_report_is_json_and_holds_no_token():
    server = serving()
    async with server.serving(), dialled(server) as client:
        await said(client)
        await client.send(subscription())
        await said(client)
        await heard(client, 20)
    text = json.dumps(server.as_json())
    plain = json.loads(text)
    assert plain["authentications"][0]["valid"] is True
    assert plain["subscriptions"] == [{"connection_id": "m-1", "capabilities": ["audio"]}]
    assert plain["calls"]["m-1"]["chunks"] == 20
    assert "good" not in text
