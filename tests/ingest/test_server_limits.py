"""Each limit of the server on loopback: its answer, its metric, and that it holds nobody else up."""

import asyncio
import json
from contextlib import suppress

import pytest
from prometheus_client import REGISTRY
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ingest import server as module
from tests.ingest.sources.audiohook.test_auth import KEY, SECRET, signed
from tests.ingest.sources.audiohook.words import CORRELATION, SESSION, Client
from tests.ingest.test_server import FRAME, OPEN, dial, said, serving, status
from tests.ingest.test_session import FakeOutlet

UNSIGNED = OPEN[:-1]
OTHER = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def outlet() -> FakeOutlet:
    return FakeOutlet()


@pytest.fixture
def keys(tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({KEY: SECRET, "open": ""}))
    return path


def refused(reason: str) -> float:
    labels = {"source": "audiohook", "reason": reason}
    return REGISTRY.get_sample_value("callstream_ingest_refused_total", labels) or 0.0


def observed(what: str) -> float:
    labels = {"source": "audiohook", "what": what}
    return REGISTRY.get_sample_value("callstream_ingest_observations_total", labels) or 0.0


async def answer(server, path: str = "/audiohook", fields=OPEN):
    with pytest.raises(InvalidStatus) as caught:
        await dial(server, path, fields)
    return caught.value.response


