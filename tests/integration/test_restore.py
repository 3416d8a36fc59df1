"""What a worker restores from, on a real broker: the right state, or a stop that names the place and the command."""

import asyncio
import contextlib
import dataclasses

import pytest

from callstream import state_command
from runtime.checkpoint import Application, ChangelogReader, changelog_key
from runtime.config import RegistrySettings
from runtime.kafka import (
    NewTopic,
    RecordsToDelete,
    TopicAlreadyExistsError,
    TopicPartition,
    start_admin,
    start_producer,
)
from runtime.service import run
from runtime.worker import run_tasks
from schemas.codec import SchemaStore
from schemas.records import ChangelogEntry
from schemas.topics import AUDIT, dead_letters
from tests.integration.test_task_host import DEADLINE_S, PARTITIONS, Cluster, create_cluster, frames, worker
from tests.runtime.counting import CountingProcessor

pytestmark = pytest.mark.kafka


@pytest.fixture
async def cluster(kafka: str) -> Cluster:
    return await create_cluster(kafka)


class Newer(CountingProcessor):
    """A later release: it writes version 2 and still reads version 1."""

    state_version = 2

    def restore(self, version: int, snapshot: bytes):
        assert version in {1, 2}
        return super().restore(version, snapshot)


def application(cluster: Cluster) -> Application:
    return Application("silence", cluster.kafka.topic_prefix)


async def newest(cluster: Cluster) -> ChangelogEntry:
    reader = ChangelogReader(cluster.kafka, application(cluster), SchemaStore())
    try:
        found = await reader.read(cluster.input_topic, 0)
    finally:
        await reader.close()
    assert found.entry is not None
    return found.entry


async def write_state(cluster: Cluster, value: bytes | None, *, commit: bool = True, key: bytes = b"") -> None:
    """One transaction with one changelog record of partition 0, as its owner would write it."""
    identity = application(cluster).transactional_id(cluster.input_topic, 0)
    producer = await start_producer(cluster.kafka, client_id="test", transactional_id=identity)
    await producer.begin_transaction()
    key = key or changelog_key(cluster.input_topic, 0)
    await producer.send_and_wait(application(cluster).changelog_topic, value=value, key=key, partition=0)
    await (producer.commit_transaction() if commit else producer.abort_transaction())
    await producer.stop()


