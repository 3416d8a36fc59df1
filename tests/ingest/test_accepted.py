"""A socket on loopback before and beside its request."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from ingest import accepted as module
from tests.ingest.sources.audiohook.words import Client
from tests.ingest.test_server import dial, said, serving
from tests.ingest.test_server_limits import keys, outlet, raw, refused
from tests.ingest.test_session import FRAME

__all__ = ["keys", "outlet"]


@asynccontextmanager
async def silent_sockets(server, number: int):
    """Connections that send no request; the server has them all."""
    writers = [(await asyncio.open_connection("127.0.0.1", server.port))[1] for _ in range(number)]
    async with asyncio.timeout(5):
        while len(server._asking) < number:
            await asyncio.sleep(0.001)
    try:
        yield writers
    finally:
        for writer in writers:
            writer.close()


async def test_a_request_that_is_too_long_gets_431(outlet, keys):
    before = refused("header_size")
    async with serving(outlet, keys, max_header_bytes=2048) as server, dial(server):
        request = b"GET /audiohook HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 90) for n in range(30))
        assert (await raw(server, request)).startswith(b"HTTP/1.1 431 ")
        assert server.connections == 1
    assert refused("header_size") == before + 1


async def test_a_header_line_that_is_too_long_is_counted_as_well(outlet, keys):
    before = refused("header_size")
    async with serving(outlet, keys) as server:
        found = await raw(server, b"GET /audiohook HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 431 ")
    assert refused("header_size") == before + 1


@pytest.mark.parametrize("begun", [b"", b"GET /audiohook HTTP/1.1\r\n"])
async def test_a_socket_that_asks_nothing_gets_408_when_its_time_is_over(outlet, keys, begun):
    before = refused("no_request")
    async with serving(outlet, keys, handshake_deadline_s=0.05) as server:
        assert (await raw(server, begun)).startswith(b"HTTP/1.1 408 ")
        assert not server._asking
    assert refused("no_request") == before + 1


async def test_a_connection_outlives_the_deadline_of_its_request(outlet, keys):
    async with serving(outlet, keys, handshake_deadline_s=0.05) as server, dial(server) as connection:
        async with silent_sockets(server, 1):
            while server._asking:
                await asyncio.sleep(0.001)
        await connection.send(Client().open())
        assert (await said(connection))["type"] == "opened"


async def test_too_many_sockets_that_ask_nothing_get_503_and_do_not_stay_in_the_way(outlet, keys):
    before = refused("handshakes")
    async with serving(outlet, keys, max_handshakes=2) as server, dial(server) as call:
        async with silent_sockets(server, 2):
            found = await raw(server, b"")
            await call.send(Client().open())
            assert (await said(call))["type"] == "opened"
        assert found.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 1\r\n" in found
        async with asyncio.timeout(5):
            while server._asking:
                await asyncio.sleep(0.001)
        async with dial(server):
            assert server.connections == 2
    assert refused("handshakes") == before + 1


async def test_audio_is_never_taken_before_a_text_that_came_before_it(outlet, keys):
    client = Client()
    async with serving(outlet, keys) as server, dial(server) as connection:
        await connection.send(client.open())
        assert (await said(connection))["type"] == "opened"
        # in one write, so that the server reads them at once
        connection.protocol.send_text(client.say("paused", "PT0S").encode())
        connection.protocol.send_binary(FRAME)
        connection.protocol.send_text(client.say("resumed", "PT0S", {"start": "PT0S", "discarded": "PT0S"}).encode())
        connection.protocol.send_binary(FRAME)
        connection.send_data()
        await connection.send(client.close("PT0.2S"))
        assert (await said(connection))["type"] == "closed"
    assert outlet.kinds() == ["OPENED", "PAUSED", "RESUMED", "AUDIO", "CLOSED"]


async def test_audio_in_fragments_is_one_message(outlet, keys):
    client = Client()
    async with serving(outlet, keys) as server, dial(server) as connection:
        await connection.send(client.open())
        await connection.send([FRAME[:1000], FRAME[1000:]])
        await connection.send(FRAME)
        await connection.send(client.close("PT0.4S"))
        for answer in ("opened", "closed"):
            assert (await said(connection))["type"] == answer
    assert outlet.kinds() == ["OPENED", "AUDIO", "AUDIO", "CLOSED"]


async def test_what_came_before_the_peer_went_is_taken_though_nobody_hears_the_answers(outlet, keys):
    client = Client()
    async with serving(outlet, keys) as server, dial(server) as connection:
        # in one write that is read at once, with the end of the connection, so that no answer can be sent
        for _ in range(20):
            connection.protocol.send_text(client.open().encode() if not client.seq else client.say("ping").encode())
            connection.protocol.send_binary(FRAME[:100])
        connection.protocol.send_close(1000)
        connection.send_data()
        await connection.wait_closed()
    assert outlet.kinds().count("AUDIO") == 20


async def test_a_flood_of_small_frames_is_read_in_turns_with_those_of_others(outlet, keys):
    client, most = Client(), 0

    def note(data: bytes) -> None:
        nonlocal most
        most = max(most, len(data))

    async with serving(outlet, keys) as server, dial(server) as connection:
        await connection.send(client.open())
        assert (await said(connection))["type"] == "opened"
        (accepted,) = server._sessions.values()
        take = accepted.data_received
        accepted.data_received = lambda data: (note(data), take(data))
        for _ in range(10_000):
            connection.protocol.send_binary(b"\xff\xff")
        connection.send_data()
        await connection.send(client.close("PT1.25S"))
        assert (await said(connection))["type"] == "closed"
    assert outlet.kinds().count("AUDIO") == 10_000
    assert 0 < most <= module._READ_BYTES
