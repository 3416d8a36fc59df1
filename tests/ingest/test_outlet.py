import asyncio
from contextlib import asynccontextmanager

import pytest

from ingest.__main__ import _MARGIN_S
from ingest.lane import RECORD_OVERHEAD_BYTES
from ingest.outlet import Connection, Outlet, OutletLimits
from ingest.sequencer import Outgoing
from runtime.clock import ManualClock
from runtime.errors import ConfigError, Unavailable
from schemas import topics

AUDIO, EVENTS = topics.AUDIO.name, topics.EVENTS.name
COUNTS = {AUDIO: 2, EVENTS: 2}


class Batch:
    """A batch that is full after `limit` records."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.records: list[tuple[bytes | None, bytes]] = []

    def append(self, *, timestamp, key, value):
        assert timestamp is None
        if len(self.records) >= self.limit:
            return None
        self.records.append((key, value))
        return object()


class Broker:
    """What was acknowledged, by topic and partition, over all producers that came and went."""

    def __init__(self, counts: dict[str, int] | None = None) -> None:
        self.counts = counts or COUNTS
        self.log: dict[tuple[str, int], list[tuple[bytes | None, bytes]]] = {}
        self.batch_limit = 1000
        self.reachable = True
        self.answering = True
        self.failures: list[Exception | None] = []
        self.pending: list[tuple[asyncio.Future, tuple[str, int], Batch]] = []
        self.connections = 0
        self.most_at_once = 0

    async def connect(self) -> Connection:
        if not self.reachable:
            message = "no broker"
            raise Unavailable(message, retry_after_s=0.001)
        self.connections += 1
        return Connection(FakeProducer(self), dict(self.counts))

    def answer(self) -> None:
        """Acknowledge what is under way, each partition's batches in the order they came."""
        pending, self.pending = self.pending, []
        for future, lane, batch in pending:
            if not future.done():
                self.log.setdefault(lane, []).extend(batch.records)
                future.set_result(None)

    def values(self, topic: str = AUDIO) -> list[bytes]:
        return [value for (name, _), records in sorted(self.log.items()) if name == topic for _, value in records]


class FakeProducer:
    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.stopped = False

    def create_batch(self) -> Batch:
        return Batch(self.broker.batch_limit)

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future:
        assert not self.stopped
        broker = self.broker
        failure = broker.failures.pop(0) if broker.failures else None
        if isinstance(failure, ConnectionError):
            raise failure
        future = asyncio.get_running_loop().create_future()
        if failure is not None:
            future.set_exception(failure)
            return future
        broker.pending.append((future, (topic, partition), batch))
        lanes = [lane for waiting, lane, _ in broker.pending if not waiting.done()]
        broker.most_at_once = max(broker.most_at_once, *map(lanes.count, lanes))
        if broker.answering:
            asyncio.get_running_loop().call_soon(broker.answer)
        return future

    async def stop(self) -> None:
        self.stopped = True
        self.broker.pending.clear()


class Reports:
    def __init__(self) -> None:
        self.said: list[tuple[bool, str]] = []

    def __call__(self, flows: bool, why: str) -> None:
        self.said.append((flows, why))


def outlet_of(broker: Broker, **limits) -> Outlet:
    return Outlet(broker.connect, Reports(), ManualClock(), limits=OutletLimits(linger_ms=1, **limits))


@asynccontextmanager
async def running(outlet: Outlet):
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(outlet.run())
        yield
        outlet.close(5)


def record(number: int, key: bytes = b"call", topic: str = AUDIO, size: int = 0) -> Outgoing:
    return Outgoing(topic, key, b"%d" % number + bytes(size))


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


async def test_records_of_a_key_arrive_in_order_and_whole_whatever_the_batches_hold():
    broker = Broker()
    broker.batch_limit = 3
    outlet = outlet_of(broker)
    async with running(outlet):
        for number in range(20):
            outlet.put([record(number)])
            await asyncio.sleep(0)
        outlet.put([record(number) for number in range(20, 50)])
    assert broker.values() == [b"%d" % number for number in range(50)]
    assert len([lane for lane in broker.log if lane[0] == AUDIO]) == 1
    assert broker.most_at_once == 1
    assert outlet.unacknowledged == 0


async def test_what_was_put_before_kafka_was_there_is_written_first():
    broker = Broker()
    broker.reachable = False
    outlet = outlet_of(broker)
    async with running(outlet):
        outlet.put([record(0), record(1)])
        await until(lambda: outlet._report.said)
        assert outlet._report.said[0][0] is False
        broker.reachable = True
        await until(lambda: outlet._report.said[-1][0])
        outlet.put([record(2)])
    assert broker.values() == [b"0", b"1", b"2"]


@pytest.mark.parametrize("error", [RuntimeError("in the future"), ConnectionError("in the call"), AssertionError()])
async def test_a_producer_that_fails_is_replaced_and_its_unacknowledged_records_are_sent_again_in_order(error):
    broker = Broker()
    broker.batch_limit = 2
    broker.failures = [None, error, None, error]
    outlet = outlet_of(broker)
    async with running(outlet):
        outlet.put([record(number) for number in range(9)])
        await until(lambda: broker.connections == 3)
    assert broker.values() == [b"%d" % number for number in range(9)]