async def stopped(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a worker that must stop by itself as badly configured; return what it says is wrong."""
    capsys.readouterr()

    async def start(service) -> None:
        await run_tasks(service, cluster.processor(), outputs=["calls.activity"])

    async with asyncio.timeout(DEADLINE_S):
        assert await run("silence", cluster.settings(), start, signals=False) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "the configuration is bad" in line]
    assert len(lines) == 1
    return lines[0]


async def processed(cluster: Cluster, count: int = 20) -> None:
    await cluster.append(0, frames(1, count))
    async with worker(cluster):
        await cluster.settled()


async def made_anew(cluster: Cluster) -> None:
    """Delete the input topic and create it again, empty."""
    admin = await start_admin(cluster.kafka, client_id="test")
    await admin.delete_topics([cluster.input_topic])
    config = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
    async with asyncio.timeout(DEADLINE_S):
        while cluster.input_topic in await admin.list_topics():
            await asyncio.sleep(0.1)
        while True:
            with contextlib.suppress(TopicAlreadyExistsError):
                await admin.create_topics([NewTopic(cluster.input_topic, PARTITIONS, 1, topic_configs=config)])
                break
            await asyncio.sleep(0.1)
    await admin.close()


async def outputs_of(cluster: Cluster) -> int:
    return len((await cluster.read("calls.activity"))[0])


async def test_the_newest_state_is_found_where_aborted_and_committed_transactions_alternate_and_markers_end_the_log(
    cluster: Cluster,
) -> None:
    await processed(cluster)
    for number in range(10):
        await write_state(cluster, b"never seen", commit=False)
        await write_state(cluster, b"another partition's", key=b"elsewhere/%d" % number)
    await write_state(cluster, b"never seen", commit=False)
    assert (await newest(cluster)).position == 20
    await cluster.append(0, frames(1, 20, start=20))
    async with worker(cluster):
        await cluster.settled()


async def test_a_state_of_an_older_version_is_read_and_goes_on_in_the_newer_one(cluster: Cluster) -> None:
    await processed(cluster, 23)
    await cluster.append(0, frames(1, 20, start=23))
    async with worker(cluster, Newer):
        await cluster.settled()
    assert (await newest(cluster)).version == 2


async def test_a_state_of_a_newer_version_stops_the_worker_with_place_version_and_command(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    await cluster.append(0, frames(1, 20))
    async with worker(cluster, Newer):
        await cluster.settled()
    before = await outputs_of(cluster)
    said = await stopped(cluster, capsys)
    place = f"{application(cluster).changelog_topic}/0 offset "
    for part in (
        place,
        "state version 2, position 20",
        "callstream state reset silence 0 --yes",
        "written a second time",
    ):
        assert part in said
    assert await outputs_of(cluster) == before


async def test_a_state_just_below_the_limit_is_committed_and_restored(cluster: Cluster) -> None:
    await processed(cluster, 20)

    class Large(CountingProcessor):
        """Keeps what it should forget, and begins to at its second start."""

        def snapshot(self, state) -> bytes:
            return super().snapshot(state) + bytes(7 * 2**20)

        def restore(self, version: int, snapshot: bytes):
            return super().restore(version, snapshot.rstrip(b"\0"))

    await cluster.append(0, frames(1, 20, start=20))
    async with worker(cluster, Large, commit_interval_ms=500):
        await cluster.settled()
    assert len((await newest(cluster)).state) > 7 * 2**20
    await cluster.append(0, frames(1, 20, start=40))
    async with worker(cluster, Large, commit_interval_ms=500):
        await cluster.settled()


async def test_the_position_holds_on_a_topic_whose_broker_stamps_the_records(cluster: Cluster) -> None:
    admin = await start_admin(cluster.kafka, client_id="test")
    cluster.input_topic = f"stamped.{cluster.input_topic}"
    config = {"message.timestamp.type": "LogAppendTime"}
    await admin.create_topics([NewTopic(cluster.input_topic, PARTITIONS, 1, topic_configs=config)])
    await admin.close()
    for start in (0, 30):
        await cluster.append(0, frames(1, 30, start=start))
        async with worker(cluster), asyncio.timeout(DEADLINE_S):
            while await outputs_of(cluster) < (start + 30) // 5:
                await asyncio.sleep(0.05)
    assert (await newest(cluster)).position == 60


def cut_short(entry: ChangelogEntry) -> bytes:
    return SchemaStore().encode(dataclasses.replace(entry, state=entry.state[:-3]))


def unknown_to_the_processor(entry: ChangelogEntry) -> bytes:
    return SchemaStore().encode(dataclasses.replace(entry, state=b"what an experiment wrote"))


def no_entry(_: ChangelogEntry) -> bytes:
    return b"no entry at all"


@pytest.mark.parametrize("damage", [cut_short, unknown_to_the_processor, no_entry])
async def test_a_damaged_state_stops_the_worker_and_is_never_replaced_by_an_empty_one(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], damage
) -> None:
    await processed(cluster)
    await write_state(cluster, damage(await newest(cluster)))
    await cluster.append(0, frames(1, 20, start=20))
    before = await outputs_of(cluster)
    said = await stopped(cluster, capsys)
    assert f"{application(cluster).changelog_topic}/0 offset " in said
    assert "callstream state reset silence 0 --yes" in said
    assert await outputs_of(cluster) == before


async def test_an_input_made_anew_is_noticed_also_when_it_is_longer_by_now(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    await processed(cluster)
    before = await outputs_of(cluster)
    await made_anew(cluster)
    assert "which was never written" in await stopped(cluster, capsys)
    # as LogAppendTime has it: whatever a new topic holds is younger than what the old one held
    await cluster.append(0, frames(7, 40))
    assert "deleted and made anew" in await stopped(cluster, capsys)
    assert await outputs_of(cluster) == before


async def test_input_gone_by_retention_is_a_stop_and_after_a_reset_processing_begins_at_what_is_left(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    await processed(cluster)
    await cluster.append(0, frames(1, 40, start=20))
    admin = await start_admin(cluster.kafka, client_id="test")
    await admin.delete_records({TopicPartition(cluster.input_topic, 0): RecordsToDelete(before_offset=45)})
    audit = NewTopic(f"{cluster.kafka.topic_prefix}{AUDIT.name}", 1, 1)
    await admin.create_topics([audit])
    await admin.close()
    said = await stopped(cluster, capsys)
    assert "the log holds 45 to 60: 25 were never read" in said
    assert f"TOPIC_PREFIX={cluster.kafka.topic_prefix} callstream state reset silence 0 --yes" in said
    before = await outputs_of(cluster)
    await state_command.begun_anew(cluster.kafka, RegistrySettings(), "silence", 0, cluster.input_topic)
    async with worker(cluster), asyncio.timeout(DEADLINE_S):
        while await outputs_of(cluster) < before + 3:
            await asyncio.sleep(0.1)
    assert (await newest(cluster)).position == 60


async def test_a_running_worker_follows_a_reset(cluster: Cluster) -> None:
    admin = await start_admin(cluster.kafka, client_id="test")
    await admin.create_topics([NewTopic(f"{cluster.kafka.topic_prefix}{AUDIT.name}", 1, 1)])
    await admin.close()
    await cluster.append(0, frames(1, 20))
    async with worker(cluster):
        await cluster.settled()
        await state_command.begun_anew(cluster.kafka, RegistrySettings(), "silence", 0, cluster.input_topic)
        await cluster.append(0, frames(1, 10, start=20))
        async with asyncio.timeout(DEADLINE_S):
            while await outputs_of(cluster) < 4 + 6:
                await asyncio.sleep(0.1)
    rows = (await cluster.read("calls.activity"))[0]
    assert rows[:4] == rows[4:8]


async def test_a_changelog_that_was_lost_is_no_first_start(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    await processed(cluster)
    await cluster.append(0, frames(1, 20, start=20))
    topic = application(cluster).changelog_topic
    admin = await start_admin(cluster.kafka, client_id="test")
    await admin.delete_topics([topic])
    async with asyncio.timeout(DEADLINE_S):
        while topic in await admin.list_topics():
            await asyncio.sleep(0.1)
    await admin.create_topics([NewTopic(topic, PARTITIONS, 1, topic_configs={"cleanup.policy": "compact"})])
    await admin.close()
    said = await stopped(cluster, capsys)
    assert "the group has processed up to offset 20: the changelog was lost" in said


async def test_a_topic_full_of_bad_records_stops_the_worker_and_the_setting_it_names_lets_them_pass(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    await cluster.append(0, [b"garbage %d" % number for number in range(700)])
    said = await stopped(cluster, capsys)
    assert f"{cluster.input_topic}/0 are bad" in said
    assert "first at offsets 0, 1, 2, the one too many at 500" in said
    assert "SILENCE_TASK_HOST_MAX_BAD_RATIO=1" in said
    letters = dead_letters("silence").name
    assert (await cluster.read(letters))[0] == []
    async with worker(cluster, max_bad_ratio=1), asyncio.timeout(DEADLINE_S):
        while len((await cluster.read(letters))[0]) < 700:
            await asyncio.sleep(0.1)
