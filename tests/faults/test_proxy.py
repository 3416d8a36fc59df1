"""The proxy itself, before a small server that answers every request with its own header and name."""

import asyncio
import contextlib
import struct

import pytest

from tests.faults.proxy import HOST, Act, Api, Fault, Proxy, proxy_to

PATIENCE_S = 20


class Broker:
    """Notes requests; answers with the correlation id, its address and the request."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self.port = 0
        self.padding = b""
        self.takes_s = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                frame = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
                self.got.append(struct.unpack_from(">hhi", frame)[2])
                await asyncio.sleep(self.takes_s)
                answer = frame[4:8] + HOST.encode() + self.port.to_bytes(4, "big") + frame + self.padding
                writer.write(len(answer).to_bytes(4, "big") + answer)
                await writer.drain()
        writer.transport.abort()


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
        self._reader, self._writer, self._name = reader, writer, name.encode()

    def send(self, api: int, correlation: int, body: bytes = b"") -> None:
        frame = struct.pack(">hhih", api, 1, correlation, len(self._name)) + self._name + body
        self._writer.write(len(frame).to_bytes(4, "big") + frame)

    async def answer(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self._reader.readexactly(int.from_bytes(await self._reader.readexactly(4), "big"))

    async def ask(self, api: int, correlation: int, body: bytes = b"") -> bytes:
        self.send(api, correlation, body)
        return await self.answer()

    def close(self) -> None:
        self._writer.transport.abort()


@pytest.fixture
async def broker():
    broker = Broker()
    server = await asyncio.start_server(broker.serve, HOST, 0)
    broker.port = server.sockets[0].getsockname()[1]
    yield broker
    server.close()


@pytest.fixture
async def proxy(broker: Broker):
    async with proxy_to(f"{HOST}:{broker.port}") as proxy:
        yield proxy


@contextlib.asynccontextmanager
async def connected(proxy: Proxy, name: str = "client"):
    client = Client(*await asyncio.open_connection(HOST, proxy.port), name)
    try:
        yield client
    finally:
        client.close()


async def test_an_answer_that_names_the_broker_names_the_proxy_instead_and_others_stay_as_they_are(
    broker: Broker, proxy: Proxy
) -> None:
    async with connected(proxy) as client:
        metadata = await client.ask(Api.METADATA, 1)
        fetched = await client.ask(Api.FETCH, 2)
    assert proxy.port.to_bytes(4, "big") in metadata
    assert broker.port.to_bytes(4, "big") not in metadata
    assert broker.port.to_bytes(4, "big") in fetched
    assert proxy.requests == [(Api.METADATA, "client"), (Api.FETCH, "client")]


@pytest.mark.parametrize(("act", "reached"), [(Act.CUT_BEFORE, [1, 2, 3]), (Act.CUT_AFTER, [1, 2, 3, 4])])
async def test_a_cut_falls_at_the_request_it_names_before_or_after_the_broker_had_it(
    broker: Broker, proxy: Proxy, act: Act, reached: list[int]
) -> None:
    fault = proxy.place(Fault(act, Api.END_TXN, nth=2, client="worker", part=b"mine"))
    async with connected(proxy, "other") as other, connected(proxy, "worker") as worker:
        await other.ask(Api.END_TXN, 1, b"mine")
        await worker.ask(Api.END_TXN, 2, b"mine")
        await worker.ask(Api.END_TXN, 3, b"yours")
        assert not fault.struck.is_set()
        worker.send(Api.END_TXN, 4, b"mine")
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await worker.answer()
        assert fault.struck.is_set()
        assert broker.got == reached
        await other.ask(Api.END_TXN, 5, b"mine")
    async with connected(proxy, "worker") as again:
        await again.ask(Api.END_TXN, 6, b"mine")


async def test_a_half_open_connection_carries_nothing_any_more_and_a_new_one_does(broker: Broker, proxy: Proxy) -> None:
    fault = proxy.place(Fault(Act.HALF_OPEN, Api.PRODUCE))
    async with connected(proxy) as client, connected(proxy) as new:
        client.send(Api.PRODUCE, 1)
        client.send(Api.HEARTBEAT, 2)
        await fault.struck.wait()
        await new.ask(Api.PRODUCE, 3)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.answer()
        assert broker.got == [3]


async def test_a_silence_holds_everything_up_and_then_everything_arrives(broker: Broker, proxy: Proxy) -> None:
    async with connected(proxy) as client, connected(proxy) as other:
        await other.ask(Api.FETCH, 1)
        fault = proxy.place(Fault(Act.SILENCE, Api.PRODUCE, seconds=0.2))
        client.send(Api.PRODUCE, 2)
        await fault.struck.wait()
        other.send(Api.FETCH, 3)
        await asyncio.sleep(0.05)
        assert broker.got == [1]
        await client.answer()
        await other.answer()
    assert sorted(broker.got) == [1, 2, 3]


async def test_a_delayed_answer_comes_late_and_the_broker_has_the_request_at_once(broker: Broker, proxy: Proxy) -> None:
    proxy.place(Fault(Act.DELAY, Api.FETCH, seconds=0.2))
    loop = asyncio.get_running_loop()
    async with connected(proxy) as client:
        started_s = loop.time()
        client.send(Api.FETCH, 1)
        async with asyncio.timeout(PATIENCE_S):
            while not broker.got:
                await asyncio.sleep(0)
        await client.answer()
        assert loop.time() - started_s >= 0.2


async def test_a_limit_makes_bytes_take_their_time_and_can_be_lifted_meanwhile(broker: Broker, proxy: Proxy) -> None:
    broker.padding = bytes(100_000)
    proxy.bytes_per_s = 200_000
    loop = asyncio.get_running_loop()
    async with connected(proxy) as client:
        started_s = loop.time()
        await client.ask(Api.FETCH, 1)
        assert loop.time() - started_s >= 0.45
        proxy.bytes_per_s = 10_000
        client.send(Api.FETCH, 2)
        await asyncio.sleep(0.05)
        proxy.heal()
        await client.answer()


async def test_a_client_whose_broker_is_gone_is_cut(proxy: Proxy, broker: Broker) -> None:
    proxy.broker_port = 1
    async with connected(proxy) as client:
        client.send(Api.FETCH, 1)
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await client.answer()


async def test_slowness_multiplies_what_the_broker_took_and_ends_when_it_is_healed(
    broker: Broker, proxy: Proxy
) -> None:
    broker.takes_s = 0.05
    proxy.slowness = 4
    loop = asyncio.get_running_loop()
    async with connected(proxy) as client:
        started_s = loop.time()
        await client.ask(Api.FETCH, 1)
        assert loop.time() - started_s >= 0.19
        proxy.slowness = 1_000
        client.send(Api.FETCH, 2)
        async with asyncio.timeout(PATIENCE_S):
            while len(broker.got) < 2:
                await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        proxy.heal()
        await client.answer()
