"""The dead letters of ingest: subscriptions that could not be followed, as received, with the reason.

They are rare, so each flush has a producer of its own. A record becomes one letter of each process that meets it: the
table is read again at every take-over.
"""

import asyncio
from collections import deque

from runtime.config import KafkaSettings
from runtime.deadletter import headers, kept
from runtime.errors import CallstreamError, InvalidRecord
from runtime.kafka import AIOKafkaProducer, start_producer, stop_quietly, translated
from runtime.log import Logger
from runtime.table_rows import Row
from schemas.topics import SUBSCRIPTIONS, dead_letters

_DEADLINE_S = 10.0
_MOST = 1_000
"""More do not wait: the topic itself still holds the records."""


class Letters:
    """What is to be written to the dead-letter topic of `group`."""

    def __init__(self, kafka: KafkaSettings, group: str, log: Logger) -> None:
        self._kafka = kafka
        self._group = group
        self._topic = f"{kafka.topic_prefix}{dead_letters(group).name}"
        self._log = log
        self._waiting: deque[tuple[Row, str]] = deque(maxlen=_MOST)
        self._known: set[tuple[int, int]] = set()

    def put(self, row: Row, error: str) -> None:
        """Let a record be written, unless it was before. `error` names the defect and quotes no content."""
        place = row.partition, row.offset
        if place not in self._known:
            self._known.add(place)
            self._waiting.append((row, error))

    async def flush(self) -> None:
        """Write what waits; where Kafka does not take it, it waits on."""
        if not self._waiting:
            return
        producer = None
        try:
            async with asyncio.timeout(_DEADLINE_S):
                producer = await start_producer(self._kafka, client_id=f"{self._group}-dlq")
                while self._waiting:
                    try:
                        await self._write(producer, *self._waiting[0])
                    except InvalidRecord as error:
                        # time does not change it, and the topic itself holds the record
                        row, _ = self._waiting[0]
                        self._log.error(
                            "a dead letter is too long or refused; it is not written",
                            error=str(error),
                            partition=row.partition,
                            offset=row.offset,
                        )
                    self._waiting.popleft()
        except (CallstreamError, InvalidRecord, TimeoutError) as error:
            self._log.warning("dead letters wait for Kafka", error=str(error), count=len(self._waiting))
        finally:
            await stop_quietly(producer, 1.0)

    async def _write(self, producer: AIOKafkaProducer, row: Row, error: str) -> None:
        letter = headers(
            error=error,
            stage="follow",
            topic=SUBSCRIPTIONS.name,
            partition=row.partition,
            offset=row.offset,
            group=self._group,
            error_class="InvalidRecord",
        )
        with translated():
            batch = producer.create_batch()
            value = kept(SUBSCRIPTIONS.name, row.value)
            batch.append(key=row.key, value=value, timestamp=row.timestamp_ms, headers=letter)
            await (await producer.send_batch(batch, self._topic, partition=row.partition))
