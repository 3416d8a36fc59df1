import asyncio
import contextlib
import logging
import socket
import ssl
from dataclasses import replace

import pytest
import trustme
from prometheus_client import REGISTRY
from pydantic import SecretStr
from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response

from runtime.clock import ManualClock
from runtime.errors import ConfigError
from runtime.http import HttpClient
from runtime.oauth import TokenSource
from runtime.pace import Pace
from runtime.supervision import Claim, ConnectionLost, GivenUp
from runtime.websocket import Dialer
from schemas.symbols import ClosedBy
from simulators.oauth.server import Fault, OAuthServer
from tests.runtime.websocket_peers import QUICK, accept, dialer, raw_server, until, unused_url, url_of


class Peer:
    """A server that answers handshakes from a list of statuses (101 when it is empty), and keeps what it saw."""

    def __init__(self, *statuses, headers=None, oauth=None):
        self.statuses = list(statuses)
        self.headers = headers or {}
        self.oauth = oauth
        self.requests = []
        self.open = []
        self.url = ""
        self.drops_at_once = False

    @contextlib.asynccontextmanager
    async def serving(self, **tls):
        async with serve(
            self.talk, "127.0.0.1", 0, process_request=self.admit, ping_interval=None, close_timeout=1, **tls
        ) as server:
            self.url = url_of(server)
            yield self

    def admit(self, connection, request):
        self.requests.append(request)
        status = self.statuses.pop(0) if self.statuses else 101
        if self.oauth is not None and not self.oauth.is_valid(self.bearer(-1)):
            status = 401
        return None if status == 101 else Response(status, "as told", Headers(self.headers), b"as told")

    def bearer(self, number):
        return self.requests[number].headers.get("Authorization", "").removeprefix("Bearer ")

    async def talk(self, connection):
        if self.drops_at_once:
            connection.transport.abort()
            return
        self.open.append(connection)
        try:
            await connection.send(f"connection {len(self.requests)}")
            async for message in connection:
                await connection.send(message)
        except ConnectionClosed:
            pass
        finally:
            self.open.remove(connection)


@contextlib.asynccontextmanager
async def token_source(oauth, clock=None):
    async with oauth.serving() as url, HttpClient("oauth", timeout_s=5) as http:
        yield TokenSource(http, url, "client", SecretStr("secret"), clock or ManualClock())


def metric(name, **labels):
    return REGISTRY.get_sample_value(f"callstream_websocket_{name}", {"peer": "peer", **labels}) or 0.0


async def given_up(dialling):
    with pytest.raises(GivenUp) as error:
        await dialling.connect()
    return error.value.reason, error.value.attempts, error.value.status


async def lost(connection):
    while True:
        try:
            await connection.receive()
        except ConnectionLost as error:
            return error


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "unauthorized"), (403, "forbidden"), (404, "not found"), (400, "refused"), (410, "refused")],
)
async def test_a_refusal_that_would_be_repeated_is_final(status, reason):
    before = metric("given_up_total", reason=reason), metric("attempts_total", outcome="4xx")
    async with Peer(status).serving() as peer:
        assert await given_up(dialer(peer.url)) == (reason, 1, status)
    assert len(peer.requests) == 1
    assert (metric("given_up_total", reason=reason), metric("attempts_total", outcome="4xx")) == tuple(
        count + 1 for count in before
    )


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_an_overloaded_peer_is_tried_again(status):
    async with Peer(status, status).serving() as peer:
        dialling = dialer(peer.url)
        connection = await dialling.connect()
        assert await connection.receive() == "connection 3"
        assert dialling.attempt == 3
        await connection.close()


async def test_an_overloaded_peer_is_tried_as_often_as_allowed():
    async with Peer(*[503] * 9).serving() as peer:
        assert await given_up(dialer(peer.url)) == ("attempts", 3, 503)
    assert len(peer.requests) == 3


