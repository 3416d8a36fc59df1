"""RecordingEvents onto `calls.recordings`, each acknowledged before it counts."""

import asyncio

from runtime.config import KafkaSettings
from runtime.errors import Unavailable
from runtime.kafka import AIOKafkaProducer, partition_counts, start_producer, stop_quietly, translated
from schemas.codec import SchemaStore
from schemas.records import RecordingEvent
from schemas.topics import RECORDINGS

_ANSWER_S = 15.0


class Announcer:
    """A producer of `calls.recordings`, started when the first recording is sealed."""

    def __init__(self, kafka: KafkaSettings, store: SchemaStore, client_id: str) -> None:
        self._kafka = kafka
        self._store = store
        self._client_id = client_id
        self._topic = f"{kafka.topic_prefix}{RECORDINGS.name}"
        self._producer: AIOKafkaProducer | None = None

    async def announce(self, event: RecordingEvent, partition: int, timestamp_ms: int) -> None:
        """Write an event to the partition its session was read from. Raises `Unavailable`."""
        try:
            with translated():
                async with asyncio.timeout(_ANSWER_S):
                    producer = await self._started()
                    await producer.send_and_wait(
                        self._topic,
                        key=event.conversation_id.encode(),
                        value=self._store.encode(event),
                        partition=partition,
                        timestamp_ms=timestamp_ms,
                    )
        except Unavailable:
            # an idempotent producer may be unable to go on after an outage: the next try gets a new one
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_quietly(producer)

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            if not await partition_counts(self._kafka, [self._topic], self._client_id):
                message = f"{self._topic} is missing; `callstream topics apply` creates it"
                raise Unavailable(message)
            self._producer = await start_producer(self._kafka, client_id=self._client_id)
        return self._producer
