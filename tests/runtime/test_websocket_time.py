"""What takes minutes, on a driven clock over real sockets: silence, deadlines, waits, a herd."""

import asyncio
import contextlib
from bisect import bisect_left
from dataclasses import replace

import pytest
from pydantic import SecretStr
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from runtime.http import Response
from runtime.oauth import TokenSource
from runtime.pace import Pace
from runtime.supervision import ConnectionLost, GivenUp, Policy
from runtime.websocket import Dialer
from schemas.symbols import ClosedBy
from simulators.websocket_server.server import Server
from tests.runtime.driven_loop import LoopClock, driven
from tests.runtime.websocket_peers import accept, raw_server, url_of

POLICY = Policy(attempts=5, ping_interval_s=30.0, pong_timeout_s=10.0)
"""As the sources have it."""
MINUTE_S = 60.0
RATE_PER_S = 20


class Platform(Server):
    """Accepts whoever has a token and says nothing, or what `greeting` holds. `dialled_s`: when handshakes came."""

    def __init__(self, *, no_ping_s=None, greeting=()):
        super().__init__(is_valid=bool, no_ping_s=no_ping_s)
        self.greeting = greeting
        self.dialled_s = []
        self.retry_after = None

    def status_of(self, path):
        self.dialled_s.append(asyncio.get_running_loop().time())
        return 101

    async def converse(self, peer, spawn):
        for message in self.greeting:
            await peer.send(message)
        with contextlib.suppress(ConnectionClosed):
            await peer.recv()

    async def neglected(self, peer):
        peer.abort()


class Tokens:
    """A login server without a network: answers after a while, and counts."""

    def __init__(self):
        self.requests = 0

    async def request(self, method, url, **_):
        self.requests += 1
        number = self.requests
        await asyncio.sleep(0.3)
        return Response(200, {}, b'{"access_token": "t%d", "token_type": "bearer", "expires_in": 3600}' % number)

    def source(self):
        return TokenSource(self, "https://login", "client", SecretStr("secret"), LoopClock())


def dialler(url, policy=POLICY, **more):
    token = more.pop("token", None) or Tokens().source()
    return Dialer("peer", url, policy, LoopClock(), token=token, **more)


def now_s():
    return asyncio.get_running_loop().time()


async def over(connection):
    """Wait until the connection is over without receiving; return how and after how long."""
    began_s = now_s()
    await connection._socket.wait_closed()
    return connection.lost.closed_by, now_s() - began_s


def test_a_silent_call_of_ten_minutes_stays_open_with_a_peer_that_cuts_whoever_does_not_ping_for_a_minute():
    async def call():
        server = Platform(no_ping_s=MINUTE_S)
        async with server.serving() as url:
            connection = await dialler(url).connect()
            await asyncio.sleep(10 * MINUTE_S)
            (peer,) = server.peers()
            pings = peer.pings
            assert connection.lost is None
            assert connection.messages == 0
            await connection.close()
            return pings, server.connections

    assert driven(call()) == (19, 1)


def test_the_same_peer_cuts_a_call_that_does_not_ping():
    async def call():
        async with Platform(no_ping_s=MINUTE_S).serving() as url:
            return await over(await dialler(url, replace(POLICY, ping_interval_s=None)).connect())

    closed_by, after_s = driven(call())
    assert closed_by is ClosedBy.NETWORK
    assert after_s == pytest.approx(MINUTE_S, abs=0.1)


@pytest.mark.parametrize(("ping_s", "pong_s"), [(20.0, 10.0), (30.0, 10.0), (30.0, 45.0), (5.0, 1.0)])
def test_a_peer_that_answers_no_ping_is_dead_when_the_answer_is_overdue_though_nobody_waits_for_a_message(
    ping_s, pong_s
):
    async def mute(reader, writer):
        await accept(reader, writer)
        writer.transport.pause_reading()

    async def call():
        async with raw_server(mute) as url:
            policy = replace(POLICY, ping_interval_s=ping_s, pong_timeout_s=pong_s, close_timeout_s=1.0)
            return await over(await dialler(url, policy).connect())

    closed_by, after_s = driven(call())
    assert closed_by is ClosedBy.TIMEOUT
    assert ping_s + pong_s - 0.1 <= after_s <= ping_s + pong_s + 1.1