@pytest.mark.parametrize("status", [429, 503])
async def test_the_wait_the_peer_asks_for_is_kept(status):
    async with Peer(status, headers={"Retry-After": "70"}).serving() as peer, asyncio.TaskGroup() as tasks:
        dialling = dialer(peer.url)
        connecting = tasks.create_task(dialling.connect())
        await until(lambda: dialling._next)
        assert dialling._next.at_s == 70
        connecting.cancel()
    assert len(peer.requests) == 1


async def test_a_peer_that_is_not_there_is_tried_as_often_as_allowed():
    before = metric("attempts_total", outcome="unreachable")
    dialling = dialer(unused_url())
    assert await given_up(dialling) == ("attempts", 3, None)
    assert metric("attempts_total", outcome="unreachable") == before + 3


async def test_who_asks_again_after_giving_up_gets_the_whole_budget():
    before = metric("attempts_total", outcome="unreachable")
    dialling = dialer(unused_url())
    for time in (1, 2):
        assert await given_up(dialling) == ("attempts", 3, None)
        assert metric("attempts_total", outcome="unreachable") == before + 3 * time


async def test_a_peer_that_refused_in_its_own_words_is_dialled_with_the_whole_budget_again():
    async with Peer().serving() as peer:
        dialling = dialer(peer.url)
        for _ in range(5):
            connection = await dialling.connect()
            assert connection.attempt == 1
            await connection.close(4000)
            dialling.begin_anew()


async def test_a_name_that_nobody_knows_is_tried_as_often_as_allowed(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert await given_up(dialer("ws://peer.invalid")) == ("attempts", 3, None)


async def test_a_handshake_that_hangs_ends_in_time_and_leaves_no_socket():
    ends = []

    async def hang(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        ends.append(await reader.read())

    before = metric("attempts_total", outcome="timeout")
    async with raw_server(hang) as url:
        assert await given_up(dialer(url, replace(QUICK, open_timeout_s=0.05))) == ("attempts", 3, None)
        await until(lambda: len(ends) == 3)
    assert metric("attempts_total", outcome="timeout") == before + 3


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\n\r\n"])
async def test_a_peer_that_speaks_something_else_is_tried_as_often_as_allowed(answer):
    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    before = metric("attempts_total", outcome="handshake")
    async with raw_server(talk) as url:
        assert await given_up(dialer(url)) == ("attempts", 3, None)
    assert metric("attempts_total", outcome="handshake") == before + 3


async def test_a_peer_that_accepts_and_drops_does_not_loop_for_ever():
    async with Peer().serving() as peer:
        peer.drops_at_once = True
        dialling = dialer(peer.url)
        for attempt in range(1, 4):
            connection = await dialling.connect()
            assert dialling.attempt == attempt
            await lost(connection)
        assert await given_up(dialling) == ("attempts", 3, None)
    assert len(peer.requests) == 3


async def test_a_stable_connection_gives_the_attempts_back():
    clock = ManualClock()
    async with Peer(503, 503).serving() as peer:
        dialling = dialer(peer.url, clock=clock)
        connection = await dialling.connect()
        assert dialling.attempt == 3
        await connection.receive()
        clock.advance(QUICK.stable_s)
        peer.open[0].transport.abort()
        await lost(connection)
        assert dialling.attempt == 0
        connection = await dialling.connect()
        assert dialling.attempt == 1
        await connection.close()


async def test_after_a_drop_messages_flow_on_the_one_new_connection():
    async with Peer().serving() as peer:
        dialling = dialer(peer.url)
        opened = metric("connections_open")
        for number in range(1, 4):
            connection = await dialling.connect()
            assert await connection.receive() == f"connection {number}"
            await connection.send("subscribe")
            assert await connection.receive() == "subscribe"
            await until(lambda: len(peer.open) == 1)
            assert metric("connections_open") == opened + 1
            peer.open[0].transport.abort()
            assert (await lost(connection)).closed_by is ClosedBy.NETWORK
        await until(lambda: not peer.open)
        assert metric("connections_open") == opened


async def test_dialling_again_ends_a_connection_that_still_lives():
    async with Peer().serving() as peer:
        dialling = dialer(peer.url)
        first = await dialling.connect()
        second = await dialling.connect()
        assert (first.lost.code, first.lost.closed_by) == (1001, ClosedBy.LOCAL)
        await until(lambda: len(peer.open) == 1 and len(peer.requests) == 2)
        assert second.lost is None
        await second.close()


async def test_a_close_of_ours_is_no_drop():
    names = [closed_by.lower() for closed_by in ("LOCAL", "REMOTE", "NETWORK", "TIMEOUT")]
    before = [metric("connections_ended_total", outcome=name) for name in names]
    async with Peer().serving() as peer:
        dialling = dialer(peer.url, replace(QUICK, attempts=1))
        for _ in range(3):
            connection = await dialling.connect()
            await connection.close()
            assert dialling.attempt == 0
    assert [metric("connections_ended_total", outcome=name) for name in names] == [before[0] + 3, *before[1:]]


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13, 21])
async def test_cancelling_at_any_await_leaves_no_connection(steps):
    opened = metric("connections_open")
    async with Peer().serving() as peer:
        dialling = dialer(peer.url)
        connecting = asyncio.get_running_loop().create_task(dialling.connect())
        for _ in range(steps):
            await asyncio.sleep(0)
        connecting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await connecting).close()
        await until(lambda: not peer.open)
    assert metric("connections_open") == opened


