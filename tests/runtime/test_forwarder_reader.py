"""Stretches of a log beside the group, over a consumer that a test holds in its hands; the real one is in ring 5."""

from types import SimpleNamespace

import pytest

from runtime import forwarder_reader
from runtime.config import KafkaSettings
from runtime.errors import Unavailable
from runtime.forwarder_reader import LogReader
from runtime.kafka import TopicPartition

TP = TopicPartition("t", 0)


class Consumer:
    """One partition whose records stand at some offsets only; its end lies behind a hole."""

    def __init__(self, offsets: list[int], end: int) -> None:
        self.offsets = offsets
        self.end = end
        self.at = 0
        self.paused = True
        self.stopped = False
        self.errors: list[Exception] = []

    def assign(self, _) -> None:
        self.paused = False

    def seek(self, _, offset: int) -> None:
        self.at = offset

    def pause(self, _) -> None:
        self.paused = True

    async def position(self, _) -> int:
        return self.at

    async def getmany(self, tp, *, timeout_ms: int, max_records: int):
        if self.errors:
            raise self.errors.pop(0)
        found = [offset for offset in self.offsets if offset >= self.at][:2]
        self.at = found[-1] + 1 if found else self.end
        return {tp: [SimpleNamespace(offset=offset, timestamp=1000 * offset) for offset in found]} if found else {}

    async def offsets_for_times(self, times):
        found = next((offset for offset in self.offsets if 1000 * offset >= times[TP]), None)
        return {TP: None if found is None else SimpleNamespace(offset=found)}

    async def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def consumers(monkeypatch: pytest.MonkeyPatch) -> list[Consumer]:
    """What was started, one after another."""
    coming = [Consumer([0, 1, 5, 6, 30], 80), Consumer([0, 1, 5, 6, 30], 80)]
    started: list[Consumer] = []

    async def start(*_, **__) -> Consumer:
        started.append(coming.pop(0))
        return started[-1]

    monkeypatch.setattr(forwarder_reader, "start_consumer", start)
    return started


async def read(reader: LogReader, start: int, end: int) -> list[int]:
    found: list[int] = []

    async def keep(records) -> None:
        found.extend(record.offset for record in records)

    await reader.read(TP, start, end, keep)
    return found


async def test_a_stretch_ends_at_its_end_also_where_the_log_has_holes(consumers) -> None:
    reader = LogReader(KafkaSettings(), "test")
    assert await read(reader, 1, 6) == [1, 5]
    assert await read(reader, 0, 80) == [0, 1, 5, 6, 30]
    assert await read(reader, 31, 80) == []
    assert await read(reader, 6, 6) == []


@pytest.mark.parametrize(("offset", "last"), [(80, 30), (31, 30), (30, 6), (6, 5), (5, 1), (1, 0), (0, None)])
async def test_the_last_record_before_an_offset_is_found_over_holes(consumers, offset: int, last: int | None) -> None:
    found = await LogReader(KafkaSettings(), "test").last_before(TP, 0, offset)
    assert (found.offset if found else None) == last


async def test_no_record_is_looked_for_where_the_log_no_longer_holds_any(consumers) -> None:
    assert await LogReader(KafkaSettings(), "test").last_before(TP, 70, 80) is None
    assert await LogReader(KafkaSettings(), "test").last_before(TP, 80, 80) is None


async def test_a_time_is_turned_into_an_offset(consumers) -> None:
    reader = LogReader(KafkaSettings(), "test")
    assert [await reader.offset_at(TP, at_ms) for at_ms in (-5, 1001, 30_000, 30_001)] == [0, 5, 30, None]


async def test_nothing_is_fetched_behind_a_stretch_whoever_ended_it(consumers) -> None:
    reader = LogReader(KafkaSettings(), "test")
    await read(reader, 0, 80)
    assert consumers[0].paused

    async def fail(_) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await reader.read(TP, 0, 80, fail)
    assert consumers[0].paused


async def test_a_consumer_that_failed_is_replaced(consumers) -> None:
    reader = LogReader(KafkaSettings(), "test")
    await read(reader, 0, 80)
    consumers[0].errors = [OSError("gone")]
    with pytest.raises(Unavailable):
        await read(reader, 0, 80)
    assert consumers[0].stopped
    assert await read(reader, 0, 2) == [0, 1]
