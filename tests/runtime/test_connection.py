import asyncio
import contextlib
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from runtime.connection import Connection, Socket
from runtime.errors import UsageError
from runtime.supervision import ConnectionLost
from schemas.symbols import ClosedBy
from tests.runtime.websocket_peers import CLOSE_1000, QUICK, accept, dialer, raw_server, until, url_of

SOON_S = 0.2
"""A deadline that is to pass in a test."""


def ended(lost):
    return lost.code, lost.reason, lost.closed_by


@contextlib.asynccontextmanager
async def talking(talk, policy=QUICK):
    """Connect to a server that talks so, and yield the connection."""

    async def serve_one(peer):
        with contextlib.suppress(ConnectionClosed):
            await talk(peer)

    async with serve(serve_one, "127.0.0.1", 0, ping_interval=None, close_timeout=1) as server:
        connection = await dialer(url_of(server), policy).connect()
        try:
            yield connection
        finally:
            await connection.close()


@contextlib.asynccontextmanager
async def raw(talk, policy=QUICK):
    """Connect to a server that talks so below the library, and yield the connection."""
    async with raw_server(talk) as url:
        yield await dialer(url, policy).connect()


async def stay(peer):
    await peer.wait_closed()


async def mute(reader, writer):
    """Accept, then neither read, answer nor close."""
    await accept(reader, writer)
    writer.transport.pause_reading()


async def test_text_and_binary_messages_come_as_what_they_are():
    async def talk(peer):
        for message in ("text", b"\xff\xfe1\x00", b"", "", b"1"):
            await peer.send(message)
        await peer.wait_closed()

    async with talking(talk) as connection:
        assert [await connection.receive() for _ in range(5)] == ["text", b"\xff\xfe1\x00", b"", "", b"1"]
        assert connection.messages == 5


async def test_text_and_binary_messages_go_as_what_they_are():
    got = []

    async def talk(peer):
        got.append(await peer.recv())
        got.append(await peer.recv())

    async with talking(talk) as connection:
        await connection.send("text")
        await connection.send(b"binary")
        with pytest.raises(ConnectionLost):
            await connection.receive()
    assert got == ["text", b"binary"]


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 4001])
async def test_a_close_by_the_peer_ends_it_whatever_the_code(code):
    async with talking(lambda peer: peer.close(code, "why")) as connection:
        with pytest.raises(ConnectionLost) as receiving:
            await connection.receive()
        with pytest.raises(ConnectionLost) as sending:
            await connection.send("late")
        assert ended(receiving.value) == ended(sending.value) == (code, "why", ClosedBy.REMOTE)
        assert ended(connection.lost) == (code, "why", ClosedBy.REMOTE)


async def test_a_close_frame_without_a_code_is_1005():
    async def talk(reader, writer):
        await accept(reader, writer)
        writer.write(b"\x88\x00")
        await reader.read(100)
        writer.close()

    async with raw(talk) as connection:
        with pytest.raises(ConnectionLost) as error:
            await connection.receive()
    assert ended(error.value) == (1005, "", ClosedBy.REMOTE)


async def test_what_came_before_the_close_is_received_first():
    async def talk(peer):
        for number in range(5):
            await peer.send(str(number))

    async with talking(talk) as connection:
        await until(lambda: connection.lost)
        assert [await connection.receive() for _ in range(5)] == ["0", "1", "2", "3", "4"]
        with pytest.raises(ConnectionLost) as error:
            await connection.receive()
        assert error.value.code == 1000


async def test_a_close_in_the_same_breath_as_the_handshake_is_noticed():
    async def talk(reader, writer):
        await accept(reader, writer)
        writer.write(b"\x81\x02hi" + CLOSE_1000)
        writer.close()

    async with raw(talk) as connection:
        assert await connection.receive() == "hi"
        with pytest.raises(ConnectionLost):
            await connection.receive()
        assert ended(connection.lost) == (1000, "", ClosedBy.REMOTE)


async def test_a_connection_that_was_over_before_anybody_took_it_is_noticed():
    ended_ones = []
    async with serve(stay, "127.0.0.1", 0) as server:
        socket = await connect(url_of(server), create_connection=Socket, proxy=None)
        socket.transport.abort()
        await socket.wait_closed()
        connection = Connection(socket, replace(QUICK, inactivity_s=60), ended_ones.append)
    assert ended_ones == [connection]
    assert ended(connection.lost) == (1006, "", ClosedBy.NETWORK)