async def test_a_refused_token_is_replaced_by_a_new_one():
    oauth = OAuthServer()
    async with token_source(oauth) as source, Peer(oauth=oauth).serving() as peer:
        stale = await source.get()
        oauth.revoke(stale)
        connection = await dialer(peer.url, token=source).connect()
        assert await connection.receive() == "connection 2"
        await connection.close()
    assert peer.bearer(0) == stale
    assert peer.bearer(1) != stale
    assert oauth.requests == 2


async def test_a_reconnect_asks_for_a_current_token():
    oauth, clock = OAuthServer(lifetime_s=600), ManualClock()
    async with token_source(oauth, clock) as source, Peer(oauth=oauth).serving() as peer:
        dialling = dialer(peer.url, token=source, clock=clock)
        first = await dialling.connect()
        clock.advance(600)
        peer.open[0].transport.abort()
        await lost(first)
        await (await dialling.connect()).close()
    assert peer.bearer(0) != peer.bearer(1)


async def test_two_refused_tokens_in_a_row_are_final_and_cost_two_requests_of_the_login_server():
    oauth = OAuthServer()
    async with token_source(oauth) as source, Peer(401, 401, 401, 401).serving() as peer:
        assert await given_up(dialer(peer.url, token=source)) == ("unauthorized", 2, 401)
    assert (len(peer.requests), oauth.requests) == (2, 2)
    assert peer.bearer(0) != peer.bearer(1)


async def test_many_connections_with_one_expired_token_share_the_new_one():
    oauth = OAuthServer()
    async with token_source(oauth) as source, Peer(oauth=oauth).serving() as peer:
        oauth.revoke(await source.get())
        connections = await asyncio.gather(*(dialer(peer.url, token=source).connect() for _ in range(20)))
        assert oauth.requests == 2
        await asyncio.gather(*(connection.close() for connection in connections))


async def test_a_login_server_that_gives_none_now_is_a_failed_attempt():
    oauth = OAuthServer()
    oauth.script += [Fault(500)]
    async with token_source(oauth) as source, Peer(oauth=oauth).serving() as peer:
        dialling = dialer(peer.url, token=source)
        connection = await dialling.connect()
        assert dialling.attempt == 2
        await connection.close()
        oauth.revoke_all()
        source.invalidate(peer.bearer(-1))
        oauth.script += [Fault(500)] * 3
        assert await given_up(dialling) == ("attempts", 3, None)
    assert len(peer.requests) == 1


