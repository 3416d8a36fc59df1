"""How a task's work becomes durable: outputs, dead letters and state of one input partition in one transaction.

Each input partition has a producer of its own whose transactional id names the partition, so that starting it fences
whoever processed the partition before. The position stands in the changelog record, not in the group: the group's
offset rides along for lag tools and is never read.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.config import KafkaSettings
from runtime.errors import StateCorrupted, StateTooLarge
from runtime.kafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    TopicPartition,
    start_consumer,
    start_producer,
    stop_quietly,
    translated,
)
from runtime.task import Frozen, Output
from schemas.codec import SchemaStore
from schemas.errors import InvalidRecord
from schemas.records import ChangelogEntry
from schemas.topics import changelog

BATCH_BYTES = 512 * 1024
MAX_STATE_BYTES = 8 * 2**20
"""A larger state is an error with a name: something keeps what it should forget."""
_START_DEADLINE_S = 30.0
_FIRST_STEPS_BACK = 1
_STEP_FACTOR = 8

Step = Callable[[str], None]
"""Called before each numbered step of a commit with its name; faults are injected here."""


@dataclass(frozen=True, slots=True)
class Application:
    """Under which names a processor runs: live, or beside it under a prefix that touches nothing live.

    `prefix` stands before every output topic, the group, the transactional ids and the state topics.
    """

    group: str
    prefix: str = ""

    @property
    def application_id(self) -> str:
        """Consumer group and first part of every transactional id."""
        return f"{self.prefix}{self.group}"

    def topic(self, catalogue_name: str) -> str:
        """Return the name of an output topic."""
        return f"{self.prefix}{catalogue_name}"

    @property
    def changelog_topic(self) -> str:
        """Name of the changelog topic."""
        return self.topic(changelog(self.group).name)

    def transactional_id(self, input_topic: str, partition: int) -> str:
        """Return the id that fences one input partition."""
        return f"{self.application_id}.{input_topic}.{partition}"


def changelog_key(input_topic: str, partition: int) -> bytes:
    """Return the key of a partition's changelog records."""
    return f"{input_topic}/{partition}".encode()


class Checkpoint:
    """The transactional producer of one input partition."""

    def __init__(self, application: Application, tp: TopicPartition, producer: AIOKafkaProducer) -> None:
        self._application = application
        self._input = tp
        self._producer = producer

    @classmethod
    async def open(
        cls, kafka: KafkaSettings, application: Application, tp: TopicPartition, transaction_timeout_ms: int
    ) -> "Checkpoint":
        """Take the partition's transactional id over: whoever held it is fenced, its open transaction aborted.

        Raises `Unavailable` when the broker does not answer in time.
        """
        with translated():
            async with asyncio.timeout(_START_DEADLINE_S):
                producer = await start_producer(
                    kafka,
                    client_id=f"{application.application_id}-{tp.partition}",
                    transactional_id=application.transactional_id(tp.topic, tp.partition),
                    transaction_timeout_ms=transaction_timeout_ms,
                    max_batch_size=BATCH_BYTES,
                    max_request_size=2 * MAX_STATE_BYTES,
                )
        return cls(application, tp, producer)

    async def commit(self, frozen: Frozen, deadline_s: float, before: Step = lambda _: None) -> None:
        """Make one step's outputs, position and state durable, all or none.

        1. begin            a crash here: nothing happened
        2. outputs          a crash up to 6: the transaction is aborted by the next owner or the broker's timeout;
        3. state            readers of committed records never see it, the next owner restores the former state
        4. await all        a rejected record fails its own future only: every one is looked at, and one failure aborts
        5. offsets          for lag tools
        6. commit           a crash before the broker took it: as above; after: the next owner restores this state

        Raises `Fenced` when another owner took over, `Unavailable` when the deadline passes (the outcome is then open:
        the caller must reopen and restore), `InvalidRecord` when the broker refused a record, `StateTooLarge`. After
        any of them this object must be closed.
        """
        if len(frozen.entry.state) > MAX_STATE_BYTES:
            message = f"the state of {self._input} has {len(frozen.entry.state)} bytes, the limit is {MAX_STATE_BYTES}"
            raise StateTooLarge(message)
        with translated():
            async with asyncio.timeout(deadline_s):
                before("begin")
                await self._producer.begin_transaction()
                before("outputs")
                futures = await self._send_outputs(frozen.outputs)
                before("state")
                futures.append(await self._send_state(frozen.state_value))
                before("await")
                await asyncio.gather(*futures)
                before("offsets")
                offsets = {self._input: frozen.entry.position}
                await self._producer.send_offsets_to_transaction(offsets, self._application.application_id)
                before("commit")
                await self._producer.commit_transaction()

    async def end_unended(self, topics: Sequence[str]) -> None:
        """Abort what an earlier transaction of this id left without an end in our partition of these (full) names.

        The marker of one more aborted transaction ends it: else the next commit would show it to readers as its own.
        """
        with translated():
            async with asyncio.timeout(_START_DEADLINE_S):
                await self._producer.begin_transaction()
                futures = []
                for topic in topics:
                    batch = self._producer.create_batch()
                    batch.append(key=b"never seen", value=b"", timestamp=None, headers=[])
                    futures.append(await self._send(batch, topic))
                await asyncio.gather(*futures)
                await self._producer.abort_transaction()

    async def forget(self, deadline_s: float) -> None:
        """Declare the partition's state gone; who restores it next begins anew. Raises as `commit` does."""
        with translated():
            async with asyncio.timeout(deadline_s):
                await self._producer.begin_transaction()
                await (await self._send_state(None))
                await self._producer.commit_transaction()

    async def close(self, budget_s: float = 2.0) -> None:
        """Stop the producer. An open transaction is left for the next owner or the broker to abort."""
        await stop_quietly(self._producer, budget_s)

    async def _send_outputs(self, outputs: Sequence[Output]) -> list[Any]:
        by_topic: dict[str, list[Output]] = {}
        for output in outputs:
            by_topic.setdefault(output.topic, []).append(output)
        futures = []
        for topic, records in by_topic.items():
            name = self._application.topic(topic)
            batch = self._producer.create_batch()
            for record in records:
                if self._append(batch, record) is None:
                    futures.append(await self._send(batch, name))
                    batch = self._producer.create_batch()
                    self._append(batch, record)
            futures.append(await self._send(batch, name))
        return futures

    async def _send(self, batch: Any, topic: str) -> Any:
        future = await self._producer.send_batch(batch, topic, partition=self._input.partition)
        # when a later send raises nobody awaits this one, and its error says nothing new
        future.add_done_callback(lambda sent: sent.cancelled() or sent.exception())
        return future

    @staticmethod
    def _append(batch: Any, record: Output) -> Any:
        return batch.append(
            key=record.key, value=record.value, timestamp=record.timestamp_ms, headers=list(record.headers)
        )

    async def _send_state(self, value: bytes | None) -> Any:
        batch = self._producer.create_batch()
        key = changelog_key(self._input.topic, self._input.partition)
        batch.append(key=key, value=value, timestamp=None, headers=[])
        return await self._send(batch, self._application.changelog_topic)