@pytest.mark.parametrize("waiting", [True, False])
async def test_a_cut_connection_is_1006_by_the_network(waiting):
    async def talk(peer):
        peer.transport.abort()

    async with talking(talk) as connection:
        if waiting:
            with pytest.raises(ConnectionLost) as error:
                await connection.receive()
            assert ended(error.value) == (1006, "", ClosedBy.NETWORK)
        await until(lambda: connection.lost)
        assert ended(connection.lost) == (1006, "", ClosedBy.NETWORK)
        with pytest.raises(ConnectionLost) as error:
            await connection.send("late")
        assert ended(error.value) == (1006, "", ClosedBy.NETWORK)


async def test_a_connection_that_ends_without_a_close_frame_is_1006():
    async def talk(reader, writer):
        await accept(reader, writer)
        writer.close()

    async with raw(talk) as connection:
        with pytest.raises(ConnectionLost) as error:
            await connection.receive()
    assert ended(error.value) == (1006, "", ClosedBy.NETWORK)


@pytest.mark.parametrize("code", [1000, 1001, 1011])
async def test_our_own_close_is_told_apart(code):
    async with talking(stay) as connection:
        await connection.close(code, "done")
        assert ended(connection.lost) == (code, "done", ClosedBy.LOCAL)
        for use in (connection.receive(), connection.send("late")):
            with pytest.raises(ConnectionLost) as error:
                await use
            assert ended(error.value) == (code, "done", ClosedBy.LOCAL)
        await connection.close(4000)
        assert connection.lost.code == code


async def test_a_close_wakes_the_one_who_waits_for_a_message():
    async with talking(stay) as connection, asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(_lost(connection))
        await asyncio.sleep(0)
        await connection.close()
        assert ended(await waiting) == (1000, "", ClosedBy.LOCAL)


async def _lost(connection):
    with pytest.raises(ConnectionLost) as error:
        await connection.receive()
    return error.value


async def test_a_close_nobody_answers_ends_within_its_time():
    async with raw(mute, replace(QUICK, close_timeout_s=SOON_S)) as connection:
        await connection.close(1000, "done")
        assert ended(connection.lost) == (1000, "done", ClosedBy.LOCAL)


async def test_a_close_with_much_unsent_ends_within_its_time():
    async with raw(mute, replace(QUICK, close_timeout_s=SOON_S)) as connection, asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(_fill(connection))
        await until(lambda: connection._socket.paused)
        await connection.close()
        assert (await sending).closed_by is ClosedBy.LOCAL


async def _fill(connection):
    while True:
        try:
            await connection.send(bytes(2**20))
        except ConnectionLost as error:
            return error


async def test_a_cancelled_close_leaves_no_socket():
    async with raw(mute) as connection:
        closing = asyncio.get_running_loop().create_task(connection.close())
        await asyncio.sleep(0.01)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await until(lambda: connection.lost)
        assert connection.lost.closed_by is ClosedBy.LOCAL


async def test_a_peer_that_closes_but_keeps_the_socket_open_is_cut_off():
    async def talk(reader, writer):
        await accept(reader, writer)
        writer.write(CLOSE_1000)

    async with raw(talk, replace(QUICK, close_timeout_s=SOON_S)) as connection:
        with pytest.raises(ConnectionLost) as error:
            await connection.receive()
    assert ended(error.value) == (1000, "", ClosedBy.REMOTE)


@pytest.mark.parametrize("waiting", [True, False])
async def test_silence_for_too_long_ends_it_with_or_without_somebody_waiting(waiting):
    async with talking(stay, replace(QUICK, inactivity_s=SOON_S)) as connection:
        if waiting:
            assert ended(await _lost(connection)) == (1006, "", ClosedBy.TIMEOUT)
        await until(lambda: connection.lost)
        assert ended(connection.lost) == (1006, "", ClosedBy.TIMEOUT)


async def test_silence_of_a_peer_that_has_closed_is_not_held_against_it():
    async def talk(reader, writer):
        await accept(reader, writer)
        writer.write(CLOSE_1000)

    async with raw(talk, replace(QUICK, inactivity_s=60, close_timeout_s=SOON_S)) as connection:
        await until(lambda: connection._socket.state is not State.OPEN)
        connection._socket.active_s -= 100
        connection._look()
        assert ended(await _lost(connection)) == (1000, "", ClosedBy.REMOTE)


