"""A socket on loopback before and beside its request."""

import asyncio
import itertools
import socket
import ssl
import sys
import threading
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import pytest
import trustme
from websockets.exceptions import ConnectionClosed

from ingest import accepted as module
from ingest import server as server_module
from runtime.clock import SystemClock
from simulators.audiohook import media
from simulators.audiohook.call import Call
from simulators.audiohook.client import upgrade_headers
from simulators.audiohook.scenario import Scenario
from simulators.audiohook.signature import Credentials
from tests.fuzz import wire
from tests.ingest.sources.audiohook.test_auth import KEY, SECRET
from tests.ingest.sources.audiohook.words import Client
from tests.ingest.test_server import dial, said, serving
from tests.ingest.test_server_limits import keys, outlet, raw, refused
from tests.ingest.test_session import FRAME

__all__ = ["keys", "outlet"]


@asynccontextmanager
async def silent_sockets(server, number: int):
    """Connections that send no request; the server has them all."""
    writers = [(await asyncio.open_connection("127.0.0.1", server.port))[1] for _ in range(number)]
    async with asyncio.timeout(30):
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
        async with asyncio.timeout(30):
            while server._asking:
                await asyncio.sleep(0.001)
        async with dial(server):
            assert server.connections == 2
    assert refused("handshakes") == before + 1


class SetForward(SystemClock):
    """The system's clock, set forward."""

    late_s = 0.0

    def wall_s(self) -> float:
        return super().wall_s() + self.late_s


class Judged:
    """A source whose judgement somebody hears."""

    def __init__(self, source, admit) -> None:
        self._source = source
        self.admit = admit

    def __getattr__(self, name: str):
        return getattr(self._source, name)


@asynccontextmanager
async def turn_awaited(server, monkeypatch, request: bytes):
    """Send this and wait until it is read; then its turn is the test's to give. Yield it, and where answers come."""
    waiting = []
    monkeypatch.setattr(server.turnstile, "wait", waiting.append)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    try:
        async with asyncio.timeout(30):
            while not waiting:
                await asyncio.sleep(0.001)
        yield waiting.pop(), reader
    finally:
        writer.close()


