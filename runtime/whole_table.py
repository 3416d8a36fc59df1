"""All of a compacted topic at once: the newest value of each key, read from the beginning to where it ends now."""

import asyncio

from runtime.config import KafkaSettings
from runtime.errors import Unavailable
from runtime.kafka import TopicPartition, partition_counts, start_consumer, stop_quietly, translated
from runtime.table_rows import Row

_STALL_S = 15.0
_POLL_MS = 200
_MAX_RECORDS = 1000


async def read_table(kafka: KafkaSettings, topic: str, client_id: str) -> tuple[dict[bytes, Row], int]:
    """Return key → its newest record, and the topic's partition count; records without a key say nothing.

    `topic` is a name with prefix.

    Raises `Unavailable` while the topic is missing, and where no broker answers.
    """
    count = (await partition_counts(kafka, [topic], client_id)).get(topic)
    if count is None:
        message = f"topic is missing: {topic}; `callstream topics apply` creates it"
        raise Unavailable(message)
    partitions = [TopicPartition(topic, number) for number in range(count)]
    rows: dict[bytes, Row] = {}
    consumer = await start_consumer(kafka, client_id=client_id)
    try:
        with translated():
            async with asyncio.timeout(_STALL_S) as stall:
                consumer.assign(partitions)
                first = await consumer.beginning_offsets(partitions)
                end = await consumer.end_offsets(partitions)
                for tp, offset in first.items():
                    consumer.seek(tp, offset)
                while any([await consumer.position(tp) < end[tp] for tp in partitions]):
                    polled = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_MAX_RECORDS)
                    for tp, records in polled.items():
                        for one in records:
                            if one.key is not None:
                                rows[one.key] = Row(one.key, one.value, tp.partition, one.offset, one.timestamp)
                    if polled:
                        stall.reschedule(asyncio.get_running_loop().time() + _STALL_S)
    finally:
        await stop_quietly(consumer)
    return {key: row for key, row in rows.items() if row.value is not None}, count
