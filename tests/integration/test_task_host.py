"""The task host on a real broker: exactly once through crashes, rebalances, fencing and poison."""

import asyncio
import contextlib
import uuid
from dataclasses import dataclass

import pytest
from aiokafka.admin import RecordsToDelete  # noqa: TID251 - an operation no component needs

from audio.frames import FrameEncoder
from runtime.checkpoint import Application
from runtime.config import KafkaSettings, RegistrySettings
from runtime.kafka import NewTopic, TopicPartition, start_admin, start_producer
from runtime.service import run
from runtime.testing import Driver
from runtime.tuning import ProcessorSettings, TaskHostSettings
from runtime.worker import run_tasks
from schemas.codec import SchemaStore
from schemas.topics import changelog, dead_letters
from tests.reading import read_committed
from tests.runtime.counting import POISON, CountingProcessor
from tests.runtime.test_task import frame

pytestmark = pytest.mark.kafka
PARTITIONS = 2
DEADLINE_S = 60


@dataclass
class Cluster:
    """Topics of one test under a prefix of its own, on the shared broker."""

    kafka: KafkaSettings
    input_topic: str
    log: dict[int, list[tuple[bytes | None, bytes | None, int]]]

    def settings(self, **tuning) -> ProcessorSettings:
        host = TaskHostSettings(
            **{"commit_interval_ms": 20, "session_timeout_ms": 3000, "heartbeat_interval_ms": 300, **tuning}
        )
        return ProcessorSettings(kafka=self.kafka, registry=RegistrySettings(), task_host=host)

    def processor(self, kind: type[CountingProcessor] = CountingProcessor) -> CountingProcessor:
        processor = kind()
        processor.input_topic = self.input_topic
        return processor

    async def append(self, partition: int, values: list[bytes]) -> None:
        producer = await start_producer(self.kafka, client_id="test")
        for value in values:
            timestamp = 1_700_000_000_000 + 20 * len(self.log[partition])
            await producer.send(self.input_topic, value=value, key=b"c", partition=partition, timestamp_ms=timestamp)
            self.log[partition].append((value, b"c", timestamp))
        await producer.stop()

    async def read(self, topic: str) -> dict[int, list[tuple]]:
        """Everything committed on an output topic, by partition."""
        found = await read_committed(self.kafka, f"{self.kafka.topic_prefix}{topic}", PARTITIONS)
        return {
            number: [(record.key, record.timestamp, record.value, tuple(record.headers)) for record in rows]
            for number, rows in enumerate(found)
        }

    def expected(self) -> dict[int, list[tuple]]:
        """What the driver makes of the same log: committed outputs by partition, dead letters left out."""
        wanted = {}
        for number in range(PARTITIONS):
            driver = Driver(self.processor(), partition=number)
            for value, key, timestamp in self.log[number]:
                driver.send_value(value, key=key, timestamp_ms=timestamp)
            driver.run()
            wanted[number] = [
                (o.key, o.timestamp_ms, o.value, ()) for o in driver.outputs if o.topic == "calls.activity"
            ]
        return wanted

    async def settled(self) -> None:
        """Wait until the outputs are all there; then they must be exactly the expected ones."""
        expected = self.expected()
        async with asyncio.timeout(DEADLINE_S):
            while any(len(found) < len(expected[n]) for n, found in (await self.read("calls.activity")).items()):
                await asyncio.sleep(0.1)
        assert await self.read("calls.activity") == expected


@pytest.fixture
async def cluster(kafka: str) -> Cluster:
    return await create_cluster(kafka)


async def create_cluster(kafka: str) -> Cluster:
    """Create the topics of one test."""
    unique = uuid.uuid4().hex[:12]
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{unique}.")
    input_topic = f"input.{unique}"
    admin = await start_admin(settings, client_id="test")
    create_time = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
    topics = [NewTopic(input_topic, PARTITIONS, 1, topic_configs=create_time)]
    for topic in (changelog("silence"), dead_letters("silence")):
        config = {**topic.broker_config(), "retention.ms": "-1"}
        topics.append(NewTopic(settings.topic_prefix + topic.name, PARTITIONS, 1, topic_configs=config))
    topics.append(NewTopic(f"{settings.topic_prefix}calls.activity", PARTITIONS, 1, topic_configs=create_time))
    await admin.create_topics(topics)
    await admin.close()
    return Cluster(settings, input_topic, {number: [] for number in range(PARTITIONS)})


@contextlib.asynccontextmanager
async def worker(cluster: Cluster, kind: type[CountingProcessor] = CountingProcessor, before_step=None, **tuning):
    """A worker in this loop; leaving the block stops it as SIGTERM would and demands exit code 0."""
    services = []

    async def start(service) -> None:
        services.append(service)
        await run_tasks(
            service,
            cluster.processor(kind),
            outputs=["calls.activity"],
            before_step=before_step or (lambda _: None),
        )

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run("silence", cluster.settings(**tuning), start, signals=False))
        async with asyncio.timeout(DEADLINE_S):
            while not services and not task.done():
                await asyncio.sleep(0.01)
        yield services[0]
        services[0].stopping.set()
        assert await task == 0


