"""B1 to B4, B8, B13 to B15: one connection kept up, over real sockets. The defects: tests/data/defects/README.md."""

import asyncio
import json

import pytest

from tests.data.defects import following
from tests.ingest.defect_peer import Peer, stay
from tests.ingest.following_lines import OurLine
from tests.ingest.showing import eventually, running, shows
from tests.ingest.sources.media_streams.words import packet
from tests.runtime.websocket_peers import unused_url


async def one_packet(peer, connection):
    """Send a packet of the number of this connection, then nothing."""
    await connection.send(packet(peer.connections))


async def drop_the_first(peer, connection):
    """Send packet after packet; the first connection breaks after two of them."""
    first = peer.connections == 1
    for number in range(2) if first else range(2, 6):
        await connection.send(packet(number))
        await asyncio.sleep(0.005)
    if first:
        connection.transport.abort()


def closing(code, reason):
    async def talk(peer, connection):
        await connection.send(packet(0))
        await connection.close(code, reason)

    return talk


@shows(OurLine, following.Following, B1=following.LooksAfterEachMessage)
async def test_a_stream_that_went_dead_is_given_up_though_nothing_comes(make):
    async with Peer(one_packet).serving() as peer:
        client = make(peer.url)
        async with running(client.run()):
            await eventually(lambda: client.received[:2] == [1, 2])


@shows(OurLine, following.Following, B2=following.RaisesTheLibrarysError)
async def test_a_dead_stream_is_noted_as_what_it_is(make):
    async with Peer(one_packet).serving() as peer:
        client = make(peer.url)
        async with running(client.run()):
            await eventually(lambda: client.ended)
    assert client.ended[0] == (1006, "", "TIMEOUT")


@shows(OurLine, following.Following, B3=following.TwoReconnect)
async def test_after_a_drop_there_is_one_connection(make):
    async with Peer(drop_the_first).serving() as peer:
        client = make(peer.url)
        async with running(client.run()):
            await eventually(lambda: client.received == [0, 1, 2, 3, 4, 5])
            assert len(peer.live) == 1
        assert peer.most_live == 1


@pytest.mark.parametrize(("code", "reason"), [(1000, "done"), (1001, "going away"), (1011, "kaputt"), (4001, "größer")])
@shows(OurLine, following.Following, B8=following.ReadsTheCodeLikeAnEvent)
async def test_code_and_reason_of_a_close_are_kept(make, code, reason):
    async with Peer(closing(code, reason), (101, *[503] * 50)).serving() as peer:
        client = make(peer.url)
        async with running(client.run()):
            await eventually(lambda: client.ended and not client.up)
    assert client.ended == [(code, reason, "REMOTE")]


@shows(OurLine, following.Following, B4=following.NormalCloseIsSilent)
async def test_a_normal_close_is_an_end_too(make):
    async with Peer(closing(1000, ""), (101, *[503] * 50)).serving() as peer:
        client = make(peer.url)
        async with running(client.run()):
            await eventually(lambda: client.ended and not client.up)


@shows(OurLine, following.Following, B13=following.SubscribesBeforeItConnects)
async def test_the_subscription_is_the_first_message_of_an_open_connection(make):
    async with Peer(stay).serving() as peer:
        client = make(peer.url)
        async with running(client.run()):
            await eventually(lambda: peer.got and peer.got[0])
    assert "interactions" in json.loads(peer.got[0][0])


@shows(OurLine, following.Following, B14=following.BoundToTheFirst)
async def test_after_a_drop_it_subscribes_again_and_frames_flow(make):
    async with Peer(drop_the_first).serving() as peer:
        client = make(peer.url)
        async with running(client.run()):
            await eventually(lambda: client.received == [0, 1, 2, 3, 4, 5])
            await eventually(lambda: len(peer.got[1]) == 1)
    assert peer.got[0] == peer.got[1]


@shows(OurLine, following.Following, B15=following.ErrorWithoutListener)
async def test_a_connection_that_fails_ends_no_other(make):
    async def together(*clients):
        async with asyncio.TaskGroup() as tasks:
            for client in clients:
                tasks.create_task(client.run())

    async with Peer(drop_the_first).serving() as peer:
        client = make(peer.url)
        async with running(together(make(unused_url()), client)):
            await eventually(lambda: client.received == [0, 1, 2, 3, 4, 5])
