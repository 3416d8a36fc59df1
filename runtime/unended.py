"""Finds records of transactions that nobody ended, on the topics a task writes.

A broker owes each transaction a marker on each of its partitions, and it may forget that: Apache Kafka 4.3 drops the
markers of a transaction that ends while a partition has no leader (KAFKA-20734), as for a moment after a single broker
was killed and started. The records stay behind, and the next transaction of the same id would commit them as its own.
"""

import asyncio
from collections.abc import Sequence

from runtime.config import KafkaSettings
from runtime.kafka import AIOKafkaConsumer, TopicPartition, start_consumer, stop_quietly, translated
from runtime.log import Logger

_ANSWER_S = 15.0
_VIEWS = ("read_committed", "read_uncommitted")


class Unended:
    """Compares where committed records end with where all records end. One per worker; connects when first asked."""

    def __init__(self, kafka: KafkaSettings, client_id: str, topics: Sequence[str], log: Logger) -> None:
        self._kafka = kafka
        self._client_id = client_id
        self._topics = tuple(topics)
        self._log = log
        self._consumers: dict[str, AIOKafkaConsumer] = {}
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, partition: int) -> list[str]:
        """Return the topics, by full name, that hold unended records in a partition only one id writes to.

        Ask when that id was just taken over, so that no transaction is open. Raises `Unavailable`.
        """
        partitions = [TopicPartition(topic, partition) for topic in self._topics]
        async with self._one_at_a_time:
            try:
                with translated():
                    async with asyncio.timeout(_ANSWER_S):
                        committed, written = [await self._ends(view, partitions) for view in _VIEWS]
            except Exception:
                await self.close()
                raise
        found = [tp.topic for tp in partitions if committed[tp] < written[tp]]
        if found:
            self._log.warning("records without the end of their transaction", partition=partition, topics=found)
        return found

    async def close(self) -> None:
        """Stop the consumers."""
        consumers, self._consumers = list(self._consumers.values()), {}
        for consumer in consumers:
            await stop_quietly(consumer)

    async def _ends(self, view: str, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        if view not in self._consumers:
            self._consumers[view] = await start_consumer(self._kafka, client_id=self._client_id, isolation_level=view)
        return dict(await self._consumers[view].end_offsets(partitions))
