"""One partition between fence and release, over a checkpoint and a changelog that a test holds in its hands."""

import asyncio

import pytest

from runtime import metrics, partition
from runtime.checkpoint import Application, Restored
from runtime.clock import ManualClock
from runtime.config import KafkaSettings
from runtime.errors import ConfigError, Fenced, StateCorrupted, Unavailable
from runtime.kafka import TopicPartition
from runtime.partition import PartitionHost, Surroundings
from runtime.testing import Driver
from runtime.tuning import TaskHostSettings
from schemas.codec import SchemaStore
from tests.runtime.committed_log import CommittedLog
from tests.runtime.counting import POISON, CountingProcessor
from tests.runtime.test_task import frame

TP = TopicPartition("calls.audio", 0)


@pytest.fixture
def log(monkeypatch) -> CommittedLog:
    log = CommittedLog()
    monkeypatch.setattr(partition.Checkpoint, "open", log.open)
    return log


def host_of(log: CommittedLog, processor=None, **more) -> PartitionHost:
    surroundings = Surroundings(
        processor=processor or CountingProcessor(),
        application=Application("silence"),
        kafka=KafkaSettings(),
        tuning=TaskHostSettings(),
        store=SchemaStore(),
        clock=ManualClock(),
        input_log=log,
        before_step=lambda _: None,
        **more,
    )
    return PartitionHost(surroundings, TP)


def records(count: int, poison: tuple[int, ...] = ()):
    driver = Driver(CountingProcessor())
    for sequence in range(count):
        driver.send(frame(1, sequence, payload=POISON if sequence in poison else b"\xff" * 8), timestamp_ms=sequence)
    return driver.log


def start_commit(host: PartitionHost, group: asyncio.TaskGroup) -> asyncio.Task:
    frozen = host.due(0)
    assert frozen is not None
    host.committing = group.create_task(host.commit(frozen))
    host.committing.add_done_callback(lambda _: host.commit_ended())
    return host.committing


async def test_what_a_cancelled_commit_took_with_it_is_never_left_out_by_a_later_one(log: CommittedLog) -> None:
    host = host_of(log)
    await host.open(log)
    everything = records(20)
    host.process(everything[:10])
    async with asyncio.TaskGroup() as group:
        # cancelled before its first step, as when the group of tasks ends in this very turn of the loop
        start_commit(host, group).cancel()
    host.process(everything[10:]) if host.task else None
    await host.release(5)
    assert log.entry is None
    assert log.outputs == []


async def test_a_state_that_is_ahead_of_its_position_is_never_committed(log: CommittedLog) -> None:
    class Broken(CountingProcessor):
        def expire(self, stream_time_ms, state, emit) -> None:
            if stream_time_ms >= 1000:
                raise RuntimeError(self.group)

    host = host_of(log, Broken())
    await host.open(log)
    driver = Driver(CountingProcessor())
    for sequence in range(20):
        driver.send(frame(1, sequence), timestamp_ms=1_000_000 + sequence * 100)
    host.process(driver.log[:5])
    with pytest.raises(RuntimeError, match="silence"):
        host.process(driver.log[5:])
    assert host.task is None
    await host.release(5)
    assert log.entry is None


async def test_a_rewind_that_is_cancelled_leaves_nothing_to_commit(log: CommittedLog) -> None:
    host = host_of(log)
    await host.open(log)
    everything = records(30, poison=(25,))
    host.process(everything[:10])
    log.hang.clear()
    async with asyncio.TaskGroup() as group:
        start_commit(host, group)
        host.process(everything[10:20])
        assert not host.process(everything[20:])
        rewinding = group.create_task(host.rewind())
        await asyncio.sleep(0)
        rewinding.cancel()
        log.hang.set()
    await host.release(5)
    assert log.entry.position == 10


async def test_a_poisoned_poll_is_found_processed_and_committed_once(log: CommittedLog) -> None:
    host = host_of(log)
    await host.open(log)
    everything = records(30, poison=(7, 25))
    while not host.process(everything[host.position :]):
        await host.rewind()
    await host.release(5)
    letters = [output for output in log.outputs if output.topic.endswith(".dlq")]
    assert [dict(letter.headers)["__connect.errors.offset"] for letter in letters] == [b"7", b"25"]
    assert log.entry.position == 30