@dataclass(frozen=True, slots=True)
class Restored:
    """What the changelog holds of a partition: its newest entry and the offset of that record.

    The offset is -1 where there never was a record. An offset without an entry is a reset: begin anew.
    """

    entry: ChangelogEntry | None = None
    offset: int = -1


class ChangelogReader:
    """Reads the newest committed changelog record of a partition. One per worker; connects when it is first needed."""

    def __init__(self, kafka: KafkaSettings, application: Application, store: SchemaStore) -> None:
        self._kafka = kafka
        self._application = application
        self._store = store
        self._consumer: AIOKafkaConsumer | None = None
        self._one_at_a_time = asyncio.Lock()

    async def close(self) -> None:
        """Stop the consumer."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop_quietly(consumer)

    async def read(self, input_topic: str, partition: int) -> Restored:
        """Return the newest committed entry.

        Looks 1, 8, 64 … records back from the last stable offset: aborted records and transaction markers lie between.
        Must be called after the partition's id was taken over, so that nothing is pending. Raises `Unavailable`, and
        `StateCorrupted` for a record that is no entry.
        """
        tp = TopicPartition(self._application.changelog_topic, partition)
        async with self._one_at_a_time:
            try:
                with translated():
                    async with asyncio.timeout(_START_DEADLINE_S):
                        offset, value = await self._newest(tp, changelog_key(input_topic, partition))
            except Exception:
                # after an outage a consumer may stay silent for ever: the next read gets a new one
                await self.close()
                raise
        return Restored(None if value is None else self._decode(value, tp, offset), offset)

    async def _newest(self, tp: TopicPartition, key: bytes) -> tuple[int, bytes | None]:
        if self._consumer is None:
            self._consumer = await start_consumer(
                self._kafka,
                client_id=f"{self._application.application_id}-restore",
                max_partition_fetch_bytes=2 * MAX_STATE_BYTES,
                # it seeks before every read; a reset can only meet the moment between assigning and seeking
                auto_offset_reset="earliest",
            )
        self._consumer.assign([tp])
        first = (await self._consumer.beginning_offsets([tp]))[tp]
        end = (await self._consumer.end_offsets([tp]))[tp]
        back = _FIRST_STEPS_BACK
        while True:
            start = max(first, end - back)
            offset, value = await self._last_of(tp, key, start, end)
            if offset >= 0 or start == first:
                return offset, value
            back *= _STEP_FACTOR

    async def _last_of(self, tp: TopicPartition, key: bytes, start: int, end: int) -> tuple[int, bytes | None]:
        consumer: AIOKafkaConsumer = self._consumer
        consumer.seek(tp, start)
        offset, value = -1, None
        while await consumer.position(tp) < end:
            batches = await consumer.getmany(tp, timeout_ms=200)
            for record in batches.get(tp, []):
                if record.key == key:
                    offset, value = record.offset, record.value
        return offset, value

    def _decode(self, value: bytes, tp: TopicPartition, offset: int) -> ChangelogEntry:
        try:
            return self._store.decode(value, ChangelogEntry)
        except InvalidRecord as error:
            message = f"the record at {tp.topic}/{tp.partition} offset {offset} is no entry of a changelog: {error}"
            raise StateCorrupted(message) from error


async def reset(kafka: KafkaSettings, application: Application, tp: TopicPartition) -> None:
    """Make a partition's processing begin anew: its former owner is fenced, its state is declared gone.

    Raises `Unavailable`.
    """
    checkpoint = await Checkpoint.open(kafka, application, tp, transaction_timeout_ms=10_000)
    try:
        await checkpoint.forget(_START_DEADLINE_S)
    finally:
        await checkpoint.close()
