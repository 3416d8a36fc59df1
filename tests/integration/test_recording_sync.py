"""recording_sync on a real broker: samples equal, once each, through kills, restarts and bad records."""

import asyncio
import contextlib
import json
import signal
import sys
import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from runtime.config import KafkaSettings, child_environment
from runtime.kafka import NewTopic, TopicPartition, start_admin, start_consumer, start_producer
from runtime.service import run
from runtime.testing import LogRecord
from schemas.records import RecordingEvent
from schemas.symbols import FrameKind, Reason
from schemas.topics import RECORDINGS, dead_letters
from sinks.recording_sync.__main__ import start
from sinks.recording_sync.config import RecordingSyncSettings
from tests.sinks.recording_sync.calls import STORE, Call, Desk

pytestmark = pytest.mark.kafka
PARTITIONS = 2
DEADLINE_S = 60
ROOT = Path(__file__).parents[2]


@dataclass
class Studio:
    """A topic of calls and a folder of recordings, both of one test."""

    kafka: KafkaSettings
    topic: str
    root: Path

    @property
    def desk(self) -> Desk:
        return Desk(self.root)

    @property
    def settings(self) -> RecordingSyncSettings:
        return RecordingSyncSettings(
            kafka=self.kafka,
            store_url=(self.root / "store").as_uri(),
            work_folder=self.root / "work",
            write_interval_s=0.05,
        )

    @property
    def environment(self) -> dict[str, str]:
        return child_environment(
            {
                "PYTHONPATH": str(ROOT),
                "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
                "TOPIC_PREFIX": self.kafka.topic_prefix,
                "RECORDING_SYNC_STORE_URL": self.settings.store_url,
                "RECORDING_SYNC_WORK_FOLDER": str(self.settings.work_folder),
                "RECORDING_SYNC_WRITE_INTERVAL_S": "0.05",
            }
        )

    async def create_topics(self, names: list[str]) -> None:
        admin = await start_admin(self.kafka, client_id="test")
        config = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
        await admin.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs=config) for name in names])
        await admin.close()

    @property
    def names(self) -> list[str]:
        own = [f"{self.kafka.topic_prefix}{name}" for name in (RECORDINGS.name, dead_letters("recording_sync").name)]
        return [self.topic, *own]

    async def append(self, partition: int, records: list[LogRecord]) -> None:
        producer = await start_producer(self.kafka, client_id="test")
        for record in records:
            await producer.send(
                self.topic, record.value, key=record.key, partition=partition, timestamp_ms=record.timestamp
            )
        await producer.flush()
        await producer.stop()

    async def read(self, name: str) -> list:
        consumer = await start_consumer(self.kafka, client_id="check")
        partitions = [TopicPartition(f"{self.kafka.topic_prefix}{name}", number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found = []
        for tp in partitions:
            consumer.seek(tp, 0)
            while await consumer.position(tp) < ends[tp]:
                found += (await consumer.getmany(tp, timeout_ms=200)).get(tp, [])
        await consumer.stop()
        return found

    async def events(self) -> list[RecordingEvent]:
        return [STORE.decode(record.value, RecordingEvent) for record in await self.read(RECORDINGS.name)]

    async def sealed(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while len({event.event_id for event in await self.events()}) < count:
                await asyncio.sleep(0.1)

    async def marked(self, partition: int, offset: int) -> None:
        """Wait until the store's mark of a partition is at an offset or behind it."""
        path = self.root / "work" / f"{self.topic}-{partition}" / "mark.json"
        async with asyncio.timeout(DEADLINE_S):
            while not path.exists() or json.loads(path.read_text())["next_offset"] < offset:
                await asyncio.sleep(0.02)


@pytest.fixture
async def studio(kafka: str, tmp_path: Path) -> Studio:
    unique = uuid.uuid4().hex[:12]
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{unique}.")
    return Studio(settings, f"calls.{unique}", tmp_path)


@contextlib.asynccontextmanager
async def recording(studio: Studio):
    """The service in this loop; leaving the block stops it as SIGTERM would and demands exit code 0."""
    services = []

    async def begin(service) -> None:
        services.append(service)
        await start(service, studio.topic)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(run("recording_sync", studio.settings, begin, signals=False))
        async with asyncio.timeout(DEADLINE_S):
            while not services and not task.done():
                await asyncio.sleep(0.01)
        yield services[0]
        services[0].stopping.set()
        assert await task == 0


def session(number: int) -> bytes:
    return bytes([number]) * 16


async def test_the_samples_of_every_session_are_recorded_and_announced_through_a_restart(studio: Studio) -> None:
    logs: list[list[LogRecord]] = [[], []]
    calls = [Call(logs[n % 2], session(n + 1), f"call {n}").open() for n in range(4)]
    for _ in range(30):
        for call in calls:
            call.audio(1)
    first = [len(log) for log in logs]
    for call in calls:
        call.skip(FrameKind.DISCARDED, Reason.SOURCE_DISCARD, 9600).audio(20).close()
    await studio.create_topics(studio.names)
    async with recording(studio):
        for partition, log in enumerate(logs):
            await studio.append(partition, log[: first[partition]])
            await studio.marked(partition, first[partition])
    for partition, log in enumerate(logs):
        await studio.append(partition, log[first[partition] :])
    async with recording(studio):
        await studio.sealed(4)
    assert [studio.desk.samples(call.session) == bytes(call.truth) for call in calls] == [True] * 4
    events = await studio.events()
    assert sorted(event.conversation_id for event in events) == ["call 0", "call 1", "call 2", "call 3"]
    assert {event.sha512 for event in events} == {studio.desk.sidecar(call.session)["wav"]["sha512"] for call in calls}


@pytest.mark.slow
async def test_a_killed_process_repeats_and_loses_nothing(studio: Studio) -> None:
    await studio.create_topics(studio.names)
    log: list[LogRecord] = []
    calls = [Call(log, session(n + 1), f"call {n}").open() for n in range(6)]
    for _ in range(60):
        for call in calls:
            call.audio(1)
    for call in calls:
        call.close()
    for part in range(3):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "tests" / "integration" / "recording_worker.py"),
            studio.topic,
            env=studio.environment,
            stderr=asyncio.subprocess.DEVNULL,
        )
        start_at, stop_at = part * len(log) // 3, (part + 1) * len(log) // 3
        await studio.append(0, log[start_at:stop_at])
        await studio.marked(0, start_at + 1)
        if part == 2:
            await studio.sealed(6)
        process.send_signal(signal.SIGTERM if part == 2 else signal.SIGKILL)
        code = await process.wait()
    assert code == 0
    assert [studio.desk.samples(call.session) == bytes(call.truth) for call in calls] == [True] * 6
    assert len({event.event_id for event in await studio.events()}) == 6
    assert len(studio.desk.found()) == 12


async def test_two_processes_of_a_group_record_each_session_once(studio: Studio) -> None:
    await studio.create_topics(studio.names)
    logs: list[list[LogRecord]] = [[], []]
    calls = [Call(logs[n % 2], session(n + 1), f"call {n}").open() for n in range(4)]
    for call in calls:
        call.audio(25)
    half = [len(log) for log in logs]
    for call in calls:
        call.audio(25).close()
    async with recording(studio) as one:
        for partition, log in enumerate(logs):
            await studio.append(partition, log[: half[partition]])
            await studio.marked(partition, half[partition])
        async with recording(studio):
            for partition, log in enumerate(logs):
                await studio.append(partition, log[half[partition] :])
            await studio.sealed(4)
        assert not one.stopping.is_set()
    assert [studio.desk.samples(call.session) == bytes(call.truth) for call in calls] == [True] * 4
    assert len(await studio.events()) == 4


async def test_a_bad_record_becomes_a_dead_letter_and_the_next_one_is_recorded(studio: Studio) -> None:
    await studio.create_topics(studio.names)
    log: list[LogRecord] = []
    call = Call(log).open().audio(3)
    log.append(LogRecord(len(log), call.at_ms, b"key", b"\x00\x00\x00\x00\x09garbage"))
    call.audio(3).close()
    async with recording(studio):
        await studio.append(1, log)
        await studio.sealed(1)
    assert studio.desk.samples() == bytes(call.truth)
    (dead,) = await studio.read(dead_letters("recording_sync").name)
    headers = dict(dead.headers)
    assert (dead.key, dead.value, dead.partition) == (b"key", b"\x00\x00\x00\x00\x09garbage", 1)
    assert headers["__connect.errors.topic"] == studio.topic.encode()
    assert headers["__connect.errors.offset"] == b"4"
    assert b"schema id 9" in headers["__connect.errors.exception.message"]


async def test_it_waits_not_ready_for_topics_and_recovers_by_itself(studio: Studio) -> None:
    log: list[LogRecord] = []
    call = Call(log).open().audio(3).close()
    async with recording(studio) as service:
        async with asyncio.timeout(DEADLINE_S):
            while "missing" not in str(service.health.failing()):
                await asyncio.sleep(0.02)
        await studio.create_topics(studio.names)
        await studio.append(0, log)
        await studio.sealed(1)
        assert service.health.failing() == {}
    assert studio.desk.samples() == bytes(call.truth)


async def test_a_log_that_no_longer_holds_what_the_store_asks_for_is_a_bad_configuration(studio: Studio) -> None:
    await studio.create_topics(studio.names)
    log: list[LogRecord] = []
    Call(log).open().audio(3)
    await studio.append(0, log)
    folder = studio.root / "work" / f"{studio.topic}-0"
    async with recording(studio):
        await studio.marked(0, len(log))
    mark = json.loads((folder / "mark.json").read_text())
    (folder / "mark.json").write_text(json.dumps({**mark, "next_offset": 99}))
    assert await run("recording_sync", studio.settings, partial(start, topic=studio.topic), signals=False) == 2