async def test_a_partition_full_of_bad_records_stops_with_offsets_and_setting_and_writes_none_of_them(
    log: CommittedLog,
) -> None:
    host = host_of(log)
    await host.open(log)
    driver = Driver(CountingProcessor())
    for number in range(1200):
        driver.send_value(b"garbage" if number >= 300 else None, timestamp_ms=0)
    with pytest.raises(ConfigError, match=r"(?s)calls.audio/0 .*offsets 0, 1, 2.* at 500 .*MAX_BAD_RATIO=1"):
        host.process(driver.log)
    await host.release(5)
    assert log.outputs == []


async def test_a_release_ends_within_its_budget_when_no_broker_answers(log: CommittedLog) -> None:
    host = host_of(log)
    await host.open(log)
    host.process(records(10))
    log.hang.clear()
    async with asyncio.TaskGroup() as group:
        committing = start_commit(host, group)
        async with asyncio.timeout(30):
            await host.release(0.01)
    assert committing.cancelled()
    assert log.closed == 1
    assert host.fatal is None


async def test_an_error_of_the_processor_while_it_is_released_is_not_swallowed(log: CommittedLog) -> None:
    class Unwritable(CountingProcessor):
        def snapshot(self, state) -> bytes:
            raise RuntimeError

    host = host_of(log, Unwritable())
    await host.open(log)
    host.process(records(10))
    await host.release(5)
    assert isinstance(host.fatal, RuntimeError)
    assert log.closed == 1


@pytest.mark.parametrize("error", [Fenced("x"), Unavailable("x")])
async def test_a_failed_commit_drops_the_task_and_opening_restores_the_last_committed_state(
    log: CommittedLog, error
) -> None:
    host = host_of(log)
    await host.open(log)
    everything = records(20)
    host.process(everything[:10])
    await host.commit(host.due(0))
    host.process(everything[10:])
    log.fail = error
    await host.commit(host.due(0))
    assert host.task is None
    assert host.failure is error
    assert host.fatal is None
    log.fail = None
    assert await host.open(log) == 10
    assert host.failure is None


@pytest.mark.parametrize(("first", "end", "why"), [(11, 50, "deleted by retention"), (0, 9, "never written")])
async def test_a_position_outside_the_log_stops_with_what_to_do(
    log: CommittedLog, first: int, end: int, why: str
) -> None:
    host = host_of(log)
    await host.open(log)
    host.process(records(10))
    await host.release(5)
    log.first, log.end = first, end
    with pytest.raises(ConfigError, match=f"(?s){why}.*callstream state reset silence 0 --yes"):
        await host_of(log).open(log)


async def test_a_processor_that_mistrusts_its_state_gets_the_last_committed_one_and_no_record_is_blamed(
    log: CommittedLog,
) -> None:
    class Mistrusting(CountingProcessor):
        doubts = 1

        def process(self, batch, state, emit) -> None:
            super().process(batch, state, emit)
            if self.doubts and len(state.frames) and batch.frames.sequence[0] >= 10:
                self.doubts -= 1
                raise StateCorrupted(self.group)

    host = host_of(log, Mistrusting())
    await host.open(log)
    everything = records(20)
    host.process(everything[:10])
    await host.commit(host.due(0))
    assert not host.process(everything[10:])
    assert await host.rewind() == 10
    assert host.task is None
    assert host.fatal is None
    assert await host.open(log) == 10
    assert host.process(everything[10:])
    await host.release(5)
    assert [output.topic for output in log.outputs] == ["calls.activity"] * 4


async def test_gauges_of_a_partition_end_with_its_release(log: CommittedLog) -> None:
    host = host_of(log)
    await host.open(log)
    host.process(records(10))
    await host.commit(host.due(0))

    def partitions() -> set[str]:
        gauges = (metrics.TASK_STATE_BYTES, metrics.TASK_LAG_SECONDS)
        return {s.labels["partition"] for gauge in gauges for metric in gauge.collect() for s in metric.samples}

    assert "0" in partitions()
    await host.release(5)
    assert "0" not in partitions()


async def test_what_an_earlier_transaction_left_unended_is_ended_before_the_state_is_read(log: CommittedLog) -> None:
    happened = []

    async def unended(number: int) -> list[str]:
        happened.append(("looked", number))
        return ["calls.activity"]

    async def end_unended(topics: list[str]) -> None:
        happened.append(("ended", topics))

    async def read(*_args) -> Restored:
        happened.append(("read",))
        return Restored(None, -1)

    log.end_unended, log.read = end_unended, read
    await host_of(log, unended=unended).open(log)
    assert happened == [("looked", 0), ("ended", ["calls.activity"]), ("read",)]
