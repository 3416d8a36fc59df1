"""The server on loopback, with a client of websockets' own and requests written by hand."""

import asyncio
import json
import ssl
from contextlib import asynccontextmanager, suppress

import pytest
import trustme
from prometheus_client import REGISTRY
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ingest import server as module
from ingest.config import IngestSettings
from ingest.sequencer import Encoding
from ingest.server import IngestServer
from ingest.session import Surroundings
from ingest.sources.audiohook.config import AudioHookSettings
from ingest.table import ACCEPTING
from runtime.clock import SystemClock
from runtime.errors import ConfigError
from runtime.log import get_logger
from tests.ingest.sources.audiohook.test_auth import KEY, SECRET, headers
from tests.ingest.sources.audiohook.words import SESSION, Client
from tests.ingest.test_session import STORE, FakeOutlet

FRAME = b"\xff" * 3200
OPEN = [(name, value) for name, value in headers(X_API_KEY="open") if name != "Host"]


@pytest.fixture
def outlet() -> FakeOutlet:
    return FakeOutlet()


@pytest.fixture
def keys(tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({KEY: SECRET, "open": ""}))
    return path


@asynccontextmanager
async def serving(outlet: FakeOutlet, keys, **settings):
    own = AudioHookSettings(port=0, keys_file=keys, close_deadline_s=1, **settings)
    listening = ACCEPTING["audiohook"](IngestSettings(audiohook=own))
    surroundings = Surroundings(outlet, SystemClock(), get_logger("ingest"), Encoding(STORE))
    server = IngestServer(listening, surroundings)
    async with asyncio.TaskGroup() as tasks:
        await server.start(tasks)
        try:
            yield server
        finally:
            server.stop_accepting()
            await server.drain(2)


def dial(server: IngestServer, path: str = "/audiohook", fields=OPEN, **options):
    url = f"{'wss' if 'ssl' in options else 'ws'}://127.0.0.1:{server.port}{path}"
    return connect(url, additional_headers=fields, proxy=None, ping_interval=None, **options)


async def said(connection) -> dict:
    return json.loads(await connection.recv())


async def status(server: IngestServer, path: str = "/audiohook", fields=OPEN) -> int:
    with pytest.raises(InvalidStatus) as caught:
        await dial(server, path, fields)
    return caught.value.response.status_code


async def test_a_call_is_served_from_open_to_close(outlet, keys):
    client = Client()
    async with serving(outlet, keys) as server, dial(server, "/audiohook/connector-7?x=y") as connection:
        await connection.send(client.open())
        assert (await said(connection))["type"] == "opened"
        await connection.send(FRAME)
        await connection.send([FRAME[:1000], FRAME[1000:]])
        await connection.send(client.say("ping", "PT0.4S"))
        assert (await said(connection))["type"] == "pong"
        await connection.send(client.close("PT0.4S"))
        assert (await said(connection))["type"] == "closed"
    assert outlet.marks() == [
        ("OPENED", "UNKNOWN"),
        ("AUDIO", "UNKNOWN"),
        ("AUDIO", "UNKNOWN"),
        ("ALIVE", "UNKNOWN"),
        ("CLOSED", "END"),
    ]


async def test_neither_compression_nor_a_subprotocol_is_accepted_and_nothing_says_what_serves(outlet, keys):
    async with serving(outlet, keys) as server, dial(server, compression="deflate") as connection:
        assert connection.protocol.extensions == []
        assert connection.subprotocol is None
        assert "Server" not in connection.response.headers


@pytest.mark.parametrize(
    ("path", "fields", "wanted"),
    [
        ("/other", OPEN, 404),
        ("/audiohookx", OPEN, 404),
        ("/audiohook", OPEN[1:], 400),
        ("/audiohook", OPEN[:-1], 401),
        ("/audiohook", [*OPEN[:-1], ("X-API-KEY", KEY)], 401),
        ("/audiohook", [*OPEN[:-1], ("X-API-KEY", "unknown")], 401),
    ],
)
async def test_a_request_is_refused_before_the_upgrade(outlet, keys, path, fields, wanted):
    async with serving(outlet, keys) as server:
        assert await status(server, path, fields) == wanted
    assert outlet.records == []


async def test_a_refusal_takes_its_time_and_no_connections_place(outlet, keys, monkeypatch):
    slept = []
    released = asyncio.Event()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await released.wait()

    async with serving(outlet, keys, max_connections=1) as server:
        with monkeypatch.context() as patched:
            patched.setattr(module.asyncio, "sleep", sleep)
            async with asyncio.TaskGroup() as tasks:
                refused = [tasks.create_task(status(server, fields=OPEN[:-1])) for _ in range(3)]
                while len(slept) < 3:
                    await asyncio.wait(refused, timeout=0.01)
                async with dial(server):
                    assert server.connections == 1
                released.set()
            assert [task.result() for task in refused] == [401] * 3
    assert all(0.4 < seconds <= 0.5 for seconds in slept)


