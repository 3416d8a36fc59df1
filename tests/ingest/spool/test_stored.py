from types import SimpleNamespace
from uuid import UUID

import pytest

from ingest.spool import stored as module
from ingest.spool.journal import Entry, Mark, Standing
from ingest.spool.stored import Start, read_partitions, starts_of
from runtime.kafka import TopicPartition
from schemas import topics
from schemas.symbols import Source

AUDIO, EVENTS = topics.AUDIO.name, topics.EVENTS.name
KAFKA = SimpleNamespace(topic_prefix="replay.x.")
NOW_S = 10_000.0


def entry(number: int, audio: int, events: int, opened_s: float = NOW_S) -> Entry:
    standing = Standing(UUID(int=number), f"call {number}", Source.AUDIOHOOK, 8000, opened_s)
    return Entry(standing, Mark(0, 0, 0, audio, events))


def test_each_partition_begins_at_its_lowest_offset_or_at_the_earliest_session_without_one():
    entries = [entry(1, 50, 7), entry(2, 40, -1, 500.0), entry(3, -1, 9, 300.0), entry(4, -1, -1, 400.0)]
    starts = starts_of(entries, lambda topic, key: 0 if key == b"call 4" else 1)
    assert starts == {
        (AUDIO, 1): Start(40, 300.0),
        (EVENTS, 1): Start(7, 500.0),
        (AUDIO, 0): Start(-1, 400.0),
        (EVENTS, 0): Start(-1, 400.0),
    }


class Consumer:
    """A partition whose record of offset n was stored at the n-th second; the first `gone` are deleted."""

    def __init__(self, count: int, gone: int = 0) -> None:
        self.count, self.gone, self.at = count, gone, 0
        self.stopped = False

    async def beginning_offsets(self, partitions):
        return dict.fromkeys(partitions, self.gone)

    async def end_offsets(self, partitions):
        return dict.fromkeys(partitions, self.count)

    async def offsets_for_times(self, times):
        return {tp: None if ms >= self.count * 1000 else self.place(ms) for tp, ms in times.items()}

    def place(self, ms: int):
        return SimpleNamespace(offset=max(self.gone, -(-ms // 1000)))

    def assign(self, partitions):
        self.assigned = partitions

    def seek(self, tp, offset):
        self.at = offset

    async def position(self, tp):
        return self.at

    async def getmany(self, tp, timeout_ms, max_records):
        first, self.at = self.at, min(self.count, self.at + 7)
        return {tp: [SimpleNamespace(offset=offset) for offset in range(first, self.at)]}

    async def stop(self):
        self.stopped = True


async def offsets(monkeypatch, consumer: Consumer, start: Start, ended_s: float = NOW_S) -> list[int]:
    async def start_consumer(kafka, **tuning):
        assert tuning["isolation_level"] == "read_uncommitted"
        return consumer

    monkeypatch.setattr(module, "start_consumer", start_consumer)
    found = []
    async for topic, records in read_partitions(KAFKA, {(AUDIO, 2): start}, ended_s):
        assert topic == AUDIO
        found += [record.offset for record in records]
    assert consumer.stopped
    assert getattr(consumer, "assigned", []) in ([], [TopicPartition("replay.x.calls.audio", 2)])
    return found


@pytest.mark.parametrize(
    ("start", "first"),
    [
        (Start(30, -1), 30),
        (Start(-1, 150.0), 30),
        (Start(40, 150.0), 30),
        (Start(5, 150.0), 10),
        (Start(200, -1), None),
        (Start(-1, 9_000.0), None),
    ],
)
async def test_a_partition_is_read_from_its_start_to_its_end(monkeypatch, start, first):
    found = await offsets(monkeypatch, Consumer(60, gone=10), start)
    assert found == ([] if first is None else list(range(first, 60)))


async def test_what_was_stored_long_after_the_process_had_ended_is_not_read(monkeypatch):
    found = await offsets(monkeypatch, Consumer(1000), Start(30, -1), ended_s=100.0)
    assert found == list(range(30, 400))