async def test_no_timer_outlives_a_connection():
    async with talking(lambda peer: peer.close(), replace(QUICK, inactivity_s=60)) as connection:
        await until(lambda: connection.lost)
        assert connection._watch.cancelled()
        assert connection._socket._linger.cancelled()


async def test_pings_and_pongs_are_no_activity():
    async def talk(peer):
        while True:
            await peer.ping()
            await asyncio.sleep(SOON_S / 10)

    policy = replace(QUICK, inactivity_s=SOON_S, ping_interval_s=SOON_S / 10)
    async with talking(talk, policy) as connection:
        assert ended(await _lost(connection)) == (1006, "", ClosedBy.TIMEOUT)
        assert connection.round_trip_s is not None


async def test_messages_are_activity_and_so_is_one_that_waits_to_be_received():
    quiet = asyncio.Event()

    async def talk(peer):
        await quiet.wait()
        await peer.send("one")
        await peer.wait_closed()

    def look():
        """Look at the time, and return whether the connection is left alone."""
        connection._look()
        return not connection._socket.transport.is_closing()

    async with talking(talk, replace(QUICK, inactivity_s=60)) as connection:
        connection._socket.active_s -= 59
        assert look()
        before_s = connection._socket.active_s
        quiet.set()
        await until(lambda: connection.messages)
        assert connection._socket.active_s > before_s + 59
        connection._socket.active_s -= 100
        assert look()
        await connection.receive()
        assert look()
        connection._socket.active_s -= 60
        assert not look()
        await until(lambda: connection.lost)
        assert ended(connection.lost) == (1006, "", ClosedBy.TIMEOUT)


@pytest.mark.parametrize("waiting", [True, False])
async def test_a_ping_that_is_not_answered_ends_it(waiting):
    policy = replace(QUICK, ping_interval_s=SOON_S, pong_timeout_s=SOON_S, close_timeout_s=SOON_S)
    async with raw(mute, policy) as connection:
        if waiting:
            assert ended(await _lost(connection)) == (1006, "", ClosedBy.TIMEOUT)
        await until(lambda: connection.lost)
        assert ended(connection.lost) == (1006, "", ClosedBy.TIMEOUT)
        assert connection.round_trip_s is None


async def test_a_peer_that_says_1011_itself_is_not_taken_for_one_that_does_not_answer():
    async with talking(lambda peer: peer.close(1011, "fault")) as connection:
        assert ended(await _lost(connection)) == (1011, "fault", ClosedBy.REMOTE)


async def test_a_peer_that_takes_no_messages_is_dead():
    async with raw(mute, replace(QUICK, pong_timeout_s=SOON_S)) as connection:
        assert ended(await _fill(connection)) == (1006, "", ClosedBy.TIMEOUT)
        assert ended(connection.lost) == (1006, "", ClosedBy.TIMEOUT)


async def test_a_message_up_to_the_limit_is_received_and_a_longer_one_ends_it():
    async def talk(peer):
        await peer.send(bytes(2**16))
        await peer.send(bytes(2**16 + 1))
        await peer.wait_closed()

    async with talking(talk) as connection:
        assert len(await connection.receive()) == 2**16
        lost = await _lost(connection)
        assert (lost.code, lost.closed_by) == (1009, ClosedBy.LOCAL)


async def test_the_limit_counts_bytes_not_characters():
    async def talk(peer):
        await peer.send("é" * 2**15)
        await peer.send("é" * 2**15 + "e")
        await peer.wait_closed()

    async with talking(talk) as connection:
        assert len(await connection.receive()) == 2**15
        assert (await _lost(connection)).code == 1009


async def test_a_message_in_too_long_pieces_ends_it():
    async def talk(peer):
        await peer.send([bytes(2**15)] * 3)
        await peer.wait_closed()

    async with talking(talk) as connection:
        lost = await _lost(connection)
        assert (lost.code, lost.closed_by) == (1009, ClosedBy.LOCAL)


async def test_a_message_in_pieces_is_one_message():
    async def talk(peer):
        await peer.send(["a", "b", "c"])
        await peer.wait_closed()

    async with talking(talk) as connection:
        assert await connection.receive() == "abc"
        assert connection.messages == 1


async def test_text_that_is_no_utf_8_ends_it():
    async def talk(peer):
        await peer.send(b"\xff", text=True)
        await peer.wait_closed()

    async with talking(talk) as connection:
        lost = await _lost(connection)
        assert (lost.code, lost.closed_by) == (1007, ClosedBy.LOCAL)


