"""The Forwarder on a real broker: order per key, nothing lost, no turn twice, through crashes, stalls and outages."""

import asyncio
import contextlib
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiokafka.admin import RecordsToDelete  # noqa: TID251 - an operation no component needs

from runtime.config import KafkaSettings, RegistrySettings
from runtime.deadletter import kept
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

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]
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


async def ended_by_itself(cluster: Cluster) -> int:
    async def start(service) -> None:
        await run_forwarder(service, cluster.talking(), record_type=Utterance)

    async with asyncio.timeout(DEADLINE_S):
        return await run("cognigy", cluster.settings(), start, signals=False)


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


async def test_a_record_nobody_can_use_becomes_a_dead_letter_and_the_others_go_on(cluster: Cluster) -> None:
    await cluster.append(0, "one", "bad", "nothing")
    await cluster.append_values(0, b"garbage")
    await cluster.append(0, "large", "two")
    async with worker(cluster):
        assert [text for text, _ in await cluster.answered(0, 2)] == ["one", "two"]
    letters = (await read_committed(cluster.kafka, f"{cluster.kafka.topic_prefix}cognigy.dlq", PARTITIONS))[0]
    about = [dict(letter.headers) for letter in letters]
    assert {headers["__connect.errors.offset"]: headers["__connect.errors.stage"] for headers in about} == {
        b"1": b"forward",
        b"3": b"decode",
        b"4": b"forward",
    }
    assert {letter.value for letter in letters} >= {kept("calls.utterances", b"garbage")}
    assert await cluster.committed() == 6


async def test_keys_go_on_while_one_waits_and_only_what_is_finished_before_it_is_committed(cluster: Cluster) -> None:
    go_on = asyncio.Event()

    async def wait(text: str) -> None:
        if text == "slow":
            await go_on.wait()

    await cluster.append(0, "first")
    await cluster.append(0, "slow", "behind", conversation="a")
    await cluster.append(0, "quick1", "quick2", conversation="b")
    async with worker(cluster, cluster.talking(wait)):
        assert [text for text, _ in await cluster.answered(0, 3)] == ["first", "quick1", "quick2"]
        async with asyncio.timeout(DEADLINE_S):
            while await cluster.committed() != 1:
                await asyncio.sleep(0.05)
        go_on.set()
        assert [text for text, _ in await cluster.answered(0, 5)][3:] == ["slow", "behind"]
    assert await cluster.committed() == 5


async def test_reading_pauses_while_too_much_waits(cluster: Cluster) -> None:
    go_on = asyncio.Event()
    talking = cluster.talking(lambda _: go_on.wait())
    await cluster.append(0, *(f"t{number}" for number in range(40)))
    async with worker(cluster, talking, max_waiting_records=4, max_records=2):
        await until(lambda: len(talking.planned) >= 4)
        await asyncio.sleep(0.5)
        assert len(talking.planned) <= 6
        go_on.set()
        answers = await cluster.answered(0, 40)
    assert [text for text, _ in answers] == [f"t{number}" for number in range(40)]


async def test_a_stop_lets_a_job_under_way_end_and_starts_no_other(cluster: Cluster) -> None:
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_: str) -> None:
        under_way.set()
        await go_on.wait()

    await cluster.append(0, "one", "two")
    async with worker(cluster, cluster.talking(wait)) as service:
        await under_way.wait()
        service.stopping.set()
        await asyncio.sleep(0.2)
        go_on.set()
    assert await cluster.answers() == [("one", TurnState.ANSWERED)]
    assert await cluster.committed() == 1


async def test_an_error_of_the_component_ends_the_process_after_what_is_finished_was_committed(
    cluster: Cluster,
) -> None:
    async def fail(text: str) -> None:
        if text == "two":
            raise ZeroDivisionError

    await cluster.append(0, "one", "two", "three")
    async with worker(cluster, cluster.talking(fail), exit_code=1, commit_interval_ms=60_000):
        await cluster.answered(0, 1)
    assert await cluster.committed() == 1
    async with worker(cluster):
        answers = await cluster.answered(0, 3)
    assert answers[1:] == [("two", TurnState.AMBIGUOUS), ("three", TurnState.ANSWERED)]


async def test_a_new_owner_sees_the_records_before_it_without_carrying_them_again(cluster: Cluster) -> None:
    for number in range(6):
        await cluster.append(0, f"t{number}", timestamp_ms=1_700_000_000_000 + 1000 * number)
    async with worker(cluster):
        await cluster.answered(0, 6)
    talking = cluster.talking(lookback_ms=2500)
    await cluster.append(0, "new", timestamp_ms=1_700_000_100_000)
    async with worker(cluster, talking):
        await cluster.answered(0, 7)
    assert talking.planned == [(0, text) for text in ("t3", "t4", "t5", "new")]
    assert Counter(cluster.texts_sent()) == Counter(dict.fromkeys(("t0", "t1", "t2", "t3", "t4", "t5", "new"), 1))


async def test_a_group_that_begins_at_the_end_keeps_that_place_before_it_is_ready(cluster: Cluster) -> None:
    await cluster.append(0, "before")
    talking = cluster.talking()
    talking.first_start = "latest"
    async with worker(cluster, talking) as service:
        await ready(service)
    await cluster.append(0, "while nobody listens")
    async with worker(cluster, talking):
        await cluster.answered(0, 1)
    assert [text for _, text in talking.planned] == ["while nobody listens"]


async def test_an_offset_the_log_no_longer_holds_stops_the_worker_with_what_helps(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    await cluster.append(0, "one")
    async with worker(cluster):
        await cluster.answered(0, 1)
    await cluster.append(0, "two", "three", "four")
    admin = await start_admin(cluster.kafka, client_id="test")
    await admin.delete_records({TopicPartition(cluster.input_topic, 0): RecordsToDelete(before_offset=3)})
    await admin.close()
    assert await ended_by_itself(cluster) == 2
    text = capsys.readouterr().err
    assert "offset 1, which was deleted by retention (the log holds 3 to 4)" in text
    assert "--reset-offsets --to-earliest" in text


async def test_different_partition_counts_are_a_configuration_error(cluster: Cluster) -> None:
    odd = f"odd.{cluster.input_topic}"
    admin = await start_admin(cluster.kafka, client_id="test")
    await admin.create_topics([NewTopic(odd, PARTITIONS + 1, 1)])
    await admin.close()
    cluster.input_topic = odd
    assert await ended_by_itself(cluster) == 2
