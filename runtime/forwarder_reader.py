"""Reads stretches of a partition beside the group: what a new owner must know before it plans its first record."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from runtime.config import KafkaSettings
from runtime.kafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition, start_consumer, stop_quietly, translated
from runtime.opening import bounds

T = TypeVar("T")
ANSWER_S = 15.0
"""How long reading may make no progress."""
_POLL_MS = 200
_MAX_RECORDS = 1_000
_FETCH_WAIT_MS = 5
"""The fetch that waits behind the end of one stretch delays the next."""
_STEP_FACTOR = 8

Handle = Callable[[Sequence[ConsumerRecord]], Awaitable[None]]


class LogReader:
    """A consumer without a group, one stretch at a time. Connects when it is first needed.

    Every method raises `Unavailable` when the broker does not answer; the next call gets a new consumer.
    """

    def __init__(self, kafka: KafkaSettings, client_id: str) -> None:
        self._kafka = kafka
        self._client_id = client_id
        self._consumer: Any = None
        self._one_at_a_time = asyncio.Lock()

    async def close(self) -> None:
        """Stop the consumer."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop_quietly(consumer)

    async def bounds(self, tp: TopicPartition) -> tuple[int, int]:
        """Return the first offset of a partition and the one behind its last committed record."""
        async with self._one_at_a_time:
            return await self._answer(lambda consumer: bounds(consumer, tp))

    async def last_before(self, tp: TopicPartition, first: int, offset: int) -> ConsumerRecord | None:
        """Return the last record before `offset`; None where there is none. `first` is where the log begins."""
        last: list[ConsumerRecord] = []

        async def keep(records: Sequence[ConsumerRecord]) -> None:
            last[:] = records[-1:] or last

        back = 1
        while not last and offset - back // _STEP_FACTOR > first:
            # what was compacted or aborted leaves holes
            await self.read(tp, max(first, offset - back), offset, keep)
            back *= _STEP_FACTOR
        return last[0] if last else None

    async def offset_at(self, tp: TopicPartition, at_ms: int) -> int | None:
        """Return the offset of the first record that is not older than `at_ms`; None where all are older."""
        async with self._one_at_a_time:
            found = await self._answer(lambda consumer: consumer.offsets_for_times({tp: max(0, at_ms)}))
        return None if found[tp] is None else int(found[tp].offset)

    async def read(self, tp: TopicPartition, start: int, end: int, handle: Handle) -> None:
        """Hand over what lies between two offsets, poll by poll."""
        async with self._one_at_a_time:
            try:
                await self._answer(lambda consumer: _go_to(consumer, tp, start))
                position = start
                while position < end:
                    records, position = await self._answer(lambda consumer: _next(consumer, tp))
                    if records:
                        await handle([record for record in records if record.offset < end])
            finally:
                # or it would go on fetching, with nobody to read it
                with suppress(Exception):
                    self._consumer.pause(tp)

    async def _answer(self, ask: Callable[[AIOKafkaConsumer], Awaitable[T]]) -> T:
        try:
            with translated():
                async with asyncio.timeout(ANSWER_S):
                    if self._consumer is None:
                        self._consumer = await start_consumer(
                            self._kafka,
                            client_id=self._client_id,
                            # it seeks before every read; a reset can only meet the moment between assigning and seeking
                            auto_offset_reset="earliest",
                            fetch_max_wait_ms=_FETCH_WAIT_MS,
                        )
                    return await ask(self._consumer)
        except Exception:
            # after an outage a consumer may stay silent for ever: the next question gets a new one
            await self.close()
            raise


async def _go_to(consumer: AIOKafkaConsumer, tp: TopicPartition, start: int) -> None:
    consumer.assign([tp])
    consumer.seek(tp, start)


async def _next(consumer: AIOKafkaConsumer, tp: TopicPartition) -> tuple[Sequence[ConsumerRecord], int]:
    """Return the next records and the position behind them, as soon as there is any progress."""
    before = await consumer.position(tp)
    while True:
        polled = await consumer.getmany(tp, timeout_ms=_POLL_MS, max_records=_MAX_RECORDS)
        position = await consumer.position(tp)
        if position > before:
            return polled.get(tp, []), position
