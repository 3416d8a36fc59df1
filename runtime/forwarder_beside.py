"""Reads another topic beside the input: the partitions the worker holds, from their ends, for what is of use now.

No group, no commits: who gets a partition begins at its end, and what was written meanwhile is not looked at. A
consumer that fails is replaced by one that begins at the ends again.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from audio.frames import unknown_ids
from runtime.asking import ask
from runtime.errors import Unavailable
from runtime.forwarding import Companion
from runtime.kafka import AIOKafkaConsumer, TopicPartition, start_consumer, stop_quietly, translated
from runtime.service import Service

ANSWER_S = 15.0
_POLL_MS = 50
_IDLE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_FETCH_WAIT_MS = 20
"""What comes this way is of use for half a second."""


class Beside:
    """The reader of one worker. `partitions` says which are held now."""

    def __init__(
        self,
        service: Service[Any],
        companion: Companion,
        topic: str,
        client_id: str,
        partitions: Callable[[], set[int]],
    ) -> None:
        self._service = service
        self._companion = companion
        self._topic = topic
        self._client_id = client_id
        self._partitions = partitions
        self._asked: set[int] = set()

    async def run(self) -> None:
        """Read until cancelled, through outages."""
        while True:
            try:
                await self._read()
            except Unavailable as error:
                self._service.log.warning("the topic beside the input cannot be read", error=str(error))
                await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_S))  # noqa: S311 - jitter, no secret

    async def _read(self) -> None:
        consumer = await start_consumer(
            self._service.settings.kafka,
            client_id=self._client_id,
            # only for the moment between assigning and seeking, and for what retention deletes under a slow reader
            auto_offset_reset="latest",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
        )
        try:
            positions: dict[TopicPartition, int] = {}
            while True:
                wanted = {TopicPartition(self._topic, number) for number in self._partitions()}
                if wanted != set(positions):
                    positions = await self._move(consumer, wanted, positions)
                if not positions:
                    await asyncio.sleep(_IDLE_S)
                    continue
                await self._poll(consumer, positions)
        finally:
            await stop_quietly(consumer)

    async def _move(
        self, consumer: AIOKafkaConsumer, wanted: set[TopicPartition], before: dict[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        """Read these partitions from now on, the new ones from their ends; return where each stands."""
        with translated():
            async with asyncio.timeout(ANSWER_S):
                new = sorted(wanted - set(before))
                ends = await consumer.end_offsets(new) if new else {}
                positions = {tp: before.get(tp, ends.get(tp, 0)) for tp in wanted}
                if not positions:
                    consumer.unsubscribe()
                    return positions
                consumer.assign(sorted(positions))
                for tp, position in positions.items():
                    consumer.seek(tp, position)
                return positions

    async def _poll(self, consumer: AIOKafkaConsumer, positions: dict[TopicPartition, int]) -> None:
        with translated():
            polled = await consumer.getmany(timeout_ms=_POLL_MS)
        for tp, records in polled.items():
            if not records or tp not in positions:
                continue
            values = [record.value for record in records]
            if self._service.registry.configured:
                missing = unknown_ids(values, self._service.store) - self._asked
                if missing:
                    await ask(self._service, missing, self._asked)
            positions[tp] = records[-1].offset + 1
            if tp.partition in self._partitions():
                self._companion.heard(tp.partition, values, [record.key for record in records])
