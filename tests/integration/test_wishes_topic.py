"""The wishes on a topic, who published them, and who had calls before, on a real broker."""

import asyncio
import uuid

import pytest

from ingest.predecessors import Looks, Sought, Tail, looks_of
from ingest.protocol import Call
from ingest.publishing import Publisher, SubscriptionsTopic
from ingest.wishes import Change, of_calls
from runtime.clock import SystemClock
from runtime.config import KafkaSettings, RegistrySettings
from runtime.kafka import NewTopic, Partitioner, start_admin, start_producer
from runtime.registry import Registry
from schemas.codec import SchemaStore
from schemas.records import Subscription
from schemas.symbols import FrameKind, Source
from schemas.topics import AUDIO, SUBSCRIPTIONS
from tests.ingest.test_predecessors import NEW, STORE, frame
from tests.ingest.test_publishing import LINE, LOG

pytestmark = pytest.mark.kafka


@pytest.fixture
async def topic(kafka):
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex}.")
    admin = await start_admin(settings, client_id="test")
    name = f"{settings.topic_prefix}{SUBSCRIPTIONS.name}"
    await admin.create_topics([NewTopic(name, 4, 1, topic_configs=SUBSCRIPTIONS.broker_config())])
    await admin.close()
    return SubscriptionsTopic(settings, Registry(RegistrySettings()), SchemaStore(), "test")


async def test_lists_and_file_take_back_only_their_own_and_leave_the_operator_s(topic, tmp_path):
    path, stopping = tmp_path / "follow.jsonl", asyncio.Event()
    path.write_text(LINE % "from-file" + LINE % "both")

    def publisher(*listed: str) -> Publisher:
        wishes = of_calls({"media-streams": [Call(name) for name in listed]})
        return Publisher(topic, wishes, SystemClock(), LOG)

    async def stands() -> dict[str, str]:
        return {key: wish.requested_by for key, wish in (await topic.read())[0].items()}

    async def until(expected: dict[str, str]) -> None:
        async with asyncio.timeout(30):
            while await stands() != expected:
                await asyncio.sleep(0.05)

    operators = Subscription(conversation_id="operators", source_name="media-streams", requested_by="operator")
    await topic.write([Change("operators", "operators", operators)], 4)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(publisher("listed", "both").run(path, stopping))
        first = {"operators": "operator", "listed": "settings", "both": "settings", "from-file": "file"}
        await until(first)
        path.write_text("{nonsense")
        await asyncio.sleep(1.2)
        assert await stands() == first
        path.write_text(LINE % "new")
        await until({"operators": "operator", "listed": "settings", "both": "settings", "new": "file"})
        stopping.set()
    await publisher().run(None, asyncio.Event())
    await until({"operators": "operator", "new": "file"})


async def test_what_is_written_stands_in_its_conversation_s_partition_and_what_cannot_be_read_is_left_out(topic):
    wish = Subscription(conversation_id="c-1", source_name="appfoundry")
    await topic.write([Change("c-1/appfoundry", "c-1", wish)], 4)
    producer = await start_producer(topic._kafka, client_id="test")
    await producer.send_and_wait(topic.topic, b"nonsense", key=b"bad")
    await producer.stop()
    assert await topic.read() == ({"c-1/appfoundry": wish}, 4)
    producer = await start_producer(topic._kafka, client_id="test")
    await producer.send_and_wait(topic.topic, None, key=b"c-1/appfoundry", partition=Partitioner(4).partition(b"c-1"))
    await producer.stop()
    assert await topic.read() == ({}, 4)


async def test_a_record_without_a_key_hides_no_other_on_a_topic_that_takes_it(kafka):
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex}.")
    topic = SubscriptionsTopic(settings, Registry(RegistrySettings()), SchemaStore(), "test")
    admin = await start_admin(settings, client_id="test")
    await admin.create_topics([NewTopic(topic.topic, 4, 1)])
    await admin.close()
    wish = Subscription(conversation_id="c-1", source_name="appfoundry")
    await topic.write([Change("c-1", "c-1", wish)], 4)
    producer = await start_producer(settings, client_id="test")
    await producer.send_and_wait(topic.topic, b"nonsense", partition=1)
    await producer.stop()
    assert await topic.read() == ({"c-1": wish}, 4)


class Log:
    """A calls.audio of two partitions whose records have times of our own: the topic itself has the broker's."""

    def __init__(self, kafka: str) -> None:
        self.settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex}.")
        self.topic = f"{self.settings.topic_prefix}{AUDIO.name}"
        self.clock = SystemClock()
        self.now_s = self.clock.wall_s()

    async def hold(self, ages_s: list[tuple[str | None, float]]) -> None:
        """Hold a record of each call at its age, in partition 1; None: a TICK."""
        admin = await start_admin(self.settings, client_id="test")
        await admin.create_topics([NewTopic(self.topic, 2, 1)])
        await admin.close()
        producer = await start_producer(self.settings, client_id="test")
        for name, age_s in sorted(ages_s, key=lambda one: -one[1]):
            at_s = self.now_s - age_s
            await producer.send_and_wait(
                self.topic,
                frame(NEW, FrameKind.TICK if name is None else FrameKind.ALIVE, at_s),
                key=None if name is None else name.encode(),
                partition=1,
                timestamp_ms=round(at_s * 1000),
            )
        await producer.stop()

    async def before(self, looks: Looks, *names: str) -> dict[str, float]:
        """Return how long ago those were heard last of whom anything is found."""
        tail = Tail(self.settings, Registry(RegistrySettings()), STORE, self.clock, "test", looks=looks)
        sought = [Sought(name, Source.MEDIA_STREAMS, 1) for name in names]
        answer = await tail.predecessors([*sought, Sought("nobody", Source.MEDIA_STREAMS, 0)])
        return {
            one.conversation_id: round(self.now_s - (found.last_captured_s or 0), 3) for one, found in answer.items()
        }


async def test_the_end_of_the_topic_is_read_as_far_back_as_a_live_session_may_be_quiet(kafka):
    log, looks = Log(kafka), looks_of(20.0, 5.0)
    # of a process that was missed after 20 s twice, and of a session that had just not yet said that it lives
    calls = {"recent": 5.0, "quiet": 60 + 5 + 2 * 20.0}
    ticks = [(None, 5.0 * number) for number in range(40)]
    await log.hold([*calls.items(), ("gone", looks.second_s + 30), *ticks])
    assert await log.before(looks, "recent", "quiet", "gone") == calls


@pytest.mark.parametrize("back_s", [3.0, None], ids=["others write again", "nobody wrote since"])
async def test_where_nobody_wrote_for_minutes_the_end_is_before_that(kafka, back_s):
    log, looks = Log(kafka), looks_of(6.0, 5.0)
    calls = {"heard": 300.5, "quiet": 362.0}
    await log.hold(
        [
            *calls.items(),
            ("gone", 700.0),
            *[(None, 300 + 5.0 * number) for number in range(100)],
            *([] if back_s is None else [(None, back_s)]),
        ]
    )
    assert await log.before(looks, "heard", "quiet", "gone") == calls


async def test_after_a_quarter_of_an_hour_of_silence_nobody_is_sought(kafka):
    log, looks = Log(kafka), looks_of(6.0, 5.0)
    await log.hold([("heard", 1_000.0), (None, 1_000.0)])
    assert await log.before(looks, "heard") == {}