@pytest.mark.parametrize("steps", range(6))
async def test_cancelling_receive_at_any_await_loses_no_message(steps):
    async def talk(peer):
        for number in range(50):
            await peer.send(str(number))

    got = []
    async with talking(talk) as connection:
        with contextlib.suppress(ConnectionLost):
            while True:
                receiving = asyncio.get_running_loop().create_task(connection.receive())
                for _ in range(steps):
                    await asyncio.sleep(0)
                receiving.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    got.append(await receiving)
                got.append(await connection.receive())
    assert got == [str(number) for number in range(50)]


async def test_a_second_one_who_waits_for_the_next_message_is_a_bug():
    async with talking(stay) as connection, asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(_lost(connection))
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="one owner"):
            await connection.receive()
        await connection.close()
        await waiting


async def test_pings_of_the_peer_are_answered_while_nobody_receives():
    answered = asyncio.Event()

    async def talk(peer):
        await (await peer.ping(b"payload"))
        answered.set()
        await peer.wait_closed()

    async with talking(talk) as connection:
        await asyncio.wait_for(answered.wait(), 30)
        assert connection.messages == 0


async def test_the_round_trip_is_taken_from_a_ping_to_its_own_pong():
    answer = asyncio.Event()

    async def talk(reader, writer):
        await accept(reader, writer)
        frame = await reader.readexactly(10)
        payload = bytes(byte ^ mask for byte, mask in zip(frame[6:], frame[2:6], strict=True))
        writer.write(b"\x8a\x04" + bytes(byte ^ 0xFF for byte in payload) + b"\x81\x05ready")
        await answer.wait()
        writer.write(b"\x8a\x04" + payload)

    before = _round_trips()
    async with raw(talk, replace(QUICK, ping_interval_s=SOON_S, close_timeout_s=SOON_S)) as connection:
        assert await connection.receive() == "ready"
        assert connection.round_trip_s is None
        asked_s = asyncio.get_running_loop().time()
        await asyncio.sleep(SOON_S / 5)
        waited_s = asyncio.get_running_loop().time() - asked_s
        answer.set()
        await until(lambda: connection.round_trip_s)
        assert connection.round_trip_s >= waited_s
        assert _round_trips() == before + 1


def _round_trips():
    return REGISTRY.get_sample_value("callstream_websocket_round_trip_seconds_count", {"peer": "peer"}) or 0


class Tokens:
    """Gives one token."""

    def __init__(self, token):
        self.token = token

    async def get(self):
        return self.token


@contextlib.asynccontextmanager
async def repeated(token):
    """Connect with a token to a server that repeats it, in messages and in the reason of its close."""

    async def repeat(peer):
        said = peer.request.headers["Authorization"]
        await peer.send(f"not good: {said}")
        await peer.send(said.encode())
        await peer.close(4401, f"not good: {said}")

    async with serve(repeat, "127.0.0.1", 0, ping_interval=None, close_timeout=1) as server:
        connection = await dialer(url_of(server), token=Tokens(token)).connect()
        yield connection
        await connection.close()


async def test_what_the_peer_says_is_told_without_the_token_that_it_repeats():
    async with repeated("the-token-of-this-dial") as connection:
        assert await connection.receive() == "not good: Bearer ..."
        assert await connection.receive() == b"Bearer the-token-of-this-dial"
        with pytest.raises(ConnectionLost):
            await connection.receive()
    assert ended(connection.lost) == (4401, "not good: Bearer ...", ClosedBy.REMOTE)


async def test_a_token_cut_short_by_the_end_of_a_reason_is_left_out_too():
    token = "t0ken" * 60

    async def cut(peer):
        await peer.close(4401, f"not good: {peer.request.headers['Authorization']}"[:123])

    async with serve(cut, "127.0.0.1", 0, ping_interval=None, close_timeout=1) as server:
        connection = await dialer(url_of(server), token=Tokens(token)).connect()
        with pytest.raises(ConnectionLost):
            await connection.receive()
    assert ended(connection.lost) == (4401, "not good: Bearer ...", ClosedBy.REMOTE)


async def test_a_token_so_short_that_any_message_may_hold_it_changes_none():
    async with repeated("fifteen-letters") as connection:
        assert await connection.receive() == "not good: Bearer fifteen-letters"
