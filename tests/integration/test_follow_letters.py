"""Dead letters of subscriptions on a real broker."""

import uuid

import pytest

from ingest.letters import Letters
from runtime.config import KafkaSettings
from runtime.kafka import NewTopic, TopicPartition, start_admin, start_consumer
from runtime.log import get_logger
from runtime.table_rows import Row
from schemas.topics import dead_letters

pytestmark = pytest.mark.kafka


async def test_a_letter_that_is_too_long_for_its_topic_is_named_and_blocks_no_other(kafka, capfd):
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex}.")
    topic = f"{settings.topic_prefix}{dead_letters('ingest').name}"
    admin = await start_admin(settings, client_id="test")
    await admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"max.message.bytes": "2000"})])
    await admin.close()
    letters = Letters(settings, "ingest", get_logger("test"))
    letters.put(Row(b"long", b"x" * 4000, 0, 0, 0), "it is nonsense")
    letters.put(Row(b"short", b"y", 0, 1, 0), "it is nonsense")
    await letters.flush()
    assert "a dead letter is too long" in capfd.readouterr().err
    consumer = await start_consumer(settings, client_id="check", auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, 0)])
    record = await consumer.getone()
    await consumer.stop()
    assert record.key == b"short"