async def test_a_full_server_answers_503_and_says_when_to_come_again(outlet, keys):
    async with serving(outlet, keys, max_connections=1) as server:
        async with dial(server):
            with pytest.raises(InvalidStatus) as caught:
                await dial(server)
        assert caught.value.response.status_code == 503
        assert caught.value.response.headers["Retry-After"] == "1"
    assert REGISTRY.get_sample_value("callstream_ingest_refused_total", {"source": "audiohook", "reason": "full"})


async def test_a_text_that_is_too_long_is_answered_by_the_protocol(outlet, keys):
    async with serving(outlet, keys, max_message_bytes=1024) as server, dial(server) as connection:
        await connection.send("x" * 2000)
        assert (await said(connection))["parameters"]["reason"] == "error"


async def test_a_message_far_too_long_ends_the_connection(outlet, keys):
    async with serving(outlet, keys, max_message_bytes=1024) as server, dial(server) as connection:
        await connection.send(Client().open())
        await said(connection)
        await connection.send(b"x" * 5000)
        with pytest.raises(ConnectionClosed) as caught:
            await connection.recv()
    assert caught.value.rcvd.code == 1009
    assert outlet.kinds() == ["OPENED", "CLOSED"]


async def test_a_drain_ends_the_sessions_by_the_protocol_and_refuses_new_ones(outlet, keys):
    client = Client()
    async with serving(outlet, keys) as server, dial(server) as connection:
        await connection.send(client.open())
        await said(connection)
        server.stop_accepting()
        async with asyncio.TaskGroup() as tasks:
            draining = tasks.create_task(server.drain(5))
            assert (await said(connection))["parameters"] == {"reason": "completed"}
            await connection.send(FRAME)
            await connection.send(client.close("PT0.2S", "disconnect"))
            assert (await said(connection))["type"] == "closed"
            await connection.close()
            await draining
        with pytest.raises(ConnectionRefusedError):
            await dial(server)
    assert outlet.marks() == [("OPENED", "UNKNOWN"), ("AUDIO", "UNKNOWN"), ("CLOSED", "DRAIN")]


async def test_a_client_that_ignores_the_drain_is_closed_with_1001(outlet, keys):
    async with serving(outlet, keys) as server, dial(server) as connection:
        await connection.send(Client().open())
        await said(connection)
        await server.drain(3)
        with suppress(ConnectionClosed):
            while True:
                await connection.recv()
        assert connection.close_code == 1001
    assert outlet.marks()[-1] == ("CLOSED", "DRAIN")


async def test_garbage_on_the_port_disturbs_nobody(outlet, keys):
    async with serving(outlet, keys) as server, dial(server) as connection:
        for garbage in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\n\r\n", b"\r\n" * 50, bytes(70_000)):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(garbage)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        await connection.send(Client().open())
        assert (await said(connection))["id"] == SESSION


async def test_an_address_that_is_taken_is_a_configuration_error(outlet, keys):
    async with serving(outlet, keys) as server:
        own = AudioHookSettings(port=server.port, keys_file=keys)
        listening = ACCEPTING["audiohook"](IngestSettings(audiohook=own))
        surroundings = Surroundings(outlet, SystemClock(), get_logger("ingest"), Encoding(STORE))
        with pytest.raises(ConfigError) as caught:
            await IngestServer(listening, surroundings).start(asyncio.TaskGroup())
    assert "INGEST_AUDIOHOOK_PORT" in caught.value.mistakes[0]


async def test_with_a_certificate_calls_come_over_tls(outlet, keys, tmp_path):
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    for pem in issued.cert_chain_pems:
        pem.write_to_path(chain, append=True)
    issued.private_key_pem.write_to_path(key)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with (
        serving(outlet, keys, host="localhost", tls_certfile=chain, tls_keyfile=key) as server,
        connect(
            f"wss://localhost:{server.port}/audiohook", additional_headers=OPEN, ssl=trust, proxy=None
        ) as connection,
    ):
        await connection.send(Client().open())
        assert (await said(connection))["type"] == "opened"


async def test_the_sessions_are_asked_for_alive_a_few_at_each_turn(outlet, keys):
    asked = []

    class Quiet:
        def keep_alive(self) -> None:
            asked.append(self)

    async with serving(outlet, keys) as server:
        server._sessions = {Quiet(): None for _ in range(2 * module._ASKED_A_TURN + 1)}
        server.keep_alive()
        counts = [len(asked)]
        while len(asked) < len(server._sessions):
            await asyncio.sleep(0)
            counts.append(len(asked))
        assert counts == [0, module._ASKED_A_TURN, 2 * module._ASKED_A_TURN, 2 * module._ASKED_A_TURN + 1]
        server._sessions = {}
