import uuid
from contextlib import asynccontextmanager

import pytest

from callstream.replay import log_reader as module
from callstream.replay.log_reader import log_reader
from runtime.config import KafkaSettings, RegistrySettings
from runtime.errors import ConfigError, Unavailable
from runtime.kafka import NewTopic, RecordsToDelete, TopicPartition, admin_client, start_producer
from runtime.registry import Registry
from schemas.codec import SchemaStore

pytestmark = pytest.mark.kafka


@pytest.fixture
async def log(kafka):
    """A topic of two partitions; on 0 ten records a second apart."""
    settings = KafkaSettings(bootstrap_servers=kafka)
    name = f"log.{uuid.uuid4().hex}"
    async with admin_client(settings, "test") as admin:
        await admin.create_topics([NewTopic(name, 2, 1, topic_configs={"retention.ms": "-1"})])
    producer = await start_producer(settings, client_id="test")
    for number in range(10):
        await producer.send_and_wait(name, b"%d" % number, partition=0, timestamp_ms=1_000_000 + 1000 * number)
    await producer.stop()
    return settings, TopicPartition(name, 0), TopicPartition(name, 1)


@asynccontextmanager
async def reading(settings):
    async with log_reader(settings, Registry(RegistrySettings()), SchemaStore()) as reader:
        yield reader


async def read(reader, stretches):
    found = []

    async def take(tp, records):
        found.extend((tp.partition, record.value) for record in records)

    await reader.read(stretches, take)
    return found


async def test_a_stretch_is_read_from_its_first_to_before_its_last_offset_again_and_again(log):
    settings, full, empty = log
    async with reading(settings) as reader:
        assert await reader.bounds([full, empty]) == {full: (0, 10), empty: (0, 0)}
        assert await reader.bounds([]) == {}
        for _ in range(2):
            assert await read(reader, {full: (3, 6), empty: (0, 0)}) == [(0, b"3"), (0, b"4"), (0, b"5")]
        assert await read(reader, {}) == []


async def test_offsets_are_found_by_time_and_first_records_by_offset(log):
    settings, full, empty = log
    async with reading(settings) as reader:
        assert await reader.offsets({full: 1_003_001, empty: 0}) == {full: 4}
        assert await reader.offsets({full: 2_000_000}) == {}
        assert await reader.offsets({}) == {}
        first = await reader.first_records({full: (4, 10), empty: (0, 0)})
        assert {tp: record.offset for tp, record in first.items()} == {full: 4}


async def test_a_log_that_lost_the_offset_is_said_and_never_jumped_over(log):
    settings, full, _ = log
    async with admin_client(settings, "test") as admin:
        await admin.delete_records({full: RecordsToDelete(5)})
    async with reading(settings) as reader:
        with pytest.raises(ConfigError, match="no longer holds"):
            await read(reader, {full: (2, 10)})


async def test_a_log_that_stays_silent_is_given_up(log, monkeypatch):
    settings, full, _ = log
    monkeypatch.setattr(module, "_STALL_S", 0.3)
    async with reading(settings) as reader:
        with pytest.raises(Unavailable, match="nothing was read of log"):
            await read(reader, {full: (0, 20)})


class Asked:
    """A registry that knows nothing."""

    configured = True

    def __init__(self):
        self.ids = []

    async def resolve(self, ids, store):
        self.ids += sorted(ids)


async def test_a_registry_is_asked_once_for_what_is_not_known(log):
    settings, full, _ = log
    producer = await start_producer(settings, client_id="test")
    for _ in range(2):
        await producer.send_and_wait(full.topic, b"\x00\x00\x00\x00\x07body", partition=0)
    await producer.stop()
    asked = Asked()
    async with log_reader(settings, asked, SchemaStore()) as reader:
        assert len(await read(reader, {full: (0, 12)})) == 12
    assert asked.ids.count(7) == 1
