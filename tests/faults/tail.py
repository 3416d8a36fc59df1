"""Reads topics from their beginnings and goes on, through outages of the broker, for as long as a run lasts."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from runtime.config import KafkaSettings
from runtime.errors import Unavailable
from runtime.kafka import TopicPartition, start_consumer, stop_quietly, translated

TAIL_S = 8


class Tail:
    """All records of topics so far, each partition's in order; after an outage some may come twice."""

    def __init__(
        self, kafka: KafkaSettings, topics: Sequence[str], partitions: int, take: Callable[[Any], None]
    ) -> None:
        self._kafka = kafka
        self._positions = {TopicPartition(topic, number): 0 for topic in topics for number in range(partitions)}
        self._take = take

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            try:
                await self._read()
            except (Unavailable, TimeoutError):
                await asyncio.sleep(0.5)

    async def _read(self) -> None:
        consumer = await start_consumer(self._kafka, client_id="chaos-tail", auto_offset_reset="earliest")
        try:
            consumer.assign(list(self._positions))
            for tp, position in self._positions.items():
                consumer.seek(tp, position)
            # after an outage a consumer may stay silent for ever: each is replaced before long
            end_s = asyncio.get_running_loop().time() + TAIL_S
            while asyncio.get_running_loop().time() < end_s:
                with translated():
                    polled = await consumer.getmany(timeout_ms=200)
                for tp, records in polled.items():
                    for record in records:
                        self._take(record)
                        self._positions[tp] = record.offset + 1
        finally:
            await stop_quietly(consumer)
