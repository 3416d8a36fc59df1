"""Writes that take as long as they take, on a producer that may have to be replaced."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.errors import MessageSizeTooLargeError  # noqa: TID251 - what the client raises

from runtime import forwarder_writer
from runtime.config import KafkaSettings
from runtime.errors import Fenced, InvalidRecord, Unavailable
from runtime.forwarder_writer import Row, Writer
from runtime.kafka import KafkaError


class Producer:
    """Takes values; those in `refusals` fail with the error there, once. `broken`: every send raises it."""

    def __init__(self, log: list[bytes], refusals: dict[bytes, Exception], broken: Exception | None = None) -> None:
        self.log = log
        self.refusals = refusals
        self.broken = broken
        self.stopped = False

    async def send(self, topic, *, value, **_) -> asyncio.Future:
        if self.broken is not None:
            raise self.broken
        future = asyncio.get_running_loop().create_future()
        error = self.refusals.pop(value, None)
        if error is not None:
            future.set_exception(error)
        else:
            self.log.append(value)
            future.set_result(SimpleNamespace(timestamp=len(self.log)))
        return future

    async def stop(self) -> None:
        self.stopped = True


class Cluster:
    """The producers that are started, one after another."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[bytes] = []
        self.refusals: dict[bytes, Exception] = {}
        self.broken: list[Exception | None] = []
        self.unreachable = 0
        self.producers: list[Producer] = []
        self.answers: list[Unavailable | None] = []
        self.writer = Writer(KafkaSettings(), "test", self.answers.append)
        monkeypatch.setattr(forwarder_writer, "start_producer", self.start)
        monkeypatch.setattr(forwarder_writer, "_FIRST_BOUND_S", 0.001)

    async def start(self, *_, **__) -> Producer:
        if self.unreachable:
            self.unreachable -= 1
            raise Unavailable("")
        self.producers.append(Producer(self.log, self.refusals, self.broken.pop(0) if self.broken else None))
        return self.producers[-1]

    async def write(self, *values: bytes, check=lambda: None) -> int:
        return await self.writer.write([Row("t", 0, b"k", value) for value in values], check)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch)


async def test_rows_are_stored_in_order_and_the_broker_s_time_comes_back(cluster: Cluster) -> None:
    assert await cluster.write(b"1", b"2", b"3") == 3
    assert cluster.log == [b"1", b"2", b"3"]


async def test_a_write_waits_until_there_is_a_broker(cluster: Cluster) -> None:
    cluster.unreachable = 3
    await cluster.write(b"1")
    assert [type(answer) for answer in cluster.answers] == [Unavailable] * 3 + [type(None)]


@pytest.mark.parametrize("error", [KafkaError(), AssertionError("a producer in a state it cannot leave"), OSError()])
async def test_a_producer_that_fails_is_replaced_and_the_write_repeated(cluster: Cluster, error: Exception) -> None:
    cluster.broken = [error]
    await cluster.write(b"1", b"2")
    assert [producer.stopped for producer in cluster.producers] == [True, False]
    assert cluster.log == [b"1", b"2"]


async def test_what_is_stored_before_a_failure_is_not_written_again(cluster: Cluster) -> None:
    cluster.refusals = {b"2": KafkaError()}
    await cluster.write(b"1", b"2", b"3")
    assert cluster.log == [b"1", b"3", b"2", b"3"]


async def test_writes_that_fail_together_replace_the_producer_once(cluster: Cluster) -> None:
    cluster.refusals = {b"1": KafkaError(), b"2": KafkaError()}
    await asyncio.gather(cluster.write(b"1"), cluster.write(b"2"))
    assert len(cluster.producers) == 2
    assert sorted(cluster.log) == [b"1", b"2"]


async def test_a_row_the_broker_refuses_is_the_row_s_fault(cluster: Cluster) -> None:
    cluster.refusals = {b"large": MessageSizeTooLargeError()}
    with pytest.raises(InvalidRecord, match="MessageSizeTooLargeError"):
        await cluster.write(b"1", b"large")
    assert cluster.log == [b"1"]
    assert not cluster.producers[0].stopped


async def test_trying_ends_when_the_caller_says_so(cluster: Cluster) -> None:
    calls = iter([None, None])

    def check() -> None:
        if next(calls, StopIteration) is StopIteration:
            raise Fenced("gone")

    cluster.unreachable = 100
    with pytest.raises(Fenced):
        await cluster.write(b"1", check=check)
    assert cluster.log == []
