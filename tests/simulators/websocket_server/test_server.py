import asyncio
import contextlib
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close

from simulators.websocket_server.server import ANYTHING, Ending, Handshake, Peer, Server, Spawn, token_check

GOOD = {"Authorization": "Bearer good"}


class Echo(Server):
    """Echoes texts; `bye` ends the connection, other texts become tags."""

    def __init__(self, **settings):
        super().__init__(**{"is_valid": lambda token: token in {"good", "better"}} | settings)
        self.spawned_ended = 0

    def status_of(self, path: str) -> int:
        return 101 if path == "/here" else 404

    async def neglected(self, peer: Peer) -> None:
        await peer.close(4000, "no ping")

    async def converse(self, peer: Peer, spawn: Spawn) -> None:
        spawn(self._forever())
        async for message in peer:
            if message == "bye":
                return
            peer.tags.add(str(message))
            await peer.send(message)

    async def _forever(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.spawned_ended += 1


@contextlib.asynccontextmanager
async def dialled(server: Server, **settings):
    settings = {"additional_headers": GOOD, "proxy": None, "ping_interval": None} | settings
    async with connect(server.url + "/here?side=left", **settings) as client:
        yield client


async def closed(client) -> Close | None:
    with pytest.raises(ConnectionClosed) as end:
        await client.recv()
    return end.value.rcvd


async def test_a_valid_token_on_a_known_path_is_let_in():
    server = Echo()
    async with server.serving() as url:
        assert url == server.url
        async with dialled(server) as client:
            await client.send("tag")
            assert await client.recv() == "tag"
            assert [peer.path for peer in server.peers("tag")] == ["/here"]
            assert server.peers("other") == []
    assert server.handshakes == [Handshake("/here", authorized=True, status=101)]
    assert server.connections == 1


@pytest.mark.parametrize(
    ("path", "headers", "status", "authorized"),
    [
        ("/here", {}, 401, False),
        ("/here", {"Authorization": "Bearer bad"}, 401, False),
        ("/here", {"Authorization": "Bearer "}, 401, False),
        ("/here", {"Authorization": "Basic good"}, 401, False),
        ("/elsewhere", {"Authorization": "Bearer bad"}, 401, False),
        ("/elsewhere", GOOD, 404, True),
    ],
)
async def test_others_are_refused_before_the_upgrade(path, headers, status, authorized):
    server = Echo()
    async with server.serving() as url:
        with pytest.raises(InvalidStatus) as refusal:
            await connect(url + path, additional_headers=headers, proxy=None)
    assert refusal.value.response.status_code == status
    assert ("WWW-Authenticate" in refusal.value.response.headers) == (status == 401)
    assert server.handshakes == [Handshake(path, authorized, status)]
    assert server.connections == 0


async def test_handshakes_are_refused_on_order_and_then_no_more():
    server = Echo()
    async with server.serving():
        server.refuse_next(2)
        server.refuse_next(1, 503)
        for status in (401, 401, 503):
            with pytest.raises(InvalidStatus) as refusal:
                async with dialled(server):
                    pass
            assert refusal.value.response.status_code == status
        async with dialled(server) as client:
            await client.send("in")
            assert await client.recv() == "in"
    assert all(handshake.authorized for handshake in server.handshakes)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
async def test_a_refusal_can_say_when_to_come_back(status):
    server = Echo()
    async with server.serving():
        server.refuse_next(1, status, retry_after="7")
        server.refuse_next(5)
        with pytest.raises(InvalidStatus) as refusal:
            async with dialled(server):
                pass
        server.refuse_no_more()
        async with dialled(server):
            pass
    assert refusal.value.response.status_code == status
    assert refusal.value.response.headers["Retry-After"] == "7"


async def test_expired_tokens_are_refused_until_another_is_used():
    server = Echo()
    better = {"Authorization": "Bearer better"}
    async with server.serving():
        async with dialled(server):
            server.expire_tokens()
        for _ in range(2):
            with pytest.raises(InvalidStatus):
                async with dialled(server):
                    pass
        async with dialled(server, additional_headers=better) as client:
            await client.send("in")
            assert await client.recv() == "in"
    assert [one.status for one in server.handshakes] == [101, 401, 401, 101]


async def test_a_server_that_asks_for_no_token_lets_everybody_in():
    server = Echo(is_valid=None)
    async with server.serving():
        async with dialled(server, additional_headers={}) as client:
            await client.send("in")
            assert await client.recv() == "in"
        with pytest.raises(InvalidStatus):
            await connect(server.url + "/elsewhere", proxy=None)
    assert [one.status for one in server.handshakes] == [101, 404]


async def test_every_ending_is_kept_with_who_ended_it():
    server = Echo()
    async with server.serving():
        async with dialled(server) as client:
            await client.close(1001, "going")
        await server.until(lambda: len(server.endings) == 1)
        async with dialled(server) as client:
            await server.close(1000, "enough")
            await server.until(lambda: len(server.endings) == 2)
        async with dialled(server) as client:
            await client.send("bye")
            await server.until(lambda: len(server.endings) == 3)
        async with dialled(server):
            server.abort()
            await server.until(lambda: len(server.endings) == 4)
    assert server.endings == [
        Ending("/here", 1001, "going", by_client=True),
        Ending("/here", 1000, "enough", by_client=False),
        Ending("/here", 1000, "", by_client=False),
        Ending("/here", 1006, "", by_client=False),
    ]


async def test_the_most_connections_at_once_are_counted_for_each_path():
    server = Echo()
    async with server.serving():
        for _ in range(3):
            async with dialled(server):
                server.abort()
        assert server.most_at_once["/here"] == 1
        async with dialled(server), dialled(server):
            pass
    assert server.most_at_once == {"/here": 2}


async def test_what_it_saw_is_told_without_a_token():
    server = Echo()
    async with server.serving(), dialled(server) as client:
        await client.send("bye")
        await server.until(lambda: bool(server.endings))
    text = json.dumps(server.seen_as_json())
    assert json.loads(text) == {
        "connections": 1,
        "handshakes": [{"authorized": True, "status": 101}],
        "endings": [{"code": 1000, "reason": "", "by_client": False}],
        "most_at_once": 1,
    }
    assert "good" not in text + repr(server.__dict__["handshakes"])


async def test_a_cut_connection_ends_without_a_close_frame():
    server = Echo()
    async with server.serving():
        async with dialled(server) as client, dialled(server) as other:
            await client.send("tag")
            await client.recv()
            server.abort("tag")
            assert server.peers("tag") == []
            assert await closed(client) is None
            await other.send("alive")
            assert await other.recv() == "alive"
        await server.until(lambda: server.spawned_ended == 2)


async def test_a_connection_is_closed_with_the_code_that_was_asked_for():
    server = Echo()
    async with server.serving(), dialled(server) as client:
        await server.close(4711, "because")
        assert await closed(client) == Close(4711, "because")
        await server.until(lambda: not server.peers())


async def test_a_conversation_that_ends_closes_normally_and_ends_what_it_spawned():
    server = Echo()
    async with server.serving(), dialled(server) as client:
        await client.send("bye")
        assert await closed(client) == Close(1000, "")
        await server.until(lambda: server.spawned_ended == 1)


async def test_anything_can_be_sent_to_the_connections_with_a_tag():
    server = Echo()
    async with server.serving(), dialled(server) as one, dialled(server) as two:
        await one.send("tag")
        await one.recv()
        assert await server.inject("{not json", "tag") == 1
        assert await server.inject(b"\xff\xfe") == 2
        assert await server.inject("nobody", "other") == 0
        assert [await one.recv(), await one.recv()] == ["{not json", b"\xff\xfe"]
        assert await two.recv() == b"\xff\xfe"


async def test_pings_are_answered_until_reading_stops():
    server = Echo()
    async with server.serving(), dialled(server, close_timeout=0) as client:
        await (await client.ping())
        assert [peer.pings for peer in server.peers()] == [1]
        server.stop_reading()
        waiter = await client.ping()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await asyncio.shield(waiter)
        assert [peer.pings for peer in server.peers()] == [1]
        client.transport.abort()
        with pytest.raises(ConnectionClosed):
            await waiter


async def test_a_connection_without_pings_is_neglected_and_one_with_pings_is_not():
    server = Echo(no_ping_s=0.5)
    async with server.serving(), dialled(server) as silent, dialled(server, ping_interval=0.05) as pinging:
        assert await closed(silent) == Close(4000, "no ping")
        assert [peer.pings > 0 for peer in server.peers()] == [True]
        await pinging.send("alive")
        assert await pinging.recv() == "alive"


async def test_a_server_can_heed_anything_a_client_sends():
    server = Echo(no_ping_s=0.5, heeds=ANYTHING)
    async with server.serving(), dialled(server) as silent, dialled(server) as talking:
        for _ in range(12):
            await talking.send("word")
            assert await talking.recv() == "word"
            await asyncio.sleep(0.05)
        assert await closed(silent) == Close(4000, "no ping")
        assert len(server.peers()) == 1


def test_a_token_is_compared_with_the_one_in_a_file(tmp_path):
    (tmp_path / "token").write_text("secret\n")
    check = token_check(tmp_path / "token")
    assert check("secret")
    assert not check("other")
    assert token_check(None)("anything")
