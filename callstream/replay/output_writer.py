"""Writes the outputs of a replay through one idempotent producer, to explicit partitions, with explicit timestamps."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from runtime.config import KafkaSettings
from runtime.kafka import AIOKafkaProducer, start_producer, stop_quietly, translated
from runtime.task import Output

_CLIENT_ID = "callstream-replay"
_STORED_WITHIN_S = 60.0
_BATCH_BYTES = 512 * 1024
_LARGEST_BYTES = 4 * 2**20


class OutputWriter:
    """A producer under one prefix. `written` counts by topic (catalogue name)."""

    def __init__(self, producer: AIOKafkaProducer, prefix: str) -> None:
        self._producer = producer
        self._prefix = prefix
        self.written: Counter[str] = Counter()

    async def write(self, partition: int, outputs: Sequence[Output]) -> None:
        """Write outputs in order and return when all are stored.

        Raises `Unavailable` when that takes too long, `InvalidRecord` for one the broker refuses. Nothing may be
        written after that.
        """
        with translated():
            async with asyncio.timeout(_STORED_WITHIN_S):
                stored = [
                    await self._producer.send(
                        f"{self._prefix}{output.topic}",
                        value=output.value,
                        key=output.key,
                        partition=partition,
                        timestamp_ms=output.timestamp_ms,
                        headers=list(output.headers),
                    )
                    for output in outputs
                ]
                await asyncio.gather(*stored)
        self.written.update(output.topic for output in outputs)


@asynccontextmanager
async def output_writer(kafka: KafkaSettings) -> AsyncIterator[OutputWriter]:
    """Yield a writer under the prefix of the settings. Raises `Unavailable` when no broker answers."""
    producer = await start_producer(
        kafka, client_id=_CLIENT_ID, max_batch_size=_BATCH_BYTES, max_request_size=_LARGEST_BYTES
    )
    try:
        yield OutputWriter(producer, kafka.topic_prefix)
    finally:
        await stop_quietly(producer)
