"""Reads what is committed on a topic, for tests that compare it."""

import asyncio
from contextlib import suppress

from runtime.config import KafkaSettings
from runtime.kafka import ConsumerRecord, TopicPartition, start_consumer

ATTEMPT_S = 10
ATTEMPTS = 5


async def read_committed(kafka: KafkaSettings, topic: str, partitions: int) -> list[list[ConsumerRecord]]:
    """Every committed record of a topic up to where it ends now, by partition.

    A reader that gets nowhere is replaced: the client's own trouble must not look like missing records.
    """
    for _ in range(ATTEMPTS - 1):
        with suppress(TimeoutError):
            return await _attempt(kafka, topic, partitions)
    return await _attempt(kafka, topic, partitions)


async def _attempt(kafka: KafkaSettings, topic: str, partitions: int) -> list[list[ConsumerRecord]]:
    consumer = await start_consumer(kafka, client_id="check", auto_offset_reset="earliest")
    found: list[list[ConsumerRecord]] = []
    try:
        async with asyncio.timeout(ATTEMPT_S):
            for number in range(partitions):
                tp = TopicPartition(topic, number)
                consumer.assign([tp])
                end = (await consumer.end_offsets([tp]))[tp]
                consumer.seek(tp, 0)
                rows: list[ConsumerRecord] = []
                while await consumer.position(tp) < end:
                    rows += (await consumer.getmany(tp, timeout_ms=200)).get(tp, [])
                found.append(rows)
    finally:
        await consumer.stop()
    return found
