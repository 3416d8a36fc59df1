"""Reads what partitions of calls.audio and calls.events hold from certain offsets on, up to a time."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ingest.spool.journal import Entry
from runtime.config import KafkaSettings
from runtime.kafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition, start_consumer, stop_quietly, translated
from schemas import topics

_POLL_MS = 200
_MAX_RECORDS = 1000
_BEFORE_S, _AFTER_S = 120.0, 300.0
"""How far our clock and the broker's may be apart, and how late what was under way may have been stored."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where to begin: the lowest known offset (-1: none is), and since when a session without one was open (epoch)."""

    offset: int = -1
    since_s: float = -1


def starts_of(entries: Iterable[Entry], partition_of: Callable[[str, bytes], int]) -> dict[tuple[str, int], Start]:
    """Return where to begin in each partition that holds records of these sessions."""
    starts: dict[tuple[str, int], Start] = {}
    for entry in entries:
        key = entry.standing.conversation_id.encode()
        for topic, offset in (
            (topics.AUDIO.name, entry.mark.audio_offset),
            (topics.EVENTS.name, entry.mark.events_offset),
        ):
            at = (topic, partition_of(topic, key))
            known = starts.get(at, Start())
            if offset >= 0:
                lowest = offset if known.offset < 0 else min(offset, known.offset)
                starts[at] = Start(lowest, known.since_s)
            else:
                opened_s = entry.standing.opened_s
                since_s = opened_s if known.since_s < 0 else min(opened_s, known.since_s)
                starts[at] = Start(known.offset, since_s)
    return starts


async def read_partitions(
    kafka: KafkaSettings, starts: Mapping[tuple[str, int], Start], ended_s: float
) -> AsyncIterator[tuple[str, list[ConsumerRecord]]]:
    """Yield the records of each poll with their topic's catalogue name, each partition's in order.

    What was stored later than `ended_s` (epoch) allows for is left out. Raises `Unavailable`.
    """
    consumer = await start_consumer(
        kafka, client_id="ingest-spool", isolation_level="read_uncommitted", auto_offset_reset="earliest"
    )
    try:
        with translated():
            names = {TopicPartition(f"{kafka.topic_prefix}{topic}", number): topic for topic, number in starts}
            given = {TopicPartition(f"{kafka.topic_prefix}{topic}", n): start for (topic, n), start in starts.items()}
            first, end = await _bounds(consumer, given, ended_s)
            reading = [tp for tp in names if first[tp] < end[tp]]
            consumer.assign(reading)
            for tp in reading:
                consumer.seek(tp, first[tp])
            while reading:
                polled = await consumer.getmany(*reading, timeout_ms=_POLL_MS, max_records=_MAX_RECORDS)
                for tp, records in polled.items():
                    yield names[tp], [record for record in records if record.offset < end[tp]]
                reading = [tp for tp in reading if await consumer.position(tp) < end[tp]]
    finally:
        await stop_quietly(consumer, 1.0)


async def _bounds(
    consumer: AIOKafkaConsumer, given: Mapping[TopicPartition, Start], ended_s: float
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    """Return where to begin and to end in each partition."""
    beginning: Any = await consumer.beginning_offsets(list(given))
    end: Any = await consumer.end_offsets(list(given))
    late: Any = await consumer.offsets_for_times(dict.fromkeys(given, round((ended_s + _AFTER_S) * 1000)))
    timed = {tp: round((start.since_s - _BEFORE_S) * 1000) for tp, start in given.items() if start.since_s >= 0}
    early: Any = await consumer.offsets_for_times(timed) if timed else {}
    first = {}
    for tp, start in given.items():
        wanted = [start.offset] if start.offset >= 0 else []
        if tp in early:
            wanted.append(end[tp] if early[tp] is None else early[tp].offset)
        first[tp] = max(beginning[tp], min(wanted))
    until = {tp: end[tp] if late[tp] is None else late[tp].offset for tp in given}
    return first, until