@pytest.mark.parametrize("greeting", [(), ("one", "two")])
@pytest.mark.parametrize("inactivity_s", [30.0, 300.0])
def test_a_dead_stream_ends_by_its_own_timer_though_pings_are_answered_and_no_message_comes(inactivity_s, greeting):
    async def call():
        async with Platform(greeting=greeting).serving() as url:
            connection = await dialler(url, replace(POLICY, inactivity_s=inactivity_s)).connect()
            for _ in greeting:
                await connection.receive()
            return await over(connection)

    closed_by, after_s = driven(call())
    assert closed_by is ClosedBy.TIMEOUT
    assert after_s == pytest.approx(inactivity_s, abs=0.1)


@pytest.mark.parametrize("greeting", [(), ("hello",)])
def test_a_peer_that_accepts_and_then_says_nothing_more_is_given_up_and_not_dialled_for_ever(greeting):
    async def call():
        server = Platform(greeting=greeting)
        async with server.serving() as url:
            dialling = dialler(url, replace(POLICY, inactivity_s=30.0))
            for _ in range(POLICY.attempts):
                connection = await dialling.connect()
                for _ in greeting:
                    await connection.receive()
                await over(connection)
            with pytest.raises(GivenUp) as error:
                await dialling.connect()
            return error.value.reason, server.connections

    assert driven(call()) == ("attempts", POLICY.attempts)


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_the_peer_asks_for_passes_before_the_next_dial(status):
    dialled_s = []

    async def refuse_once(connection, request):
        dialled_s.append(now_s())
        if len(dialled_s) > 1:
            return None
        response = connection.respond(status, "later\n")
        response.headers["Retry-After"] = "70"
        return response

    async def call():
        async with serve(lambda peer: peer.wait_closed(), "127.0.0.1", 0, process_request=refuse_once) as server:
            await (await dialler(url_of(server)).connect()).close()

    driven(call())
    waited_s = dialled_s[1] - dialled_s[0]
    assert 70 <= waited_s <= 70 + POLICY.first_delay_s + 0.1


async def kept_up(dialling, live):
    """Keep one connection up for ever."""
    while True:
        connection = await dialling.connect()
        live.add(dialling)
        with contextlib.suppress(ConnectionLost):
            await connection.receive()
        live.discard(dialling)


def most_in_a_second(times_s):
    """Return the largest number of times in any second."""
    return max(bisect_left(times_s, start_s + 0.999) - number for number, start_s in enumerate(times_s))


@pytest.mark.parametrize("paced", [True, False])
def test_a_herd_that_lost_its_peer_comes_back_no_faster_than_the_rate_though_all_wait_for_one_token(paced):
    many = 120

    async def call():
        server, tokens, live = Platform(), Tokens(), set()
        source = tokens.source()
        pace = Pace(RATE_PER_S) if paced else None
        async with server.serving() as url, asyncio.TaskGroup() as tasks:
            herd = [tasks.create_task(kept_up(dialler(url, token=source, pace=pace), live)) for _ in range(many)]
            await server.until(lambda: len(server.peers()) == many)
            first_s, server.dialled_s = server.dialled_s, []
            await asyncio.sleep(MINUTE_S)
            source.invalidate(await source.get())
            server.refuse_next(10, 503)
            server.abort()
            await asyncio.sleep(2)
            source.invalidate(await source.get())
            await server.until(lambda: len(server.dialled_s) == many)
            for one in herd:
                one.cancel()
        return most_in_a_second(first_s), most_in_a_second(server.dialled_s), tokens.requests

    first, again, requests = driven(call())
    assert requests <= 3
    if paced:
        assert first <= RATE_PER_S
        assert again <= RATE_PER_S
    else:
        assert first > RATE_PER_S < again