def frames(session: int, count: int, start: int = 0, poison: tuple[int, ...] = ()) -> list[bytes]:
    encode = FrameEncoder(SchemaStore()).encode
    return [
        encode(frame(session, start + n, payload=POISON if start + n in poison else b"\xff" * 8)) for n in range(count)
    ]


async def test_each_frame_counts_once_and_the_worker_goes_on_where_it_stopped(cluster: Cluster) -> None:
    await cluster.append(0, frames(1, 57))
    async with worker(cluster):
        await cluster.append(1, frames(2, 33))
        await cluster.settled()
    await cluster.append(0, frames(1, 20, start=57))
    async with worker(cluster):
        await cluster.settled()


async def test_a_session_timeout_the_broker_refuses_is_named(cluster: Cluster, capfd) -> None:
    host = cluster.settings().task_host.model_copy(update={"session_timeout_ms": 500, "heartbeat_interval_ms": 100})
    settings = cluster.settings().model_copy(update={"task_host": host})

    async def start(service) -> None:
        await run_tasks(service, cluster.processor(), outputs=["calls.activity"])

    async with asyncio.timeout(DEADLINE_S):
        assert await run("silence", settings, start, signals=False) == 2
    assert "SESSION_TIMEOUT_MS: the broker refuses it" in capfd.readouterr().err


async def test_the_raiser_alone_becomes_a_dead_letter_once(cluster: Cluster) -> None:
    await cluster.append(0, frames(1, 40, poison=(7, 23)))
    async with worker(cluster):
        await cluster.settled()
    letters = (await cluster.read(dead_letters("silence").name))[0]
    offsets = [dict(headers)["__connect.errors.offset"] for *_, headers in letters]
    assert offsets == [b"7", b"23"]


async def test_partitions_move_between_two_workers_without_loss_or_repeat(cluster: Cluster) -> None:
    async with worker(cluster):
        await cluster.append(0, frames(1, 50))
        async with worker(cluster):
            await cluster.append(1, frames(2, 50))
            await cluster.append(0, frames(1, 50, start=50))
            await cluster.settled()
        await cluster.append(1, frames(2, 25, start=50))
        await cluster.settled()


async def test_a_worker_whose_transactional_id_was_taken_finds_out_that_it_still_owns_the_partition(
    cluster: Cluster,
) -> None:
    application = Application("silence", cluster.kafka.topic_prefix)
    async with worker(cluster) as service:
        await cluster.append(0, frames(1, 20))
        await cluster.settled()
        intruder = await start_producer(
            cluster.kafka, client_id="intruder", transactional_id=application.transactional_id(cluster.input_topic, 0)
        )
        await cluster.append(0, frames(1, 20, start=20))
        await cluster.settled()
        await intruder.stop()
        assert service.health.is_ready()


@pytest.mark.parametrize("step", ["begin", "outputs", "state", "await", "offsets", "commit"])
async def test_a_failure_before_any_step_of_a_commit_loses_and_repeats_nothing(cluster: Cluster, step: str) -> None:
    failures = iter([True] * 3)

    def fail(name: str) -> None:
        if name == step and next(failures, False):
            raise OSError("injected")

    await cluster.append(0, frames(1, 30))
    async with worker(cluster, before_step=fail):
        await cluster.settled()
        await cluster.append(0, frames(1, 30, start=30))
        await cluster.settled()
    assert next(failures, None) is None


async def test_topics_that_are_missing_make_the_worker_wait_not_die(cluster: Cluster) -> None:
    late = f"late.{cluster.input_topic}"
    cluster.input_topic = late
    async with worker(cluster) as service:
        async with asyncio.timeout(DEADLINE_S):
            while "missing" not in str(service.health.failing()):
                await asyncio.sleep(0.05)
        admin = await start_admin(cluster.kafka, client_id="test")
        await admin.create_topics([NewTopic(late, PARTITIONS, 1, topic_configs={"retention.ms": "-1"})])
        await admin.close()
        await cluster.append(0, frames(1, 20))
        await cluster.settled()


async def test_different_partition_counts_are_a_configuration_error(cluster: Cluster) -> None:
    odd = f"odd.{cluster.input_topic}"
    admin = await start_admin(cluster.kafka, client_id="test")
    await admin.create_topics([NewTopic(odd, PARTITIONS + 1, 1)])
    await admin.close()
    cluster.input_topic = odd

    async def start(service) -> None:
        await run_tasks(service, cluster.processor(), outputs=["calls.activity"])

    async with asyncio.timeout(DEADLINE_S):
        assert await run("silence", cluster.settings(), start, signals=False) == 2


async def test_a_position_the_log_no_longer_holds_stops_the_worker_with_the_offsets(cluster: Cluster) -> None:
    await cluster.append(0, frames(1, 30))
    async with worker(cluster):
        await cluster.settled()
    await cluster.append(0, frames(1, 30, start=30))
    admin = await start_admin(cluster.kafka, client_id="test")
    await admin.delete_records({TopicPartition(cluster.input_topic, 0): RecordsToDelete(before_offset=45)})
    await admin.close()

    async def start(service) -> None:
        await run_tasks(service, cluster.processor(), outputs=["calls.activity"])

    async with asyncio.timeout(DEADLINE_S):
        assert await run("silence", cluster.settings(), start, signals=False) == 2