async def test_refused_credentials_are_the_operators_to_mend():
    oauth = OAuthServer({"client": "another"})
    async with token_source(oauth) as source, Peer().serving() as peer:
        with pytest.raises(ConfigError, match="OAUTH_CLIENT_SECRET"):
            await dialer(peer.url, token=source).connect()
    assert peer.requests == []


async def test_tries_that_ended_with_bad_credentials_do_not_count_once_they_are_good():
    oauth = OAuthServer()
    oauth.script.extend([Fault(status=401)] * QUICK.attempts)
    async with token_source(oauth) as source, Peer(503).serving() as peer:
        dialling = dialer(peer.url, token=source)
        for _ in range(QUICK.attempts):
            with pytest.raises(ConfigError):
                await dialling.connect()
        connection = await dialling.connect()
        assert dialling.attempt == 2
        await connection.close()


async def test_a_connection_hands_out_the_token_it_was_dialled_with_and_which_attempt_it_was():
    oauth = OAuthServer()
    async with token_source(oauth) as source, Peer(503).serving() as peer:
        connection = await dialer(peer.url, token=source).connect()
        assert connection.token == peer.bearer(-1) == await source.get()
        assert connection.attempt == 2
        await connection.close()
        without = await dialer(peer.url).connect()
        assert without.token is None
        await without.close()


async def test_a_token_for_a_message_stands_in_no_header_and_can_be_invalidated():
    oauth = OAuthServer()
    async with token_source(oauth) as source, Peer().serving() as peer:
        dialling = dialer(peer.url, token=source, bearer=False)
        tokens = []
        for _ in range(3):
            connection = await dialling.connect()
            tokens.append(connection.token)
            if len(tokens) == 2:
                dialling.invalidate(connection.token)
        await connection.close()
    assert all("Authorization" not in request.headers for request in peer.requests)
    assert tokens[0] == tokens[1] != tokens[2]
    assert oauth.requests == 2


async def test_giving_up_names_what_was_asked_for():
    claim = Claim(scope="media:stream:read", subject="the conversation c-1")
    async with Peer(403, 404).serving() as peer:
        dialling = dialer(peer.url, claim=claim)
        with pytest.raises(GivenUp, match="media:stream:read"):
            await dialling.connect()
        with pytest.raises(GivenUp, match="c-1"):
            await dialling.connect()


async def test_of_diallers_that_share_a_pace_one_comes_while_no_time_passes():
    clock, pace = ManualClock(), Pace(1_000)
    async with Peer().serving() as peer, asyncio.TaskGroup() as tasks:
        connecting = [tasks.create_task(dialer(peer.url, clock=clock, pace=pace).connect()) for _ in range(5)]
        for number in (1, 2):
            await until(lambda: sum(task.done() for task in connecting) == number)  # noqa: B023 - awaited here
            assert len(peer.requests) == number
            clock.advance(0.0011)
        for task in connecting:
            if task.done():
                await (await task).close()
            task.cancel()


async def test_the_end_of_a_connection_is_recorded_with_who_and_how_old_and_how_quiet(capsys):
    clock = ManualClock()
    async with Peer(503).serving() as peer:
        connection = await dialer(peer.url, clock=clock).connect()
        await connection.receive()
        clock.advance(12.5)
        connection._socket.heard_s -= 3
        await peer.open[0].close(4000, "private-reason")
        await lost(connection)
    line = next(line for line in capsys.readouterr().err.splitlines() if "a connection we dialled is over" in line)
    found = dict(part.split("=", 1) for part in line.split() if "=" in part)
    assert (found["close_code"], found["closed_by"], found["count"], found["attempt"]) == ("4000", "remote", "1", "2")
    assert float(found["seconds"]) == 12.5
    assert float(found["quiet_s"]) >= 3


async def test_a_redirect_is_not_followed():
    async with Peer().serving() as other, Peer(302).serving() as peer:
        peer.headers = {"Location": other.url}
        assert await given_up(dialer(peer.url)) == ("refused", 1, 302)
    assert other.requests == []


