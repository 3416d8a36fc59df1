"""Records without the end of their transaction: found by where committed records end and where all do."""

import pytest

from runtime import unended
from runtime.config import KafkaSettings
from runtime.errors import Unavailable
from runtime.kafka import TopicPartition
from runtime.log import get_logger
from runtime.unended import Unended

COMMITTED, WRITTEN = "read_committed", "read_uncommitted"


class Broker:
    """Ends of partition 3 of two topics, by what a reader may see."""

    def __init__(self) -> None:
        self.ends = {COMMITTED: {"a": 5, "b": 9}, WRITTEN: {"a": 5, "b": 9}}
        self.started: list[str] = []
        self.stopped: list[str] = []
        self.fail: Exception | None = None

    async def start_consumer(self, _kafka, *, client_id: str, isolation_level: str) -> "Reader":
        self.started.append(isolation_level)
        return Reader(self, isolation_level)


class Reader:
    def __init__(self, broker: Broker, view: str) -> None:
        self._broker = broker
        self._view = view

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self._broker.fail is not None:
            raise self._broker.fail
        assert {tp.partition for tp in partitions} == {3}
        return {tp: self._broker.ends[self._view][tp.topic] for tp in partitions}

    async def stop(self) -> None:
        self._broker.stopped.append(self._view)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    monkeypatch.setattr(unended, "start_consumer", made.start_consumer)
    return made


def finder() -> Unended:
    return Unended(KafkaSettings(), "client", ["a", "b"], get_logger("silence"))


async def test_topics_whose_committed_records_end_earlier_are_named_and_no_others(broker: Broker) -> None:
    find = finder()
    assert await find(3) == []
    broker.ends[WRITTEN]["b"] = 11
    assert await find(3) == ["b"]
    broker.ends[COMMITTED]["b"] = 11
    assert await find(3) == []


async def test_it_connects_once_for_each_view_and_stops_both(broker: Broker) -> None:
    find = finder()
    await find(3)
    await find(3)
    assert broker.started == [COMMITTED, WRITTEN]
    await find.close()
    assert sorted(broker.stopped) == [COMMITTED, WRITTEN]


async def test_after_a_failure_it_connects_anew(broker: Broker) -> None:
    find = finder()
    broker.fail = OSError("gone")
    with pytest.raises(Unavailable):
        await find(3)
    broker.fail = None
    assert await find(3) == []
    assert broker.started.count(COMMITTED) == 2
