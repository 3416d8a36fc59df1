"""Reads the dead-letter topics from their first record to where they end now, and deletes from their front."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from callstream.dead_letters import DeadLetter
from runtime.config import KafkaSettings
from runtime.errors import ConfigError
from runtime.kafka import (
    AIOKafkaConsumer,
    ConsumerRecord,
    RecordsToDelete,
    TopicPartition,
    admin_client,
    partition_counts,
    start_consumer,
    stop_quietly,
    translated,
)
from schemas.topics import GROUPS, dead_letters

CLIENT_ID = "callstream-dead-letters"
_STALL_S = 30.0

Span = tuple[int, int]
"""First offset, and the one after the last."""


class DeadLetterTopics:
    """The dead-letter topics of some groups; `spans` holds what each of their partitions held when they were opened."""

    def __init__(
        self,
        kafka: KafkaSettings,
        consumer: AIOKafkaConsumer,
        groups: Mapping[str, str],
        spans: Mapping[str, list[Span]],
    ) -> None:
        self._kafka = kafka
        self._consumer = consumer
        self._groups = groups
        self.spans = spans
        """Group → the span of each partition. A group without a topic is absent."""

    async def each(self, take: Callable[[DeadLetter], None]) -> None:
        """Hand over every letter, in the order of its partition. Raises `Unavailable`."""
        await self._read(
            {self._partition(g, p): span for g, spans in self.spans.items() for p, span in enumerate(spans)}, take
        )

    async def one(self, group: str, partition: int, offset: int) -> DeadLetter:
        """Return one letter. Raises `ConfigError` where there is none, `Unavailable`."""
        first, end = self.span(group, partition)
        found: list[DeadLetter] = []
        if first <= offset < end:
            await self._read({self._partition(group, partition): (offset, offset + 1)}, found.append)
        if not found:
            message = f"{group}/{partition}/{offset}: there is no such dead letter"
            raise ConfigError([message])
        return found[0]

    def span(self, group: str, partition: int) -> Span:
        """Return what a partition holds. Raises `ConfigError` where the group has no such partition."""
        spans = self.spans[group]
        if not 0 <= partition < len(spans):
            message = f"{group}/{partition}: there are {len(spans)} partitions, from 0"
            raise ConfigError([message])
        return spans[partition]

    async def delete(self, group: str, ends: Mapping[int, int]) -> None:
        """Delete the letters of each partition before an offset. Raises `Unavailable`."""
        async with admin_client(self._kafka, CLIENT_ID) as admin:
            await admin.delete_records(
                {self._partition(group, number): RecordsToDelete(end) for number, end in ends.items()}
            )

    def _partition(self, group: str, number: int) -> TopicPartition:
        return TopicPartition(self._topic(group), number)

    def _topic(self, group: str) -> str:
        return next(topic for topic, owner in self._groups.items() if owner == group)

    async def _read(self, spans: Mapping[TopicPartition, Span], take: Callable[[DeadLetter], None]) -> None:
        reading = {tp: span for tp, span in spans.items() if span[0] < span[1]}
        if not reading:
            return
        with translated():
            self._consumer.assign(list(reading))
            for tp, (first, _) in reading.items():
                self._consumer.seek(tp, first)
            async with asyncio.timeout(_STALL_S) as stall:
                while any([await self._consumer.position(tp) < end for tp, (_, end) in reading.items()]):
                    batches = await self._consumer.getmany(timeout_ms=200, max_records=500)
                    for tp, records in batches.items():
                        for record in records:
                            if record.offset < reading[tp][1]:
                                take(_letter(self._groups[tp.topic], record))
                    if batches:
                        stall.reschedule(asyncio.get_running_loop().time() + _STALL_S)


@asynccontextmanager
async def dead_letter_topics(kafka: KafkaSettings, groups: Iterable[str]) -> AsyncIterator[DeadLetterTopics]:
    """Yield the dead-letter topics of these groups, as far as they exist.

    Raises `ConfigError` for an unknown group, `Unavailable` when no broker answers.
    """
    names = {}
    for group in groups:
        if group not in GROUPS:
            message = f"{group}: there is no such group; there are {', '.join(sorted(GROUPS))}"
            raise ConfigError([message])
        names[f"{kafka.topic_prefix}{dead_letters(group).name}"] = group
    counts = await partition_counts(kafka, names, CLIENT_ID)
    partitions = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
    consumer = await start_consumer(kafka, client_id=CLIENT_ID, auto_offset_reset="earliest")
    try:
        with translated():
            starts = await consumer.beginning_offsets(partitions)
            ends = await consumer.end_offsets(partitions)
        spans = {
            names[topic]: [
                (starts[TopicPartition(topic, number)], ends[TopicPartition(topic, number)]) for number in range(count)
            ]
            for topic, count in counts.items()
        }
        yield DeadLetterTopics(kafka, consumer, names, spans)
    finally:
        await stop_quietly(consumer)


def _letter(group: str, record: ConsumerRecord) -> DeadLetter:
    return DeadLetter(
        group, record.partition, record.offset, record.timestamp, record.key, record.value, tuple(record.headers)
    )
