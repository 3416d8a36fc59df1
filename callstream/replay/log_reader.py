"""Reads stretches of topics without any group: bounds, offsets by time, and the committed records between offsets.

Where there is a registry, it is asked what the schema ids of records mean before anybody gets to see them.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from audio.frames import unknown_ids
from runtime.config import KafkaSettings
from runtime.kafka import (
    AIOKafkaConsumer,
    ConsumerRecord,
    TopicPartition,
    start_consumer,
    stop_quietly,
    translated,
)
from runtime.registry import Registry
from schemas.codec import SchemaStore

CLIENT_ID = "callstream-replay"
_ANSWER_S = 30.0
_STALL_S = 60.0
_POLL_MS = 200
_MAX_RECORDS = 2000

Stretch = tuple[int, int]
"""First offset, and the one after the last."""
Take = Callable[[TopicPartition, Sequence[ConsumerRecord]], Awaitable[None]]


class LogReader:
    """One consumer that is assigned what is read next."""

    def __init__(self, consumer: AIOKafkaConsumer, registry: Registry, store: SchemaStore) -> None:
        self._consumer = consumer
        self._registry = registry
        self._store = store
        self._asked: set[int] = set()

    async def bounds(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Stretch]:
        """Return what each partition holds. Raises `Unavailable`."""
        wanted = list(partitions)
        if not wanted:
            return {}
        with translated():
            async with asyncio.timeout(_ANSWER_S):
                begins = await self._consumer.beginning_offsets(wanted)
                ends = await self._consumer.end_offsets(wanted)
        return {tp: (begins[tp], ends[tp]) for tp in wanted}

    async def offsets(self, times_ms: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Return the first offset with a record at or after each time; absent where there is none."""
        if not times_ms:
            return {}
        with translated():
            async with asyncio.timeout(_ANSWER_S):
                found = await self._consumer.offsets_for_times(dict(times_ms))
        return {tp: place.offset for tp, place in found.items() if place is not None}

    async def first_records(self, stretches: Mapping[TopicPartition, Stretch]) -> dict[TopicPartition, ConsumerRecord]:
        """Return the first record of each stretch; absent where it holds none."""
        found: dict[TopicPartition, ConsumerRecord] = {}

        async def take(tp: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
            found.setdefault(tp, records[0])
            self._consumer.seek(tp, stretches[tp][1])

        await self.read(stretches, take)
        return found

    async def read(self, stretches: Mapping[TopicPartition, Stretch], take: Take) -> None:
        """Hand over every committed record of each stretch, in the order of its partition.

        Raises `Unavailable` when nothing comes for a minute, `ConfigError` when the log has lost the next offset.
        """
        left = {tp: stretch for tp, stretch in stretches.items() if stretch[0] < stretch[1]}
        if not left:
            return
        with translated():
            self._consumer.assign(list(left))
            for tp, (first, _) in left.items():
                self._consumer.seek(tp, first)
        loop = asyncio.get_running_loop()
        heard_s = loop.time()
        while left:
            for tp, records in (await self._poll()).items():
                wanted = [record for record in records if record.offset < stretches[tp][1]]
                if wanted:
                    await self._ask([record.value for record in wanted])
                    await take(tp, wanted)
                heard_s = loop.time()
            await self._leave_what_is_read(left)
            if loop.time() - heard_s > _STALL_S:
                with translated():
                    message = f"nothing was read of {', '.join(f'{tp.topic}/{tp.partition}' for tp in left)}"
                    raise TimeoutError(message)

    async def _ask(self, values: Sequence[bytes | None]) -> None:
        """Learn schemas that are not known yet; those the registry does not know either make dead letters."""
        while self._registry.configured and (unknown := unknown_ids(values, self._store) - self._asked):
            await self._registry.resolve(unknown, self._store)
            self._asked |= unknown

    async def _poll(self) -> dict[TopicPartition, list[ConsumerRecord]]:
        with translated():
            return dict(await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=_MAX_RECORDS))

    async def _leave_what_is_read(self, left: dict[TopicPartition, Stretch]) -> None:
        with translated():
            async with asyncio.timeout(_ANSWER_S):
                for tp, (_, end) in list(left.items()):
                    if await self._consumer.position(tp) >= end:
                        del left[tp]
                        self._consumer.pause(tp)


@asynccontextmanager
async def log_reader(kafka: KafkaSettings, registry: Registry, store: SchemaStore) -> AsyncIterator[LogReader]:
    """Yield a reader. Raises `Unavailable` when no broker answers."""
    consumer = await start_consumer(kafka, client_id=CLIENT_ID)
    try:
        yield LogReader(consumer, registry, store)
    finally:
        await stop_quietly(consumer)
