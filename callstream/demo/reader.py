"""Follows the demo's topics from where they ended before its services began."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from audio.frames import Frames, decode
from runtime.config import KafkaSettings
from runtime.kafka import AIOKafkaConsumer, TopicPartition, start_consumer, stop_quietly, translated
from schemas.codec import SchemaStore
from schemas.errors import InvalidRecord
from schemas.topics import AUDIO, by_name


@dataclass(frozen=True, slots=True)
class Handlers:
    """Who gets what: `frames(partition, columns, keys)` polls of calls.audio, `record(record)` everything else."""

    frames: Callable[[int, Frames, list[bytes | None]], None]
    record: Callable[[Any], None]


class TopicReader:
    """A reader without a group over some public topics; committed records only."""

    def __init__(self, consumer: AIOKafkaConsumer, starts: dict[TopicPartition, int]) -> None:
        self._consumer = consumer
        self.starts = starts
        self._store = SchemaStore()

    @classmethod
    async def since(
        cls, kafka: KafkaSettings, topics: Collection[str], starts: Mapping[TopicPartition, int]
    ) -> "TopicReader":
        """Return a reader of those topics that begins at `starts`. Raises `Unavailable`."""
        consumer = await start_consumer(kafka, client_id="callstream-demo", auto_offset_reset="earliest")
        reader = cls(consumer, {tp: offset for tp, offset in starts.items() if tp.topic in topics})
        with translated():
            consumer.assign(list(reader.starts))
        reader.rewind()
        return reader

    def rewind(self) -> None:
        """Begin again at the starts."""
        for tp, offset in self.starts.items():
            self._consumer.seek(tp, offset)

    async def close(self) -> None:
        """Stop reading."""
        await stop_quietly(self._consumer)

    async def poll(self, handlers: Handlers, timeout_ms: int = 100) -> int:
        """Hand on what came; return how many records."""
        with translated():
            batches = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=2000)
        for tp, records in batches.items():
            if tp.topic == AUDIO.name:
                columns = decode([record.value for record in records], self._store)
                handlers.frames(tp.partition, columns, [record.key for record in records])
                continue
            record_type = by_name(tp.topic).record
            for record in records:
                try:
                    decoded = None if record_type is None else self._store.decode(record.value, record_type)
                except InvalidRecord:
                    continue
                handlers.record(decoded)
        return sum(len(records) for records in batches.values())

    async def all(self, handlers: Handlers) -> None:
        """Read once more from the start up to where the topics end now."""
        self.rewind()
        with translated():
            ends = await self._consumer.end_offsets(list(self.starts))
            while any([await self._consumer.position(tp) < end for tp, end in ends.items()]):
                await self.poll(handlers)
