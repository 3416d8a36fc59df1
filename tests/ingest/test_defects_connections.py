"""B9 to B12: opening, measuring and ending, over real sockets. The defects: tests/data/defects/README.md."""

import asyncio
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from runtime.clock import SystemClock
from runtime.supervision import ConnectionLost
from runtime.websocket import Dialer
from tests.data.defects import connections
from tests.data.defects.connections import PATIENCE_S
from tests.ingest.defect_peer import Peer, stay
from tests.ingest.showing import ends, eventually, running, shows
from tests.runtime.websocket_peers import QUICK, accept, raw_server, unused_url

POLICY = replace(QUICK, attempts=1, open_timeout_s=PATIENCE_S, close_timeout_s=1)


def dialler(url, **changes):
    return Dialer("peer", url, replace(POLICY, open_timeout_s=5, **changes), SystemClock())


async def our_opening(url):
    await Dialer("peer", url, POLICY, SystemClock()).connect()


async def never_answers(reader, writer):
    await reader.read(10_000)
    await reader.read()


async def fails(work):
    """Demand that it ends with an error of its own."""
    try:
        await ends(work)
    except AssertionError:
        raise
    except Exception:  # noqa: BLE001 - whichever
        return
    raise AssertionError


@shows(our_opening, B9=connections.waits_for_open_only)
async def test_a_refused_connection_is_an_error(make):
    await fails(make(unused_url()))


@shows(our_opening, B9=connections.waits_for_open_only)
async def test_a_handshake_nobody_answers_is_an_error(make):
    async with raw_server(never_answers) as url:
        await fails(make(url))


class OurMeasured:
    def __init__(self):
        self.connection = None

    async def run(self, url):
        short = {"ping_interval_s": PATIENCE_S / 5, "close_timeout_s": PATIENCE_S}
        self.connection = await dialler(url, pong_timeout_s=PATIENCE_S * 5, **short).connect()
        try:
            await self.connection.receive()
        except ConnectionLost:
            await asyncio.Event().wait()
        finally:
            await self.connection.close()

    @property
    def round_trip_s(self):
        return self.connection and self.connection.round_trip_s

    @property
    def dead(self):
        lost = self.connection and self.connection.lost
        return lost is not None and lost.closed_by == "TIMEOUT"


class Ponger:
    """Answers the first ping once told to."""

    def __init__(self):
        self.told = asyncio.Event()
        self.pinged_s = self.answered_s = 0.0

    async def talk(self, reader, writer):
        now_s = asyncio.get_running_loop().time
        await accept(reader, writer)
        kind, length = await reader.readexactly(2)
        mask = await reader.readexactly(4)
        payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(await reader.readexactly(length & 0x7F)))
        self.pinged_s = now_s()
        await self.told.wait()
        self.answered_s = now_s()
        writer.write(bytes([kind + 1, len(payload)]) + payload)
        await reader.read()


@shows(OurMeasured, connections.Measured, B10=connections.MeasuresTheWriting)
async def test_the_round_trip_ends_with_the_pong(make):
    ponger, client = Ponger(), make()
    async with raw_server(ponger.talk) as url, running(client.run(url)):
        await eventually(lambda: ponger.pinged_s)
        await asyncio.sleep(PATIENCE_S / 5)
        before = client.round_trip_s
        ponger.told.set()
        assert before is None
        await eventually(lambda: client.round_trip_s is not None)
        assert client.round_trip_s >= ponger.answered_s - ponger.pinged_s


@shows(OurMeasured, connections.Measured, B10=connections.MeasuresTheWriting)
async def test_a_ping_without_an_answer_ends_the_connection(make):
    ponger, client = Ponger(), make()
    async with raw_server(ponger.talk) as url, running(client.run(url)):
        try:
            await eventually(lambda: client.dead)
        finally:
            ponger.told.set()


WHO = ("local", "remote", "network", "timeout")


class OurEnding:
    def __init__(self):
        self._before = self._counts()

    @staticmethod
    def _counts():
        name = "callstream_websocket_connections_ended_total"
        return {who: REGISTRY.get_sample_value(name, {"peer": "peer", "outcome": who}) or 0 for who in WHO}

    async def open(self, url):
        self.connection = await dialler(url).connect()

    async def close(self):
        await self.connection.close()

    def ended(self):
        now = self._counts()
        return [who.upper() for who in WHO for _ in range(int(now[who] - self._before[who]))]


@shows(OurEnding, connections.Ending, B11=connections.EveryEndIsADrop)
async def test_ones_own_close_is_no_drop_and_is_known_when_it_is_done(make):
    client = make()
    async with Peer(stay).serving() as peer:
        await client.open(peer.url)
        await client.close()
        assert client.ended() == ["LOCAL"]


async def closes(peer, connection):
    await connection.close(1000)


async def breaks(peer, connection):
    connection.transport.abort()


@pytest.mark.parametrize(("talk", "who"), [(closes, "REMOTE"), (breaks, "NETWORK")])
@shows(OurEnding, connections.Ending, B11=connections.EveryEndIsADrop)
async def test_a_close_by_the_peer_and_a_break_are_told_apart(make, talk, who):
    client = make()
    async with Peer(talk).serving() as peer:
        await client.open(peer.url)
        await eventually(client.ended)
        assert client.ended() == [who]


async def our_receiving(url, longest_bytes):
    connection = await dialler(url, max_message_bytes=longest_bytes).connect()
    try:
        return await connection.receive()
    finally:
        await connection.close()


@shows(our_receiving, B12=connections.measures_characters)
async def test_the_limit_of_a_message_is_in_bytes_not_in_characters(make):
    async def says(text):
        async def talk(peer, connection):
            await connection.send(text)

        async with Peer(talk).serving() as peer:
            return await ends(make(peer.url, 60))

    assert await says("e" * 60) == "e" * 60
    await fails(says("é" * 60))