async def test_the_request_says_who_we_are_and_nothing_of_a_browser():
    async with Peer().serving() as peer:
        await (await dialer(peer.url).connect()).close()
    headers = peer.requests[0].headers
    assert headers["User-Agent"].startswith("callstream/")
    for name in ("Origin", "Cookie", "Authorization", "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"):
        assert name not in headers


async def test_the_environments_proxy_is_not_used(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "socks_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:1")
    async with Peer().serving() as peer:
        await (await dialer(peer.url).connect()).close()
    assert len(peer.requests) == 1


async def test_many_diallers_read_the_authorities_once(monkeypatch):
    reads = []
    load = ssl.SSLContext.load_default_certs
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *given: (reads.append(1), load(*given)))
    for number in range(10):
        dialer(f"wss://example.invalid/{number}")
    assert len(reads) <= 1


async def test_a_certificate_is_checked(tmp_path):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    before = metric("attempts_total", outcome="tls")
    async with Peer().serving(ssl=context) as peer:
        url = peer.url.replace("ws:", "wss:")
        assert await given_up(dialer(url)) == ("attempts", 3, None)
        assert metric("attempts_total", outcome="tls") == before + 3
        connection = await dialer(url, cafile=str(tmp_path / "ca.pem")).connect()
        assert await connection.receive() == "connection 1"
        await connection.close()
    async with Peer().serving(ssl=context) as peer:
        url = peer.url.replace("ws://127.0.0.1", "wss://localhost")
        assert await given_up(dialer(url, cafile=str(tmp_path / "ca.pem"))) == ("attempts", 3, None)


@pytest.mark.parametrize(
    "url",
    [
        "http://peer/private-path",
        "peer/private-path",
        "ws://",
        "ws://user:private-path@peer",
        "wss://[/",
        "ws://peer:99999",
    ],
)
def test_a_url_that_cannot_be_dialled_is_the_operators_to_mend(url):
    with pytest.raises(ConfigError, match="peer: the URL should be") as error:
        dialer(url)
    assert "private-path" not in str(error.value)


async def test_a_host_that_can_be_no_name_is_the_operators_to_mend():
    with pytest.raises(ConfigError, match="peer: the URL is not valid") as error:
        await dialer(f"ws://{'a' * 64}.invalid").connect()
    assert error.value.__suppress_context__


def test_a_file_of_authorities_must_be_readable():
    with pytest.raises(ConfigError, match="authorities"):
        Dialer("peer", "wss://peer", QUICK, ManualClock(), cafile="/nowhere")


async def test_neither_token_nor_url_nor_message_is_shown_anywhere(caplog, capsys):
    caplog.set_level(logging.DEBUG)
    oauth = OAuthServer()
    async with token_source(oauth) as source, Peer(503, oauth=oauth).serving() as peer:
        dialling = dialer(f"{peer.url}/private-path", token=source)
        connection = await dialling.connect()
        await connection.send("private-message")
        await connection.receive()
        await connection.receive()
        await peer.open[0].close(4000, "private-reason")
        shown = [repr(await lost(connection))]
        peer.statuses = [403]
        with pytest.raises(GivenUp) as error:
            await dialling.connect()
        shown += [repr(error.value), str(error.value.__cause__), str(error.value.__context__)]
    client = [f"{r.name} {r.getMessage()}" for r in caplog.records if r.name != "websockets.server"]
    text = " ".join([*shown, *client, *capsys.readouterr(), repr(dialling), repr(connection)])
    assert "an attempt to connect failed" in text
    assert "a connection we dialled is over" in text
    for private in ("private-", peer.bearer(0), "client:secret"):
        assert private not in text


async def test_a_handshake_may_take_its_time_as_long_as_it_ends():
    async def talk(reader, writer):
        await asyncio.sleep(0.01)
        await accept(reader, writer)
        writer.write(b"\x81\x02hi")
        await reader.read()

    async with raw_server(talk) as url:
        connection = await dialer(url, replace(QUICK, close_timeout_s=0.01)).connect()
        assert await connection.receive() == "hi"
        await connection.close()
