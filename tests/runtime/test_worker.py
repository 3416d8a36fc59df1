"""The worker's loop over a consumer and committed logs that a test holds in its hands; the real ones are in ring 5."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from audio.frames import FrameEncoder
from runtime import partition, watchdog, worker
from runtime.checkpoint import ChangelogReader, Checkpoint
from runtime.clock import SystemClock
from runtime.config import KafkaSettings, RegistrySettings, ServiceSettings
from runtime.errors import Fenced, Unavailable
from runtime.kafka import TopicPartition
from runtime.log import get_logger
from runtime.registry import Registry
from runtime.restart_limit import TooManyRestarts
from runtime.service import Service
from runtime.testing import Driver, LogRecord
from runtime.tuning import ProcessorSettings, TaskHostSettings
from runtime.unended import Unended
from runtime.watchdog import Stuck
from schemas.codec import SchemaStore
from tests.runtime.committed_log import CommittedLog
from tests.runtime.counting import POISON, CountingProcessor
from tests.runtime.test_task import frame

DEADLINE_S = 60


class Consumer:
    """A group of one member over lists of records."""

    def __init__(self, partitions: int) -> None:
        self.logs: dict[TopicPartition, list[LogRecord]] = {
            TopicPartition("calls.audio", number): [] for number in range(partitions)
        }
        self.positions = dict.fromkeys(self.logs, 0)
        self.paused: set[TopicPartition] = set()
        self.sought: list[tuple[TopicPartition, int]] = []
        self.commits = 0
        self.refuse = False
        self.refusal = Fenced("another member has it")
        self.stopped = False

    def append(self, number: int, count: int, poison: tuple[int, ...] = (), value: bytes | None = None) -> None:
        encode = FrameEncoder(SchemaStore()).encode
        log = self.logs[TopicPartition("calls.audio", number)]
        for _ in range(count):
            offset = len(log)
            payload = POISON if offset in poison else b"\xff" * 8
            log.append(
                LogRecord(offset, 1000 + offset, b"c", value or encode(frame(number + 1, offset, payload=payload)))
            )

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[LogRecord]]:
        await asyncio.sleep(0.001)
        found = {}
        for tp, log in self.logs.items():
            records = log[self.positions[tp] : self.positions[tp] + max_records]
            if records and tp not in self.paused:
                found[tp] = records
                self.positions[tp] += len(records)
        return found

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused.difference_update(partitions)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.positions[tp] = offset
        self.sought.append((tp, offset))

    def highwater(self, tp: TopicPartition) -> int:
        return len(self.logs[tp])

    async def beginning_offsets(self, partitions) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions) -> dict[TopicPartition, int]:
        return {tp: len(self.logs[tp]) for tp in partitions}

    async def offsets_for_times(self, times) -> dict:
        return {tp: SimpleNamespace(offset=0, timestamp=time) for tp, time in times.items()}

    async def committed(self, _tp) -> None:
        return None

    async def commit(self, _offsets) -> None:
        self.commits += 1
        if self.refuse:
            raise self.refusal

    async def stop(self) -> None:
        self.stopped = True


class Cluster:
    """A consumer, the committed logs, and what came of them."""

    def __init__(self, partitions: int) -> None:
        self.consumer = Consumer(partitions)
        self.committed = [CommittedLog() for _ in range(partitions)]
        self.worker: worker.Worker | None = None
        self.service: Service | None = None

    async def until(self, condition) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await asyncio.sleep(0.001)

    async def settled(self) -> None:
        """Everything appended is committed, and is what the driver makes of the same log."""
        logs = [self.consumer.logs[tp] for tp in sorted(self.consumer.logs)]
        await self.until(
            lambda: all(
                not log or (c.entry is not None and c.entry.position == len(log))
                for log, c in zip(logs, self.committed, strict=True)
            )
        )
        for number, log in enumerate(logs):
            driver = Driver(CountingProcessor(), partition=number)
            for record in log:
                driver.send_value(record.value, key=record.key, timestamp_ms=record.timestamp)
            driver.run()
            assert self.committed[number].outputs == driver.outputs


@contextlib.asynccontextmanager
async def running(
    monkeypatch, registry: Registry | None = None, processor=None, stuck_after_s: float = 120, **tuning: float
) -> AsyncIterator:
    """A worker of two partitions; leaving the block stops it and waits for its end."""
    cluster = Cluster(2)

    async def start_consumer(*_args, listener, **_options) -> Consumer:
        await listener.on_partitions_revoked(set())
        listener.on_partitions_assigned(set(cluster.consumer.logs))
        return cluster.consumer

    async def check_topics(*_args) -> bool:
        return True

    async def open_checkpoint(_kafka, _application, tp, _timeout_ms) -> CommittedLog:
        return cluster.committed[tp.partition]

    async def read(_self, _topic, number):
        return await cluster.committed[number].read()

    monkeypatch.setattr(worker, "start_consumer", start_consumer)
    monkeypatch.setattr(worker, "check_topics", check_topics)
    monkeypatch.setattr(partition.Checkpoint, "open", open_checkpoint)

    async def nothing_unended(_self, _number) -> list[str]:
        return []

    monkeypatch.setattr(ChangelogReader, "read", read)
    monkeypatch.setattr(Unended, "__call__", nothing_unended)
    settings = ProcessorSettings(
        kafka=KafkaSettings(),
        registry=RegistrySettings(),
        task_host=TaskHostSettings(**{"commit_interval_ms": 10, **tuning}),
        service=ServiceSettings(stuck_after_s=stuck_after_s),
    )
    clock = SystemClock()
    service = Service("silence", settings, clock, get_logger("silence"), registry or Registry(settings.registry, clock))
    cluster.service = service
    cluster.worker = worker.Worker(service, processor or CountingProcessor(), (), lambda _: None)

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            await cluster.worker.run(group)

    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(work())
        yield cluster
        service.stopping.set()
        async with asyncio.timeout(DEADLINE_S):
            await working


def test_the_fakes_stand_for_what_is_there() -> None:
    for name in ("open", "commit", "close"):
        assert hasattr(Checkpoint, name)
        assert hasattr(CommittedLog, name)


async def test_records_polled_for_a_task_that_was_replaced_meanwhile_are_read_again(monkeypatch) -> None:
    async with running(monkeypatch) as cluster:
        first, second = cluster.committed
        first.hang.clear()
        second.hang.clear()
        cluster.consumer.append(0, 10)
        cluster.consumer.append(1, 10)
        await cluster.until(lambda: first.committing and second.committing)
        tp0, tp1 = sorted(cluster.consumer.logs)
        # one poll brings both: the first partition's rewind waits for its commit, while the second's is fenced
        cluster.consumer.append(0, 5, poison=(12,))
        cluster.consumer.append(1, 5)
        await cluster.until(lambda: cluster.consumer.positions == {tp0: 15, tp1: 15})
        second.fail = Fenced("a transaction timed out")
        second.hang.set()
        for _ in range(50):
            await asyncio.sleep(0.001)
        first.hang.set()
        await cluster.settled()
        assert cluster.consumer.commits == 1


async def test_a_partition_the_group_gave_to_another_member_waits_for_an_assignment(monkeypatch) -> None:
    async with running(monkeypatch) as cluster:
        cluster.consumer.refuse = True
        cluster.committed[0].fail = Fenced("another owner")
        cluster.consumer.append(0, 10)
        cluster.consumer.append(1, 10)
        await cluster.until(lambda: cluster.consumer.commits and cluster.committed[1].entry)
        await cluster.until(lambda: not cluster.service.health.is_ready())
        assert cluster.service.health.failing()["tasks"] == "partitions being restored: [0]"
        assert min(cluster.consumer.logs) in cluster.consumer.paused
        cluster.consumer.refuse = False
        await cluster.worker.on_partitions_revoked(set(cluster.consumer.logs))
        cluster.worker.on_partitions_assigned(set(cluster.consumer.logs))
        await cluster.settled()
        assert cluster.consumer.commits == 1


async def test_a_commit_of_one_whom_the_group_threw_out_is_no_proof_of_an_assignment(monkeypatch) -> None:
    async with running(monkeypatch) as cluster:
        cluster.consumer._coordinator = SimpleNamespace(generation=-1)
        cluster.committed[0].fail = Fenced("another owner")
        cluster.consumer.append(0, 10)
        cluster.consumer.append(1, 10)
        await cluster.until(lambda: cluster.committed[1].entry and not cluster.service.health.is_ready())
        for _ in range(100):
            await asyncio.sleep(0.001)
        assert cluster.service.health.failing()["tasks"] == "partitions being restored: [0]"
        assert cluster.committed[0].entry is None
        cluster.consumer._coordinator.generation = 7
        await cluster.worker.on_partitions_revoked(set(cluster.consumer.logs))
        cluster.worker.on_partitions_assigned(set(cluster.consumer.logs))
        await cluster.settled()
        assert cluster.consumer.commits == 0


async def test_an_unknown_schema_id_waits_for_the_registry_and_its_neighbours_do_not(monkeypatch) -> None:
    class Silent(Registry):
        """Does not answer until told to; then it knows nothing."""

        answers = False
        asked = 0
        silence = Unavailable("no answer", 0.001)

        async def resolve(self, ids, store) -> None:
            self.asked += 1
            if not self.answers:
                raise self.silence

    registry = Silent(RegistrySettings(url="http://127.0.0.1:1"), SystemClock())
    async with running(monkeypatch, registry=registry) as cluster:
        cluster.consumer.append(0, 3)
        cluster.consumer.append(0, 1, value=b"\0\0\0\0\x07unknown")
        cluster.consumer.append(0, 3)
        cluster.consumer.append(1, 10)
        await cluster.until(lambda: registry.asked > 2 and cluster.committed[1].entry)
        assert cluster.service.health.failing()["schema registry"] == "no answer"
        assert cluster.committed[0].entry is None
        registry.answers = True
        await cluster.settled()
        assert len(cluster.committed[0].outputs) == 2
        await cluster.until(cluster.service.health.is_ready)


async def test_an_error_while_partitions_are_given_away_ends_the_worker(monkeypatch) -> None:
    class Unwritable(CountingProcessor):
        broken = False

        def snapshot(self, state) -> bytes:
            if self.broken:
                raise RuntimeError(self.group)
            return super().snapshot(state)

    processor = Unwritable()
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - it ends the worker while it is watched
        async with running(monkeypatch, processor=processor) as cluster:
            cluster.committed[0].hang.clear()
            cluster.consumer.append(0, 10)
            await cluster.until(lambda: cluster.committed[0].committing)
            cluster.consumer.append(0, 10)
            await cluster.until(lambda: cluster.consumer.positions[min(cluster.consumer.logs)] == 20)
            processor.broken = True
            cluster.committed[0].hang.set()
            await cluster.worker.on_partitions_revoked(set(cluster.consumer.logs))
            await asyncio.sleep(DEADLINE_S)
    assert caught.group_contains(RuntimeError, match="silence")
    assert cluster.consumer.stopped


async def test_it_is_not_ready_before_every_partition_is_restored(monkeypatch) -> None:
    async with running(monkeypatch) as cluster:
        await cluster.until(lambda: cluster.service.health.failing().get("service") != "starting")
        assert not cluster.service.health.is_ready()
        await cluster.until(cluster.service.health.is_ready)
        assert not cluster.consumer.paused


async def test_a_stop_ends_the_worker_although_no_commit_ever_ends(monkeypatch) -> None:
    monkeypatch.setattr(worker, "_RELEASE_S", 0.05)
    async with running(monkeypatch) as cluster:
        cluster.committed[0].hang.clear()
        cluster.consumer.append(0, 10)
        await cluster.until(lambda: cluster.committed[0].committing)
    assert cluster.consumer.stopped
    assert cluster.committed[0].entry is None


async def test_a_stop_while_a_partition_is_restored_ends_the_worker(monkeypatch) -> None:
    restoring = asyncio.Event()

    async def hang(*_args) -> None:
        restoring.set()
        await asyncio.Event().wait()

    async with running(monkeypatch) as cluster:
        monkeypatch.setattr(ChangelogReader, "read", hang)
        await cluster.worker.on_partitions_revoked(set(cluster.consumer.logs))
        cluster.worker.on_partitions_assigned(set(cluster.consumer.logs))
        await cluster.until(restoring.is_set)
        restored = "partitions being restored: [0, 1]"
        await cluster.until(lambda: cluster.service.health.failing().get("tasks") == restored)
    assert cluster.consumer.stopped


async def test_commits_that_stand_still_while_kafka_answers_end_the_worker_after_a_drain(monkeypatch) -> None:
    async def answers(*_args) -> bool:
        return True

    monkeypatch.setattr(watchdog, "kafka_answers", answers)
    monkeypatch.setattr(worker, "_RELEASE_S", 0.05)
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - it ends the worker while it is watched
        async with running(monkeypatch, commit_deadline_s=0.2, stuck_after_s=0.4) as cluster:
            cluster.committed[0].hang.clear()
            cluster.consumer.append(0, 10)
            cluster.consumer.append(1, 10)
            await asyncio.sleep(DEADLINE_S)
    assert caught.group_contains(Stuck, match=r"no progress for 0.4 s: commits of calls.audio/0; Kafka answers")
    assert cluster.committed[0].entry is None
    assert cluster.committed[1].entry.position == 10
    assert cluster.consumer.stopped


async def test_a_partition_that_fails_again_and_again_ends_the_worker(monkeypatch) -> None:
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - as above
        async with running(monkeypatch, max_restarts=3) as cluster:
            for _ in range(3):
                cluster.committed[0].fail = Unavailable("no answer")
                cluster.consumer.append(0, 10)
                await cluster.until(lambda: cluster.committed[0].fail is None)
            await asyncio.sleep(DEADLINE_S)
    assert caught.group_contains(TooManyRestarts, match=r"calls.audio/0 was restarted 3 times .* no answer")


async def test_polls_that_kafka_does_not_answer_are_tried_again(monkeypatch) -> None:
    async with running(monkeypatch) as cluster:
        getmany, fails = cluster.consumer.getmany, iter([True] * 2)

        async def failing(**options):
            if next(fails, False):
                raise OSError
            return await getmany(**options)

        cluster.consumer.getmany = failing
        cluster.consumer.append(0, 10)
        await cluster.until(lambda: "kafka" in cluster.service.health.failing())
        await cluster.settled()
        await cluster.until(cluster.service.health.is_ready)
