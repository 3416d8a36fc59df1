"""Audio that was read and not yet heard: what comes behind it finds it heard."""

import asyncio

import pytest

from tests.ingest.test_accepted import open_call
from tests.ingest.test_server import dial, said, serving
from tests.ingest.test_server_limits import keys, outlet
from tests.ingest.test_session import FRAME

MOST_BYTES = 8_192
__all__ = ["keys", "outlet"]


class Never:
    """A loop that is always busy with others: who waits there is never called."""

    full = False

    def __init__(self) -> None:
        self.waiting = []

    def wait(self, act) -> None:
        self.waiting.append(act)


@pytest.fixture
async def call(outlet, keys):
    """A call whose audio waits for good, once it has read the frames it sends."""
    async with serving(outlet, keys) as server, dial(server) as connection:
        client, accepted = await open_call(server, connection)
        server._later = later = Never()
        yield connection, client, accepted, later


async def read(accepted, frames: int) -> None:
    async with asyncio.timeout(30):
        while len(accepted._unheard) < frames:
            await asyncio.sleep(0.001)


async def test_a_text_comes_behind_the_audio_in_front_of_it(call, outlet):
    connection, client, accepted, _ = call
    await connection.send(FRAME)
    await connection.send(FRAME)
    await read(accepted, 2)
    assert outlet.kinds() == ["OPENED"]
    await connection.send(client.say("ping", "PT0.4S"))
    assert (await said(connection))["type"] == "pong"
    assert outlet.kinds() == ["OPENED", "AUDIO", "AUDIO", "ALIVE"]


async def test_the_end_of_the_connection_comes_behind_the_audio_in_front_of_it(call, outlet):
    connection, _, accepted, _ = call
    await connection.send(FRAME)
    await read(accepted, 1)
    connection.transport.abort()
    async with asyncio.timeout(30):
        while "CLOSED" not in outlet.kinds():
            await asyncio.sleep(0.001)
    assert outlet.kinds() == ["OPENED", "AUDIO", "CLOSED"]


async def test_of_one_connection_no_more_waits_than_is_read_at_a_turn(call, outlet):
    connection, _, accepted, later = call
    for _ in range(-(-MOST_BYTES // len(FRAME))):
        await connection.send(FRAME)
    async with asyncio.timeout(30):
        while outlet.kinds().count("AUDIO") < -(-MOST_BYTES // len(FRAME)):
            await asyncio.sleep(0.001)
    assert len(accepted._unheard) == 0
    assert len(later.waiting) == 1


async def test_where_too_many_wait_audio_is_heard_at_once(call, outlet):
    connection, _, accepted, later = call
    later.full = True
    await connection.send(FRAME)
    async with asyncio.timeout(30):
        while outlet.kinds() != ["OPENED", "AUDIO"]:
            await asyncio.sleep(0.001)
    assert later.waiting == []
    assert len(accepted._unheard) == 0


async def test_what_was_waited_for_after_it_was_heard_is_not_heard_twice(call, outlet):
    connection, client, accepted, later = call
    await connection.send(FRAME)
    await read(accepted, 1)
    await connection.send(client.say("ping", "PT0.2S"))
    await said(connection)
    for act in later.waiting:
        act()
    assert outlet.kinds() == ["OPENED", "AUDIO", "ALIVE"]
