"""A batch the broker refuses inside a transaction takes the whole commit with it: `commit_transaction` alone succeeds.

Nothing of the commit may be read afterwards, neither what came before the refused record nor the state, and the next
owner goes on from the state before.
"""

import asyncio
import uuid
from dataclasses import dataclass

import pytest

from runtime.checkpoint import Application, ChangelogReader, Checkpoint
from runtime.config import KafkaSettings
from runtime.errors import InvalidRecord
from runtime.kafka import NewTopic, TopicPartition, start_admin
from runtime.service import Service, run
from runtime.task import Frozen, Output
from runtime.tuning import ProcessorSettings
from runtime.worker import run_tasks
from schemas.codec import SchemaStore
from schemas.records import ChangelogEntry
from schemas.topics import changelog
from tests.integration.test_task_host import DEADLINE_S, Cluster, create_cluster, frames, worker
from tests.kafka_fixture import unique_topic
from tests.reading import read_committed
from tests.runtime.counting import CountingProcessor

pytestmark = pytest.mark.kafka
TP = TopicPartition(unique_topic("input"), 0)
STAMP_MS = 1_700_000_000_000
TOO_LARGE = 1_200_000
"""More than a topic takes by default, less than a producer refuses by itself."""
REFUSED = {
    "too large": Output("calls.activity", b"key", bytes(TOO_LARGE), STAMP_MS),
    "no key on a compacted topic": Output("calls.subscriptions", None, b"value", STAMP_MS),
}


@dataclass
class Place:
    """Topics of one application, one of them compacted."""

    kafka: KafkaSettings

    @property
    def application(self) -> Application:
        return Application("silence", self.kafka.topic_prefix)

    async def commit(self, *outputs: Output, position: int) -> None:
        """Commit as an owner that has just taken the partition over."""
        owner = await Checkpoint.open(self.kafka, self.application, TP, 60_000)
        entry = ChangelogEntry(version=1, position=position)
        try:
            await owner.commit(Frozen(outputs, entry, SchemaStore().encode(entry)), 20)
        finally:
            await owner.close()

    async def position(self) -> int:
        reader = ChangelogReader(self.kafka, self.application, SchemaStore())
        try:
            return (await reader.read(TP.topic, TP.partition)).entry.position
        finally:
            await reader.close()

    async def values(self, topic: str) -> list[bytes]:
        (rows,) = await read_committed(self.kafka, self.application.topic(topic), 1)
        return [row.value for row in rows]


@pytest.fixture
async def place(kafka: str) -> Place:
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex[:12]}.")
    compacted = {"cleanup.policy": "compact"}
    # records of long ago would be deleted at once
    kept = {"retention.ms": "-1"}
    configs = {"calls.activity": kept, "calls.subscriptions": compacted, changelog("silence").name: compacted}
    admin = await start_admin(settings, client_id="test")
    # offsets of an input topic that does not exist would be sent for ever
    await admin.create_topics([NewTopic(TP.topic, 1, 1)])
    await admin.create_topics(
        [NewTopic(settings.topic_prefix + name, 1, 1, topic_configs=config) for name, config in configs.items()]
    )
    await admin.close()
    return Place(settings)


@pytest.mark.parametrize("kind", REFUSED)
async def test_a_refused_record_aborts_everything_that_was_to_be_committed_with_it(place: Place, kind: str) -> None:
    before, beside, after = (Output("calls.activity", b"key", value, STAMP_MS) for value in (b"1", b"2", b"3"))
    await place.commit(before, position=1)
    with pytest.raises(InvalidRecord):
        await place.commit(beside, REFUSED[kind], position=2)
    assert await place.position() == 1
    assert await place.values("calls.activity") == [b"1"]
    await place.commit(after, position=3)
    assert await place.position() == 3
    assert await place.values("calls.activity") == [b"1", b"3"]
    assert await place.values("calls.subscriptions") == []


@pytest.fixture
async def cluster(kafka: str) -> Cluster:
    return await create_cluster(kafka)


class Talkative(CountingProcessor):
    """Emits, for the tenth frame of a session, what no topic takes."""

    def _window(self, state, session, kind, slot):
        window = super()._window(state, session, kind, slot)
        if state.frames.get(session, 0) == 10:
            object.__setattr__(window, "conversation_id", "x" * TOO_LARGE)
        return window


async def test_a_worker_whose_output_is_refused_commits_nothing_of_that_step_and_ends_as_faulty(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    await cluster.append(0, frames(1, 20))

    async def start(service: Service[ProcessorSettings]) -> None:
        await run_tasks(service, cluster.processor(Talkative), outputs=["calls.activity"])

    async with asyncio.timeout(DEADLINE_S):
        assert await run("silence", cluster.settings(), start, signals=False) == 1
    assert "error_class=InvalidRecord" in capsys.readouterr().err
    assert (await cluster.read("calls.activity"))[0] == []
    async with worker(cluster):
        await cluster.settled()