async def test_a_batch_that_was_lost_with_its_producer_is_sent_again_and_order_is_kept():
    broker = Broker()
    broker.answering = False
    outlet = outlet_of(broker)
    async with running(outlet):
        outlet.put([record(0, b"a"), record(0, b"b", EVENTS)])
        await until(lambda: len(broker.pending) == 2)
        outlet.put([record(1, b"a")])
        broker.pending[0][0].set_exception(RuntimeError("fatal"))
        broker.answering = True
        await until(lambda: broker.connections == 2)
    assert broker.values() == [b"0", b"1"]
    assert broker.values(EVENTS) == [b"0"]


async def test_while_kafka_does_not_answer_everything_waits_and_nothing_is_lost():
    broker = Broker()
    broker.answering = False
    outlet = outlet_of(broker)
    async with running(outlet):
        outlet.put([record(0)])
        await until(lambda: broker.pending)
        outlet.put([record(number) for number in range(1, 30)])
        outlet._clock.advance(7)
        assert outlet.oldest_age_s() == 7
        assert outlet.unacknowledged == 30
        broker.answering = True
        broker.answer()
    assert broker.values() == [b"%d" % number for number in range(30)]
    assert outlet.oldest_age_s() == 0


async def test_above_its_limit_there_is_no_room_until_a_tenth_of_it_is_free_again():
    broker = Broker()
    broker.answering = False
    broker.batch_limit = 1
    cost = RECORD_OVERHEAD_BYTES + 1
    outlet = outlet_of(broker, max_buffer_bytes=9 * cost)
    async with running(outlet):
        outlet.put([record(number) for number in range(9)])
        assert outlet.has_room
        outlet.put([record(9)])
        assert not outlet.has_room
        await until(lambda: broker.pending)
        broker.answer()
        await until(lambda: broker.pending)
        assert not outlet.has_room
        broker.answering = True
        broker.answer()
        await until(lambda: outlet.has_room)
    assert len(broker.values()) == 10


async def test_a_tick_goes_to_every_partition_and_no_second_one_waits_behind_it():
    broker = Broker()
    outlet = outlet_of(broker)
    outlet.tick(lambda _: b"too early")
    async with running(outlet):
        await until(lambda: outlet._lanes)
        broker.answering = False
        outlet.tick(lambda topic: f"{topic} tick".encode())
        outlet.tick(lambda topic: f"{topic} again".encode())
        await until(lambda: len(broker.pending) == 4)
        broker.answering = True
        broker.answer()
        await until(lambda: not outlet.unacknowledged)
        outlet.tick(lambda topic: f"{topic} later".encode())
    wanted = {
        (topic, number): [(None, f"{topic} tick".encode()), (None, f"{topic} later".encode())]
        for topic, count in COUNTS.items()
        for number in range(count)
    }
    assert broker.log == wanted


async def test_topics_of_different_partition_counts_are_a_configuration_error():
    outlet = outlet_of(Broker({AUDIO: 2, EVENTS: 3}))
    with pytest.raises(ConfigError):
        await outlet.run()


async def test_without_kafka_the_end_comes_when_the_budget_is_spent():
    broker = Broker()
    broker.reachable = False
    outlet = outlet_of(broker)
    outlet.put([record(0)])
    outlet.close(0.05)
    async with asyncio.timeout(30):
        await outlet.run()
    assert outlet.unacknowledged == 1


async def test_a_producer_that_cannot_end_is_cut_off_once_the_budget_is_spent(monkeypatch):
    async def stop(producer: FakeProducer) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(FakeProducer, "stop", stop)
    broker = Broker()
    broker.answering = False
    outlet = outlet_of(broker)
    outlet.put([record(0)])
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(outlet.run())
        await until(lambda: broker.pending)
        outlet.close(0)
        # within what the service keeps back of its own budget for the end, or the end counts as failed
        async with asyncio.timeout(_MARGIN_S):
            await running
    assert outlet.unacknowledged == 1


async def test_with_nothing_to_write_the_end_does_not_wait_for_kafka():
    broker = Broker()
    broker.reachable = False
    outlet = outlet_of(broker)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(outlet.run())
        await until(lambda: outlet._report.said)
        outlet.close(600)
    assert not outlet.unacknowledged


async def test_a_full_batch_does_not_wait_for_the_linger():
    broker = Broker()
    outlet = Outlet(
        broker.connect, Reports(), ManualClock(), limits=OutletLimits(linger_ms=60_000, max_batch_bytes=1000)
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(outlet.run())
        await until(lambda: outlet._lanes)
        outlet.put([record(0)])
        await asyncio.sleep(0.01)
        outlet.put([record(1, size=2000)])
        await until(lambda: len(broker.values()) == 2)
        outlet.close(0)
