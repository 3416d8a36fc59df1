"""A sink that takes all partitions of its topics itself, on a real broker."""

import asyncio
import uuid

import pytest

from runtime import sink_feed
from runtime.config import KafkaSettings, Settings
from runtime.kafka import NewTopic, TopicPartition, start_admin, start_consumer, start_producer
from runtime.service import run
from runtime.sink import DeadRecord, Membership, Plan, SinkOptions, SourcePartition
from runtime.sink_feed import run_sink
from schemas.topics import dead_letters

pytestmark = pytest.mark.kafka


class Values:
    """Keeps values in memory, and the marks with them."""

    group = "audit_log"

    def __init__(self):
        self.found: dict[SourcePartition, list[bytes]] = {}
        self.mark: dict[SourcePartition, int] = {}

    async def marks(self, partitions):
        return {partition: self.mark[partition] for partition in partitions if partition in self.mark}

    def plan(self, partition, records):
        dead = tuple(DeadRecord(record.offset, "bad") for record in records if record.value == b"garbage")
        return Plan(tuple((partition, r.value) for r in records if r.value != b"garbage"), dead)

    async def write(self, entries, marks):
        for partition, value in entries:
            self.found.setdefault(partition, []).append(value)
        self.mark.update(marks)

    async def release(self, partitions):
        pass


async def test_all_partitions_of_all_topics_are_read_and_the_group_shows_how_far(kafka):
    unique = uuid.uuid4().hex[:12]
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{unique}.")
    one, two = f"one.{unique}", f"two.{unique}"
    buried = settings.topic_prefix + dead_letters("audit_log").name
    admin = await start_admin(settings, client_id="test")
    await admin.create_topics([NewTopic(one, 2, 1), NewTopic(two, 1, 1), NewTopic(buried, 2, 1)])
    await admin.close()
    producer = await start_producer(settings, client_id="test")
    for number in range(10):
        await producer.send(one, b"%d" % number, partition=number % 2)
    await producer.send(two, b"garbage", key=b"k", partition=0)
    await producer.send(two, b"good", key=b"k", partition=0)
    await producer.flush()
    await producer.stop()
    sink, services = Values(), []

    async def start(service):
        services.append(service)
        await run_sink(service, sink, SinkOptions(topics=(one, two), membership=Membership.ALL, interval_s=0.05))

    expected = {
        SourcePartition(one, 0): [b"0", b"2", b"4", b"6", b"8"],
        SourcePartition(one, 1): [b"1", b"3", b"5", b"7", b"9"],
        SourcePartition(two, 0): [b"good"],
    }
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(run("audit_log", Settings(kafka=settings), start, signals=False))
        while sink.found != expected:
            await asyncio.sleep(0.05)
        consumer = await start_consumer(settings, client_id="lag", group_id=f"{settings.topic_prefix}audit_log")
        while await consumer.committed(TopicPartition(two, 0)) != 2:
            await asyncio.sleep(0.05)
        consumer.assign([TopicPartition(buried, 0)])
        consumer.seek(TopicPartition(buried, 0), 0)
        (dead,) = (await consumer.getmany(timeout_ms=5000))[TopicPartition(buried, 0)]
        await consumer.stop()
        services[0].stopping.set()
        assert await task == 0
    assert (dead.key, dead.value) == (b"k", b"garbage")
    assert dict(dead.headers)["__connect.errors.topic"] == two.encode()


async def test_a_sink_whose_coordination_died_stores_what_it_read_and_ends_with_1(kafka, monkeypatch, capsys):
    unique = uuid.uuid4().hex[:12]
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{unique}.")
    topic, buried = f"one.{unique}", settings.topic_prefix + dead_letters("audit_log").name
    admin = await start_admin(settings, client_id="test")
    await admin.create_topics([NewTopic(topic, 1, 1), NewTopic(buried, 1, 1)])
    await admin.close()
    producer = await start_producer(settings, client_id="test")
    await producer.send_and_wait(topic, b"value", partition=0)
    await producer.stop()
    sink, consumers = Values(), []

    async def start_noted(*arguments, **options):
        consumers.append(await start_consumer(*arguments, **options))
        return consumers[-1]

    async def start(service):
        await run_sink(service, sink, SinkOptions(topics=(topic,), membership=Membership.GROUP, interval_s=0.05))

    monkeypatch.setattr(sink_feed, "start_consumer", start_noted)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(run("audit_log", Settings(kafka=settings), start, signals=False))
        while not sink.found:
            await asyncio.sleep(0.05)
        consumers[0]._coordinator._coordination_task.cancel()
        assert await task == 1
    assert "has stopped tending its membership" in capsys.readouterr().err
    assert sink.mark == {SourcePartition(topic, 0): 1}
