"""A broker that forgets to end a transaction: readers must never see what was in it.

Apache Kafka 4.3 (KAFKA-20734) drops the markers of transactions that end while their partitions have no leader, as for
a moment after a single broker was killed and started. The records stay, unended, and the next transaction of the same
transactional id would commit them as its own. Here such records are made by a producer that never told the broker's
coordinator about its partitions.
"""

import asyncio
import uuid
from pathlib import Path

import pytest

from callstream.embedded_kafka import EmbeddedKafka
from runtime.checkpoint import Application, Checkpoint
from runtime.config import KafkaSettings
from runtime.kafka import ConfigResource, ConfigResourceType, TopicPartition, start_admin
from runtime.log import get_logger
from runtime.unended import Unended
from schemas.topics import changelog
from tests.faults.call_log import create_outputs
from tests.kafka_fixture import CACHE_DIR
from tests.reading import read_committed

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

TP = TopicPartition("calls.audio", 1)
TIMEOUT_MS = 60_000
DEADLINE_S = 90


async def believe_producers(kafka: KafkaSettings) -> None:
    """Let the broker take records of a transaction its coordinator does not know."""
    admin = await start_admin(kafka, client_id="test")
    trusting = {"transaction.partition.verification.enable": "false"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", configs=trusting)])
    await admin.close()


async def leave_unended(checkpoint: Checkpoint, topic: str) -> None:
    producer, tp = checkpoint._producer, TopicPartition(topic, TP.partition)
    await producer.begin_transaction()
    producer._txn_manager._txn_partitions.add(tp)
    await producer.send_and_wait(topic, value=b"never ended", key=b"key", partition=TP.partition)
    await checkpoint.close(0.5)


async def write_once(checkpoint: Checkpoint, topic: str) -> None:
    producer = checkpoint._producer
    await producer.begin_transaction()
    await producer.send_and_wait(topic, value=b"once", key=b"key", partition=TP.partition)
    await producer.commit_transaction()
    await checkpoint.close()


async def ended(finder: Unended) -> None:
    """Wait for the marker: a commit is answered before it is written."""
    async with asyncio.timeout(DEADLINE_S):
        while await finder(TP.partition):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("looked_for", [True, False])
async def test_the_next_owner_commits_what_nobody_ended_unless_it_looks_for_it(
    tmp_path: Path, looked_for: bool
) -> None:
    async with EmbeddedKafka(tmp_path / "kafka", cache_dir=CACHE_DIR) as broker:
        kafka = KafkaSettings(
            bootstrap_servers=broker.bootstrap_servers, topic_prefix=f"replay.markers-{uuid.uuid4().hex}."
        )
        await create_outputs(kafka, ["calls.activity"])
        await believe_producers(kafka)
        application = Application("silence", kafka.topic_prefix)
        written = application.topic("calls.activity")
        await leave_unended(await Checkpoint.open(kafka, application, TP, TIMEOUT_MS), written)
        heir = await Checkpoint.open(kafka, application, TP, TIMEOUT_MS)
        finder = Unended(kafka, "test", [written, application.topic(changelog("silence").name)], get_logger("test"))
        assert await finder(TP.partition) == [written]
        assert await finder(0) == []
        if looked_for:
            await heir.end_unended([written])
        await write_once(heir, written)
        await ended(finder)
        await finder.close()
        rows = (await read_committed(kafka, written, TP.partition + 1))[TP.partition]
        assert [record.value for record in rows] == ([] if looked_for else [b"never ended"]) + [b"once"]