def signed_now(server) -> bytes:
    """A request that was signed just now."""
    url = f"ws://127.0.0.1:{server.port}/audiohook"
    call = Call(scenario=Scenario("late", media.tone(20)))
    lines = [
        "GET /audiohook HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *(f"{name}: {value}" for name, value in upgrade_headers(url, call, Credentials(KEY, SECRET)).items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize(("late_s", "status"), [((0, 60), b"101"), ((60, 60), b"401")])
async def test_a_signature_is_as_old_as_it_was_when_read_however_late_its_turn_comes(
    outlet, keys, monkeypatch, late_s, status
):
    clock = SetForward()
    async with serving(outlet, keys) as server:
        monkeypatch.setattr(server, "_surroundings", replace(server._surroundings, clock=clock))
        request = signed_now(server)
        clock.late_s = late_s[0]
        async with turn_awaited(server, monkeypatch, request) as (enter, reader):
            clock.late_s = late_s[1]
            enter()
            assert (await reader.readline()).startswith(b"HTTP/1.1 " + status)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
async def test_a_request_is_as_old_as_when_it_came_though_nobody_was_there_to_read_it(outlet, keys):
    async with serving(outlet, keys) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as peer:
            peer.sendall(wire.request(key="open"))
            threading.Event().wait(0.1)
            free_s = server.wall_s()
            while not server._sessions:
                await asyncio.sleep(0.001)
            (accepted,) = server._sessions.values()
            assert free_s - 60 < accepted.came_s < free_s


async def test_signatures_are_judged_by_a_time_that_follows_the_clock_and_else_never_goes_back(
    outlet, keys, monkeypatch
):
    clock, judged = SetForward(), []
    async with serving(outlet, keys) as server:
        monkeypatch.setattr(server, "_surroundings", replace(server._surroundings, clock=clock))
        admit = server._source.admit
        monkeypatch.setattr(
            server, "_source", Judged(server._source, lambda *asked: (judged.append(asked[-1]), admit(*asked))[1])
        )
        for late_s in (0, -3600):
            clock.late_s = late_s
            async with dial(server):
                pass
        assert judged[0] - judged[1] > 3000
        monkeypatch.setattr(module, "received_ago_s", lambda _: 1000.0)
        async with dial(server):
            pass
    assert judged[2] == judged[1]


@pytest.mark.parametrize(("request_bytes", "status"), [(wire.request(key="open"), b"101"), (b"GET /", b"408")])
async def test_who_asked_in_time_is_answered_though_its_turn_came_after_the_deadline(
    outlet, keys, monkeypatch, request_bytes, status
):
    async with (
        serving(outlet, keys, handshake_deadline_s=0.05) as server,
        turn_awaited(server, monkeypatch, request_bytes) as (enter, reader),
    ):
        (accepted,) = server._asking
        async with asyncio.timeout(30):
            while not accepted._overdue:
                await asyncio.sleep(0.001)
        assert accepted in server._asking
        enter()
        assert (await reader.readline()).startswith(b"HTTP/1.1 " + status)


async def test_nothing_is_read_of_a_request_while_its_beginning_waits_for_its_turn(outlet, keys, monkeypatch):
    async with serving(outlet, keys) as server, turn_awaited(server, monkeypatch, b"GET / HTTP") as (enter, _):
        (accepted,) = server._asking
        assert not accepted._transport.is_reading()
        enter()
        assert accepted._transport.is_reading()
        assert not accepted._asked


async def test_who_goes_before_its_turn_comes_is_not_asked_after(outlet, keys, monkeypatch):
    before = refused("no_request")
    request = wire.request(key="open")
    async with serving(outlet, keys) as server, turn_awaited(server, monkeypatch, request) as (enter, _):
        (accepted,) = server._asking
        accepted.abort()
        while server._asking:
            await asyncio.sleep(0.001)
        enter()
        assert not accepted._asked
    assert refused("no_request") == before + 1


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
    async with serving(outlet, keys) as server, dial(server, max_queue=None) as connection:
        # in one write that is read at once, with the end of the connection, so that no answer can be sent
        for _ in range(20):
            connection.protocol.send_text(client.open().encode() if not client.seq else client.say("ping").encode())
            connection.protocol.send_binary(FRAME[:100])
        connection.protocol.send_close(1000)
        connection.send_data()
        await connection.wait_closed()
    assert outlet.kinds().count("AUDIO") == 20


def certified(folder):
    """Settings of a server with a certificate, and the options of a client that trusts it."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    chain, key = folder / "chain.pem", folder / "key.pem"
    for pem in issued.cert_chain_pems:
        pem.write_to_path(chain, append=True)
    issued.private_key_pem.write_to_path(key)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    return {"tls_certfile": chain, "tls_keyfile": key}, {"ssl": trust}


async def open_call(server, connection) -> tuple[Client, module.AcceptedConnection]:
    """Open a session; return its client's words and the server's side of its socket."""
    client = Client()
    await connection.send(client.open())
    assert (await said(connection))["type"] == "opened"
    (accepted,) = server._sessions.values()
    return client, accepted


@contextmanager
def turns_counted(accepted):
    """Count what is read of a socket at each turn of the loop."""
    loop, take, counts, counting = asyncio.get_running_loop(), accepted.buffer_updated, [0], True

    def turn() -> None:
        counts.append(0)
        if counting:
            loop.call_soon(turn)

    def updated(size: int) -> None:
        counts[-1] += size
        take(size)

    accepted.buffer_updated = updated
    # it keeps the method itself
    accepted._transport.set_protocol(accepted)
    turn()
    try:
        yield counts
    finally:
        counting = False


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_flood_of_small_frames_is_read_in_turns_with_those_of_others(outlet, keys, tmp_path, encrypted):
    settings, options = certified(tmp_path) if encrypted else ({}, {})
    async with serving(outlet, keys, **settings) as server, dial(server, **options) as connection:
        client, accepted = await open_call(server, connection)
        with turns_counted(accepted) as counts:
            for _ in range(10_000):
                connection.protocol.send_binary(b"\xff\xff")
            connection.send_data()
            await connection.send(client.close("PT1.25S"))
            assert (await said(connection))["type"] == "closed"
    assert outlet.kinds().count("AUDIO") == 10_000
    assert sum(counts) > 80_000
    assert max(counts) <= module.READ_BYTES


async def test_audio_does_not_go_through_the_machine_of_the_library(outlet, keys, monkeypatch):
    async with serving(outlet, keys) as server, dial(server) as connection:
        client, accepted = await open_call(server, connection)
        fed = []
        take = accepted._protocol.receive_data
        monkeypatch.setattr(accepted._protocol, "receive_data", lambda data: (fed.append(data), take(data)))
        for _ in range(5):
            await connection.send(FRAME)
        await connection.send(client.close("PT1S"))
        assert (await said(connection))["type"] == "closed"
        assert len(fed) == 1
    assert outlet.kinds().count("AUDIO") == 5


async def test_frames_sent_with_the_request_wait_for_its_answer(outlet, keys):
    client = Client()
    async with serving(outlet, keys) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = wire.request(key="open")
        writer.write(head[:-2])
        await writer.drain()
        writer.write(
            head[-2:] + wire.message(client.open()) + wire.message(FRAME) + wire.message(client.close("PT0.2S"))
        )
        answers = await reader.readuntil(b'"closed"')
        writer.close()
    assert answers.startswith(b"HTTP/1.1 101 ")
    assert outlet.kinds() == ["OPENED", "AUDIO", "CLOSED"]


async def test_a_text_that_is_no_utf8_ends_the_connection_and_what_came_before_counts(outlet, keys):
    async with serving(outlet, keys) as server, dial(server) as connection:
        await open_call(server, connection)
        connection.protocol.send_binary(FRAME)
        connection.protocol.send_text(b"\xff\xfe")
        connection.protocol.send_binary(FRAME)
        connection.send_data()
        with pytest.raises(ConnectionClosed) as caught:
            await connection.recv()
        while server._sessions:
            await asyncio.sleep(0.001)
    assert caught.value.rcvd.code == 1007
    assert outlet.marks()[1:] == [("AUDIO", "UNKNOWN"), ("CLOSED", "SOCKET_LOST")]


async def test_a_message_in_very_many_fragments_is_a_message(outlet, keys, capfd):
    async with serving(outlet, keys) as server, dial(server) as connection:
        client, _ = await open_call(server, connection)
        connection.protocol.send_binary(b"", fin=False)
        for _ in range(20_000):
            connection.protocol.send_continuation(b"\xff", fin=False)
        connection.protocol.send_continuation(b"", fin=True)
        connection.send_data()
        await connection.send(client.close("PT1.25S"))
        assert (await said(connection))["type"] == "closed"
    assert outlet.marks() == [("OPENED", "UNKNOWN"), ("AUDIO", "UNKNOWN"), ("CLOSED", "END")]
    assert "a session failed" not in capfd.readouterr().err


async def test_who_does_not_read_is_not_read(outlet, keys):
    async with serving(outlet, keys) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1)
        writer.write(wire.request(key="open"))
        while not server._sessions:
            await asyncio.sleep(0.001)
        (accepted,) = server._sessions.values()
        pings = wire.frame(wire.PING, b"x" * 125) * 1000
        while not accepted._paused:
            writer.write(pings)
            await asyncio.sleep(0)
        assert accepted._transport.get_write_buffer_size() < 2 * module._UNSENT_BYTES
        # then the peer's own socket fills up
        writer.write(pings * 100)
        assert accepted._paused
        assert accepted._transport.get_write_buffer_size() < 2 * module._UNSENT_BYTES
        read = 0
        while read < 50_000_000 and accepted._paused:
            read += len(await reader.read(2**20))
        assert not accepted._paused
        writer.transport.abort()


async def test_messages_wait_to_be_received_in_small_number(outlet, keys, monkeypatch):
    async with serving(outlet, keys) as server, dial(server) as connection:
        client, accepted = await open_call(server, connection)
        monkeypatch.setattr(accepted, "hearer", None)
        most, keep = 0, accepted._keep

        def kept(message) -> None:
            nonlocal most
            keep(message)
            most = max(most, len(accepted._messages))

        monkeypatch.setattr(accepted, "_keep", kept)
        for _ in range(10_000):
            connection.protocol.send_binary(b"\xff\xff")
        connection.send_data()
        await connection.send(client.close("PT1.25S"))
        assert (await said(connection))["type"] == "closed"
    assert outlet.kinds().count("AUDIO") == 10_000
    # eight bytes each, and what one turn reads comes on top
    assert module._UNREAD < most <= module._UNREAD + module.READ_BYTES // 8 + 1


async def test_who_goes_with_much_unread_leaves_its_place_at_once(outlet, keys, monkeypatch):
    def fail(*_) -> None:
        raise RuntimeError("?")

    async with serving(outlet, keys) as server, dial(server) as connection:
        await open_call(server, connection)
        (session,) = server._sessions
        monkeypatch.setattr(session._protocol, "receive_text", fail)
        connection.transport.write(wire.message("no") * (module.READ_BYTES // 10))
        async with asyncio.timeout(module.CLOSE_S / 2):
            await connection.wait_closed()
            while server._places._holders:
                await asyncio.sleep(0.001)
    assert connection.close_code == 1011


async def test_no_task_wakes_for_a_ping_and_its_pong(outlet, keys, monkeypatch):
    async with serving(outlet, keys) as server, dial(server) as connection:
        client, accepted = await open_call(server, connection)
        kept = []
        keep = accepted._keep
        monkeypatch.setattr(accepted, "_keep", lambda message: (kept.append(message), keep(message)))
        (session,) = server._sessions
        before_s, scope = session._deadline_s, session._scope
        for _ in range(3):
            await connection.send(client.say("ping"))
            assert (await said(connection))["type"] == "pong"
        assert session._scope is scope
        # the wait ends later now, as the machine wants it
        assert session._deadline_s == session._protocol.deadline_s() > before_s
        assert kept == []
        await connection.send(client.close())
        assert (await said(connection))["type"] == "closed"
    assert outlet.kinds() == ["OPENED", "ALIVE", "ALIVE", "ALIVE", "CLOSED"]


async def test_an_answer_that_would_have_to_wait_is_sent_by_the_task_in_order(outlet, keys):
    async with serving(outlet, keys) as server, dial(server) as connection:
        client, accepted = await open_call(server, connection)
        accepted.pause_writing()
        accepted._go_on(module._Pause.UNSENT)
        for _ in range(3):
            await connection.send(client.say("ping"))
        while outlet.kinds().count("ALIVE") < 1:
            await asyncio.sleep(0)
        accepted.resume_writing()
        answers = [await said(connection) for _ in range(3)]
        assert [answer["clientseq"] for answer in answers] == [2, 3, 4]
        await connection.send(client.close())
        assert (await said(connection))["type"] == "closed"
    assert outlet.kinds() == ["OPENED", "ALIVE", "ALIVE", "ALIVE", "CLOSED"]


async def test_a_fault_over_a_text_ends_the_connection_with_1011(outlet, keys, monkeypatch, capfd):
    def fail(*_) -> None:
        raise RuntimeError("?")

    async with serving(outlet, keys) as server, dial(server) as connection:
        client, _ = await open_call(server, connection)
        (session,) = server._sessions
        monkeypatch.setattr(session._protocol, "receive_text", fail)
        await connection.send(client.say("ping"))
        with pytest.raises(ConnectionClosed) as caught:
            await connection.recv()
    assert caught.value.rcvd.code == 1011
    assert "a session failed" in capfd.readouterr().err
    assert outlet.kinds() == ["OPENED", "CLOSED"]


async def test_of_a_crowd_a_few_are_accepted_at_each_turn(outlet, keys):
    async with serving(outlet, keys) as server:
        crowd = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
        counts = [0]
        async with asyncio.timeout(30):
            while len(server._all) < len(crowd):
                await asyncio.sleep(0)
                counts.append(len(server._all))
        for one in crowd:
            one.close()
    assert max(after - before for before, after in itertools.pairwise(counts)) == server_module._ACCEPTED_A_TURN
