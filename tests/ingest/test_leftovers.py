"""What a call leaves behind in the memory of ingest: nothing that waits for the collector."""

import asyncio
import gc
from collections import Counter

import pytest

from tests.ingest.sources.audiohook.words import Client
from tests.ingest.test_server import FRAME, dial, said, serving, status
from tests.ingest.test_server_limits import keys, outlet

__all__ = ["keys", "outlet"]

OURS = ("audio.", "ingest.", "runtime.", "schemas.", "websockets.server.")
"""Modules whose objects the client of these tests, in the same process, has none of."""


async def gone(server) -> None:
    async with asyncio.timeout(30):
        while server._sessions or server.connections or server._asking:
            await asyncio.sleep(0.005)
    # the task of the last call ends in the turns behind that
    for _ in range(5):
        await asyncio.sleep(0)


async def open_call(server, act) -> None:
    async with dial(server) as connection:
        client = Client()
        await connection.send(client.open())
        assert (await said(connection))["type"] == "opened"
        await connection.send(FRAME)
        await act(connection, client)


async def closed(connection, client) -> None:
    await connection.send(client.say("ping", "PT0.2S"))
    assert (await said(connection))["type"] == "pong"
    await connection.send(client.close("PT0.2S"))
    assert (await said(connection))["type"] == "closed"


async def lost(connection, _) -> None:
    connection.transport.abort()


async def wrong(connection, client) -> None:
    await connection.send("{")
    assert (await said(connection))["type"] == "disconnect"
    await connection.send(client.close("PT0.2S"))
    assert (await said(connection))["type"] == "closed"


async def paused(connection, client) -> None:
    await connection.send(client.say("paused"))
    await connection.send(client.say("discarded", parameters={"start": "PT0.2S", "discarded": "PT1S"}))
    await connection.send(client.say("resumed", parameters={"start": "PT0.2S", "discarded": "PT1S"}))
    await closed(connection, client)


@pytest.mark.parametrize("act", [closed, lost, wrong, paused])
async def test_a_call_that_has_ended_leaves_nothing_for_the_collector(outlet, keys, act):
    async with serving(outlet, keys) as server:
        await open_call(server, act)
        await gone(server)
        assert left_by(await collected(server, open_call(server, act))) == {}


async def test_a_call_that_has_ended_leaves_nothing_where_it_was_refused(outlet, keys):
    async with serving(outlet, keys) as server:
        assert await status(server, fields=[]) == 400
        await gone(server)
        assert left_by(await collected(server, status(server, fields=[]))) == {}


async def collected(server, doing) -> list[object]:
    """Return what the collector finds after `doing`, which it did not look at before."""
    gc.collect()
    gc.disable()
    try:
        await doing
        await gone(server)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found = list(gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    return found


def left_by(found: list[object]) -> Counter[str]:
    """Return what is the server's among it, by type."""
    names = (f"{type(one).__module__}.{type(one).__qualname__}" for one in found)
    return Counter(name for name in names if name.startswith(OURS))
