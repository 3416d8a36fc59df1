"""The Forwarder on a real broker: order per key, nothing lost, no turn twice, through crashes, stalls and outages."""

import asyncio
import contextlib
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runtime.config import KafkaSettings, RegistrySettings
from runtime.forwarder import run_forwarder
from runtime.kafka import NewTopic, TopicPartition, start_admin, start_consumer, start_producer
from runtime.service import run
from runtime.tuning import ForwarderTuning, ForwardingSettings
from schemas.codec import SchemaStore
from schemas.records import BotTurn, Utterance
from schemas.symbols import TurnState
from schemas.topics import dead_letters, turns
from tests.reading import read_committed
from tests.runtime.talking import Talking, nothing, until, utterance

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]
PARTITIONS = 2
DEADLINE_S = 60
ROOT = Path(__file__).parents[2]
STORE = SchemaStore()


@dataclass
class Cluster:
    """Topics of one test under a prefix of its own, and the file that stands for the outside."""

    kafka: KafkaSettings
    input_topic: str
    sent: Path
    tuning: dict[str, object] = field(default_factory=dict)

    @property
    def group(self) -> str:
        return f"{self.kafka.topic_prefix}cognigy"

    def settings(self, **tuning) -> ForwardingSettings:
        values = {"session_timeout_ms": 3000, "heartbeat_interval_ms": 300, "commit_interval_ms": 100, **tuning}
        return ForwardingSettings(kafka=self.kafka, registry=RegistrySettings(), forwarder=ForwarderTuning(**values))

    def talking(self, after_send=nothing, **options) -> Talking:
        return Talking(self.input_topic, self.sent, after_send, **options)

    async def append(
        self, partition: int, *texts: str, conversation: str = "c", timestamp_ms: int | None = None
    ) -> None:
        await self.append_values(
            partition, *(STORE.encode(utterance(text, conversation)) for text in texts), timestamp_ms=timestamp_ms
        )

    async def append_values(self, partition: int, *values: bytes, timestamp_ms: int | None = None) -> None:
        producer = await start_producer(self.kafka, client_id="test")
        for value in values:
            await producer.send(self.input_topic, value=value, key=b"k", partition=partition, timestamp_ms=timestamp_ms)
        await producer.flush()
        await producer.stop()

    async def answers(self, partition: int = 0) -> list[tuple[str, TurnState]]:
        rows = (await read_committed(self.kafka, f"{self.kafka.topic_prefix}calls.bot", PARTITIONS))[partition]
        turns_found = [STORE.decode(row.value, BotTurn) for row in rows]
        return [(turn.turn_id, turn.state) for turn in turns_found]

    async def answered(self, partition: int, count: int) -> list[tuple[str, TurnState]]:
        async with asyncio.timeout(DEADLINE_S):
            while len(found := await self.answers(partition)) < count:
                await asyncio.sleep(0.05)
        return found

    def texts_sent(self) -> list[str]:
        return self.sent.read_text(encoding="utf-8").split() if self.sent.exists() else []

    async def committed(self, partition: int = 0) -> int | None:
        consumer = await start_consumer(self.kafka, client_id="lag", group_id=self.group)
        try:
            return await consumer.committed(TopicPartition(self.input_topic, partition))
        finally:
            await consumer.stop()


async def create_cluster(kafka: str, folder: Path) -> Cluster:
    unique = uuid.uuid4().hex[:12]
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{unique}.")
    names = ("calls.bot", dead_letters("cognigy").name, turns("cognigy").name)
    config = {"retention.ms": "-1"}
    topics = [NewTopic(settings.topic_prefix + name, PARTITIONS, 1, topic_configs=config) for name in names]
    admin = await start_admin(settings, client_id="test")
    await admin.create_topics([NewTopic(f"input.{unique}", PARTITIONS, 1, topic_configs=config), *topics])
    await admin.close()
    return Cluster(settings, f"input.{unique}", folder / "sent")


@pytest.fixture
async def cluster(kafka: str, tmp_path: Path) -> Cluster:
    return await create_cluster(kafka, tmp_path)


@contextlib.asynccontextmanager
async def worker(cluster: Cluster, talking: Talking | None = None, before_step=None, exit_code: int = 0, **tuning):
    """A worker in this loop; leaving the block stops it as SIGTERM would and demands its exit code."""
    services = []
    hosted = talking or cluster.talking()

    async def start(service) -> None:
        services.append(service)
        await run_forwarder(service, hosted, record_type=Utterance, before_step=before_step or (lambda _: None))

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run("cognigy", cluster.settings(**tuning), start, signals=False))
        await until(lambda: bool(services) or task.done())
        yield services[0]
        services[0].stopping.set()
        assert await task == exit_code


async def ready(service) -> None:
    await until(service.health.is_ready)


async def test_each_text_is_sent_once_in_order_and_the_next_worker_goes_on_behind_it(cluster: Cluster) -> None:
    texts = [f"t{number}" for number in range(20)]
    await cluster.append(0, *texts)
    async with worker(cluster):
        assert await cluster.answered(0, 20) == [(text, TurnState.ANSWERED) for text in texts]
    assert await cluster.committed() == 20
    await cluster.append(0, "more")
    async with worker(cluster):
        assert (await cluster.answered(0, 21))[20:] == [("more", TurnState.ANSWERED)]
    assert cluster.texts_sent() == [*texts, "more"]
