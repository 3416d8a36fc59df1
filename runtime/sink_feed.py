"""Kafka as a sink's feed: group membership or all partitions, dead letters, and offsets for tools that show lag.

Like every component a sink reads the topics as they are named, and writes under the topic prefix: its dead letters and
its group are a replay's own.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any

from runtime.config import KafkaSettings
from runtime.deadletter import headers, kept
from runtime.errors import Unavailable
from runtime.kafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    RebalanceListener,
    TopicPartition,
    connect_with_retry,
    partition_counts,
    start_consumer,
    start_producer,
    stop_quietly,
    translated,
)
from runtime.membership import poll
from runtime.service import Service
from runtime.sink import DeadRecord, Entry, Membership, Polled, Sink, SinkOptions, SourcePartition, SourceRecord
from runtime.sink_host import SinkHost
from runtime.watchdog import Watchdog, kafka_answers
from schemas.topics import dead_letters

_POLL_MS = 200
_MAX_RECORDS = 2000
_ANSWER_S = 15.0
_COMMIT_S = 3.0


async def run_sink(service: Service[Any], sink: Sink[Entry], options: SinkOptions) -> None:
    """Run a sink until the service stops. Waits, not ready, while Kafka or a topic is absent.

    Raises `ConfigError` when the log no longer holds what the store asks for, `GroupLost` and `Stuck` after a drain.
    """
    host = SinkHost(service, sink, options)
    feed = KafkaFeed(service.settings.kafka, host, sink.group, options)

    def waiting(error: Unavailable) -> None:
        service.health.ready("kafka", ok=False, why=str(error))

    service.health.ready("store", ok=False, why="not asked yet")
    opened = await connect_with_retry(feed.open, stopping=service.stopping, on_wait=waiting)
    try:
        if opened:
            service.health.ready("kafka", ok=True)
            await _run_watched(service, host, feed, f"{sink.group}-watchdog")
    finally:
        await feed.close()


async def _run_watched(service: Service[Any], host: SinkHost[Any], feed: "KafkaFeed", client_id: str) -> None:
    settings, topic = service.settings, feed.topics[0]

    async def watch() -> None:
        watchdog = Watchdog(
            settings.service.stuck_after_s,
            pending=host.pending,
            answers=lambda: kafka_answers(settings.kafka, topic, client_id),
        )
        host.fail(await watchdog.stuck())

    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch())
        try:
            await host.run(feed)
        finally:
            watching.cancel()


class KafkaFeed(RebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """One consumer of a sink's topics and the producer of its dead letters. See `Feed`."""

    def __init__(self, kafka: KafkaSettings, host: SinkHost[Any], group: str, options: SinkOptions) -> None:
        self._kafka = kafka
        self._host = host
        self._group = group
        self._options = options
        self.topics = options.topics
        self._client_id = f"{kafka.topic_prefix}{group}"
        self._dead_letters = f"{kafka.topic_prefix}{dead_letters(group).name}"
        self._paused: set[TopicPartition] = set()
        self._consumer: AIOKafkaConsumer | None = None
        self._producer: AIOKafkaProducer | None = None

    async def open(self) -> bool:
        """Connect. Raises `Unavailable` while a broker or a topic is absent; then it may be called again."""
        names = list(self._options.topics)
        counts = await partition_counts(self._kafka, [*names, self._dead_letters], self._client_id)
        missing = sorted({*names, self._dead_letters} - set(counts))
        if missing:
            message = f"topics are missing: {', '.join(missing)}; `callstream topics apply` creates them"
            raise Unavailable(message)
        if self._producer is None:
            self._producer = await start_producer(self._kafka, client_id=f"{self._client_id}-dlq")
        if self._options.membership is Membership.GROUP:
            self._consumer = await start_consumer(
                self._kafka, client_id=self._client_id, group=self._client_id, listener=self, topics=names
            )
            self._consumer.pause(*self._paused)
        else:
            self._consumer = await start_consumer(self._kafka, client_id=self._client_id, group_id=self._client_id)
            everything = [TopicPartition(name, number) for name in names for number in range(counts[name])]
            self._consumer.assign(everything)
            self.on_partitions_assigned(everything)
        return True

    async def close(self) -> None:
        """Leave the group and disconnect."""
        for client in (self._consumer, self._producer):
            if client is not None:
                await stop_quietly(client)

    # --- group membership ----------------------------------------------------------------------------------------

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Pause first, before anything is fetched; the host seeks and resumes."""
        partitions = list(assigned)
        if self._consumer is not None:
            self._consumer.pause(*partitions)
        self._paused = set(partitions)
        self._host.assigned([self._source(tp) for tp in partitions])

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002 - always all
        """Let the write in progress end; the eager protocol takes everything away."""
        await self._host.revoked()

    # --- what the host asks --------------------------------------------------------------------------------------

    async def poll(self) -> Polled:
        """See `Feed.poll`."""
        polled = await poll(self._running, _POLL_MS, _MAX_RECORDS)
        return {self._source(tp): records for tp, records in polled.items()}

    async def bounds(self, partitions: Collection[SourcePartition]) -> Mapping[SourcePartition, tuple[int, int]]:
        """See `Feed.bounds`."""
        wanted = [self._target(partition) for partition in partitions]
        with translated():
            async with asyncio.timeout(_ANSWER_S):
                first = await self._running.beginning_offsets(wanted)
                end = await self._running.end_offsets(wanted)
        return {self._source(tp): (first[tp], end[tp]) for tp in wanted}

    def start(self, partition: SourcePartition, offset: int) -> None:
        """See `Feed.start`."""
        tp = self._target(partition)
        self._running.seek(tp, offset)
        self._running.resume(tp)

    def pause(self, partitions: Collection[SourcePartition]) -> None:
        """See `Feed.pause`."""
        self._running.pause(*self._assigned(partitions))

    def resume(self, partitions: Collection[SourcePartition]) -> None:
        """See `Feed.resume`."""
        self._running.resume(*self._assigned(partitions))

    async def dead_letter(self, partition: SourcePartition, record: SourceRecord, dead: DeadRecord) -> None:
        """See `Feed.dead_letter`."""
        try:
            with translated():
                async with asyncio.timeout(_ANSWER_S):
                    await self._send(partition, record, dead)
        except Unavailable:
            # an idempotent producer may be unable to go on after an outage: the next try gets a new one
            producer, self._producer = self._producer, None
            await stop_quietly(producer)
            raise

    async def _send(self, partition: SourcePartition, record: SourceRecord, dead: DeadRecord) -> None:
        if self._producer is None:
            self._producer = await start_producer(self._kafka, client_id=f"{self._client_id}-dlq")
        batch = self._producer.create_batch()
        batch.append(
            key=record.key,
            value=kept(partition.topic, record.value),
            timestamp=record.timestamp,
            headers=headers(
                error=dead.error,
                stage="plan",
                topic=partition.topic,
                partition=partition.partition,
                offset=record.offset,
                group=self._group,
                error_class="InvalidRecord",
            ),
        )
        await (await self._producer.send_batch(batch, self._dead_letters, partition=partition.partition))

    async def commit(self, marks: Mapping[SourcePartition, int]) -> None:
        """See `Feed.commit`."""
        with suppress(Exception):
            async with asyncio.timeout(_COMMIT_S):
                await self._running.commit({self._target(partition): mark for partition, mark in marks.items()})

    def behind(self, partition: SourcePartition, offset: int) -> int:
        """See `Feed.behind`."""
        tp = self._target(partition)
        with suppress(Exception):
            return max(0, (self._running.highwater(tp) or 0) - offset)
        return 0

    @property
    def _running(self) -> AIOKafkaConsumer:
        return self._consumer

    def _assigned(self, partitions: Collection[SourcePartition]) -> list[TopicPartition]:
        assignment = self._running.assignment()
        return [tp for tp in map(self._target, partitions) if tp in assignment]

    @staticmethod
    def _source(tp: TopicPartition) -> SourcePartition:
        return SourcePartition(tp.topic, tp.partition)

    @staticmethod
    def _target(partition: SourcePartition) -> TopicPartition:
        return TopicPartition(partition.topic, partition.partition)