async def raw(server, request: bytes) -> bytes:
    """Send a request by hand, and return all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_requests_that_come_too_fast_get_429_and_when_to_come_again(outlet, keys):
    before = refused("too_fast")
    async with serving(outlet, keys, handshakes_per_s=0.1, handshake_burst=2) as server:
        assert await status(server, "/elsewhere") == 404
        async with dial(server), dial(server, fields=[(*field,) for field in OPEN]):
            found = await answer(server)
            assert server.connections == 2
    assert found.status_code == 429
    assert 1 <= int(found.headers["Retry-After"]) <= 10
    assert refused("too_fast") == before + 1


async def test_an_organisation_with_too_many_connections_gets_429_and_others_do_not(outlet, keys):
    before = refused("organisation_full")
    other = [(name, OTHER if "Organization" in name else value) for name, value in OPEN]
    async with serving(outlet, keys, max_sessions_per_organization=1) as server:
        async with dial(server) as first:
            found = await answer(server)
            async with dial(server, fields=other):
                assert server.connections == 2
            await first.close()
        async with asyncio.timeout(30):
            while server._places._holders:
                await asyncio.sleep(0.001)
        async with dial(server):
            assert server.connections == 1
    assert (found.status_code, found.headers["Retry-After"]) == (429, "1")
    assert refused("organisation_full") == before + 1


async def test_a_refusal_that_waits_for_its_time_keeps_no_other_request_out(outlet, keys, monkeypatch):
    released = asyncio.Event()

    async def sleep(_: float) -> None:
        await released.wait()

    async with serving(outlet, keys, max_handshakes=1, max_connections=1) as server:
        with monkeypatch.context() as patched:
            patched.setattr(module.asyncio, "sleep", sleep)
            async with asyncio.TaskGroup() as tasks:
                waiting = []
                for number in range(1, 6):
                    waiting.append(tasks.create_task(status(server, fields=UNSIGNED)))
                    while server._refusing < number:
                        await asyncio.wait(waiting, timeout=0.01)
                async with dial(server):
                    assert server.connections == 1
                released.set()
        assert [task.result() for task in waiting] == [401] * 5


async def test_refusals_beyond_those_that_may_wait_are_answered_at_once(outlet, keys, monkeypatch):
    monkeypatch.setattr(module, "MAX_REFUSALS", 0)
    monkeypatch.setattr(module, "REFUSAL_FLOOR_S", 3600.0)
    async with serving(outlet, keys) as server:
        assert await status(server, fields=UNSIGNED) == 401


async def test_a_request_that_is_no_websocket_takes_no_place(outlet, keys):
    request = "".join(f"{name}: {value}\r\n" for name, value in [("Host", "a"), *OPEN])
    async with serving(outlet, keys, max_connections=1) as server:
        found = await raw(server, f"GET /audiohook HTTP/1.1\r\n{request}\r\n".encode())
        assert found.startswith(b"HTTP/1.1 426 ")
        async with dial(server):
            assert server.connections == 1


async def test_a_connection_without_open_is_told_so_in_time(outlet, keys):
    before = observed("deadline_passed")
    async with serving(outlet, keys, open_deadline_s=0.05) as server, dial(server) as connection:
        assert (await said(connection))["parameters"] == {"reason": "error", "info": "no open"}
    assert observed("deadline_passed") > before


async def test_a_session_without_pings_is_told_so_and_given_up(outlet, keys):
    before = observed("deadline_passed")
    async with serving(outlet, keys, idle_s=0.1) as server, dial(server) as connection:
        await connection.send(Client().open())
        assert (await said(connection))["type"] == "opened"
        await connection.send(FRAME)
        assert (await said(connection))["parameters"] == {"reason": "error", "info": "no ping"}
    assert outlet.marks()[-1] == ("CLOSED", "SOCKET_LOST")
    assert observed("deadline_passed") > before


async def test_a_frame_that_is_too_long_is_told_so(outlet, keys):
    before = observed("protocol_error")
    async with serving(outlet, keys, max_message_bytes=1024) as server, dial(server) as connection:
        await connection.send(Client().open())
        await said(connection)
        await connection.send(bytes(1026))
        assert (await said(connection))["parameters"] == {"reason": "error", "info": "a frame is too long"}
    assert outlet.marks() == [("OPENED", "UNKNOWN"), ("CLOSED", "PEER_ERROR")]
    assert observed("protocol_error") == before + 1


async def test_every_refusal_of_a_request_looks_the_same_to_the_peer(outlet, keys):
    requests = [
        OPEN[:-1],
        [*OPEN[:-1], ("X-API-KEY", "unknown")],
        [*OPEN[:-1], ("X-API-KEY", KEY)],
        signed()[1:],
        signed(secret="AAAA")[1:],
        [*OPEN, ("Signature", "sig1=:AAAA:")],
    ]
    async with serving(outlet, keys) as server:
        found = [await answer(server, fields=fields) for fields in requests]
    seen = {(one.status_code, one.reason_phrase, bytes(one.body)) for one in found}
    assert seen == {(401, "Unauthorized", b"Unauthorized\n")}
    assert len({tuple(name for name, _ in one.headers.raw_items()) for one in found}) == 1
    reasons = ("no_key", "unknown_key", "unsigned", "mismatch", "half_signed")
    assert all(refused(reason) for reason in reasons)


async def test_the_log_has_the_correlation_id_and_the_real_reason_and_nothing_secret(outlet, keys, capfd):
    async with serving(outlet, keys) as server:
        assert await status(server, fields=[*OPEN[:-1], ("X-API-KEY", KEY)]) == 401
    line = next(line for line in capfd.readouterr().err.splitlines() if "refused" in line)
    assert "unsigned" in line
    assert CORRELATION in line
    assert KEY not in line
    assert SESSION not in line


async def test_what_happens_often_is_logged_once_a_second(outlet, keys, capfd):
    before = refused("path")
    async with serving(outlet, keys) as server:
        for _ in range(5):
            assert await status(server, "/elsewhere") == 404
    assert refused("path") == before + 5
    assert 1 <= capfd.readouterr().err.count("connections are refused") < 5


async def test_a_changed_key_file_counts_without_a_restart_and_a_bad_one_changes_nothing(outlet, keys, capfd):
    async with serving(outlet, keys) as server:
        assert await status(server, fields=[*UNSIGNED, ("X-API-KEY", "new")]) == 401
        keys.write_text(json.dumps({"new": ""}))
        server.keep_alive()
        async with dial(server, fields=[*UNSIGNED, ("X-API-KEY", "new")]):
            assert await status(server) == 401
            keys.write_text("half")
            server.keep_alive()
            async with dial(server, fields=[*UNSIGNED, ("X-API-KEY", "new")]):
                assert server.connections == 2
    said_of_it = capfd.readouterr().err
    assert "the API keys have changed" in said_of_it
    assert "the changed API keys cannot be used, so the old ones stay" in said_of_it
    for outcome in ("taken", "refused"):
        labels = {"source": "audiohook", "outcome": outcome}
        assert REGISTRY.get_sample_value("callstream_ingest_key_changes_total", labels)


async def test_a_changed_key_file_counts_for_the_next_request_that_comes_a_while_later(outlet, keys, monkeypatch):
    monkeypatch.setattr(module, "REFRESH_S", 0.0)
    async with serving(outlet, keys) as server:
        keys.write_text(json.dumps({"new": ""}))
        async with dial(server, fields=[*UNSIGNED, ("X-API-KEY", "new")]):
            assert server.connections == 1


async def test_a_request_that_makes_us_fail_gets_500_and_a_line_in_the_log(outlet, keys, monkeypatch, capfd):
    async with serving(outlet, keys) as server, dial(server) as call:

        def admit(*_) -> None:
            raise RuntimeError("?")

        monkeypatch.setattr(server._source, "admit", admit)
        assert await status(server) == 500
        await call.send(Client().open())
        assert (await said(call))["type"] == "opened"
    assert "a request to connect failed" in capfd.readouterr().err


async def test_as_many_files_may_be_open_as_there_may_be_connections(outlet, keys, monkeypatch, capfd):
    asked = []
    monkeypatch.setattr(module.resource, "getrlimit", lambda _: (256, 3000))
    monkeypatch.setattr(module.resource, "setrlimit", lambda _, limits: asked.append(limits))
    async with serving(outlet, keys, max_connections=500, max_handshakes=100):
        assert asked == [(500 + 100 + module.MAX_REFUSALS + 256, 3000)]
        assert "open files" not in capfd.readouterr().err
    async with serving(outlet, keys, max_connections=5000, max_handshakes=100):
        assert asked[1:] == [(3000, 3000)]
    assert "the system allows fewer open files" in capfd.readouterr().err


async def test_two_sessions_of_one_conversation_are_served_side_by_side(outlet, keys):
    second = [(name, OTHER if "Session" in name else value) for name, value in OPEN]
    async with serving(outlet, keys) as server, dial(server) as one, dial(server, fields=second) as two:
        clients = Client(), Client()
        await one.send(clients[0].open())
        await two.send(clients[1].say("open", id=OTHER, parameters=json.loads(Client().open())["parameters"]))
        assert (await said(one))["id"] == SESSION
        assert (await said(two))["id"] == OTHER
        await one.send(FRAME)
        await two.send(FRAME)
        await one.send(clients[0].close("PT0.2S"))
        assert (await said(one))["type"] == "closed"
        await two.send(clients[1].say("ping", "PT0.2S", id=OTHER))
        assert (await said(two))["type"] == "pong"
        with suppress(ConnectionClosed):
            await one.close()
    assert outlet.kinds().count("OPENED") == 2
    assert outlet.kinds().count("CLOSED") == 2
