"""Calls placed by the simulator reach calls.audio and calls.events on a real broker."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest

from audio.frames import Frames, decode
from audio.session import SessionTable, Verdict
from ingest.__main__ import start
from ingest.config import IngestSettings
from ingest.sources.audiohook.config import AudioHookSettings
from runtime.config import KafkaSettings, ServiceSettings
from runtime.kafka import NewTopic, TopicPartition, start_admin, start_consumer
from runtime.service import Service, run
from schemas import topics
from schemas.codec import SchemaStore
from schemas.records import CallEvent
from schemas.symbols import CallEventKind, FrameKind, Reason, Symbol
from simulators.audiohook import media, scenario
from simulators.audiohook.call import Call
from simulators.audiohook.client import Options, run_call, run_calls
from simulators.audiohook.report import CallReport
from simulators.audiohook.signature import Credentials

pytestmark = pytest.mark.kafka
PARTITIONS = 2
KEY, SECRET = "SGVsbG8sIEkgYW0gdGhlIEFQSSBrZXkh", "TXlTdXBlclNlY3JldEtleVRlbGxOby0xITJAMyM0JDU="
OPTIONS = Options(credentials=Credentials(KEY, SECRET))
SAMPLES_PER_MS = 8


@pytest.fixture
def settings(kafka, tmp_path):
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({KEY: SECRET}))
    return IngestSettings(
        kafka=KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex}."),
        service=ServiceSettings(drain_budget_s=15),
        audiohook=AudioHookSettings(port=free_port(), keys_file=keys, close_deadline_s=2),
        tick_interval_s=0.2,
        drain_sessions_s=0,
    )


def free_port() -> int:
    import socket  # noqa: PLC0415 - only here

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def create_topics(settings: IngestSettings) -> None:
    admin = await start_admin(settings.kafka, client_id="test")
    prefix = settings.kafka.topic_prefix
    wanted = [
        NewTopic(f"{prefix}{topic.name}", PARTITIONS, 1, topic_configs=topic.broker_config())
        for topic in (topics.AUDIO, topics.EVENTS, topics.SUBSCRIPTIONS, topics.dead_letters("ingest"))
    ]
    await admin.create_topics(wanted)
    await admin.close()


@asynccontextmanager
async def ingest(settings: IngestSettings) -> AsyncIterator[Service[IngestSettings]]:
    """A running ingest; leaving the block stops it as SIGTERM would and demands exit code 0."""
    begun: asyncio.Future[Service[IngestSettings]] = asyncio.get_running_loop().create_future()

    async def begin(service: Service[IngestSettings]) -> None:
        begun.set_result(service)
        await start(service)

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run("ingest", settings, begin, signals=False))
        service = await begun
        await until(lambda: "sources" in service.health._holding)
        yield service
        service.stopping.set()
        assert await running == 0


async def until(condition, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def url(settings: IngestSettings) -> str:
    return f"ws://127.0.0.1:{settings.audiohook.port}/audiohook/monitor?a=b"


async def read(settings: IngestSettings, topic: str) -> list[tuple[bytes | None, bytes, int]]:
    """Every record of a topic, partition by partition: key, value, partition."""
    name = f"{settings.kafka.topic_prefix}{topic}"
    consumer = await start_consumer(settings.kafka, client_id="check", auto_offset_reset="earliest")
    partitions = [TopicPartition(name, number) for number in range(PARTITIONS)]
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    found = []
    for tp in partitions:
        consumer.seek(tp, 0)
        while await consumer.position(tp) < ends[tp]:
            records = (await consumer.getmany(tp, timeout_ms=200)).get(tp, [])
            found += [(record.key, record.value, record.partition) for record in records]
    await consumer.stop()
    return found


class Stored:
    """What calls.audio and calls.events hold, ticks apart."""

    def __init__(self, audio: list, events: list) -> None:
        store = SchemaStore()
        self.frames: Frames = decode([value for _, value, _ in audio], store)
        assert not self.frames.errors
        self.keys = [key for key, _, _ in audio]
        self.partitions = [partition for _, _, partition in audio]
        self.verdicts = SessionTable().identify(self.frames, self.keys, 0).verdicts
        self.events = [store.decode(value, CallEvent) for _, value, _ in events]

    def rows(self, report: CallReport) -> list[int]:
        return [row for row, key in enumerate(self.keys) if key == report.conversation_id.encode()]

    def kinds(self, report: CallReport) -> list[str]:
        """The marks of a call in order, ALIVE and AUDIO apart."""
        kinds = [symbol(FrameKind, self.frames.kind[row]) for row in self.rows(report)]
        return [kind for kind in kinds if kind not in ("AUDIO", "ALIVE")]

    def audio(self, report: CallReport) -> list[bytes]:
        return [self.frames.payload(row) for row in self.rows(report) if self.frames.kind[row] == FrameKind.AUDIO.code]

    def call_events(self, report: CallReport) -> list[CallEvent]:
        return [event for event in self.events if event.conversation_id == report.conversation_id]

    def mark(self, report: CallReport, kind: FrameKind) -> tuple[str, int, int]:
        row = next(row for row in self.rows(report) if self.frames.kind[row] == kind.code)
        frames = self.frames
        return symbol(Reason, frames.reason[row]), int(frames.position_samples[row]), int(frames.duration_samples[row])


def symbol(kind: type[Symbol], code: int) -> str:
    return list(kind)[int(code)].value


async def stored(settings: IngestSettings) -> Stored:
    return Stored(await read(settings, topics.AUDIO.name), await read(settings, topics.EVENTS.name))


def tone_scenario(*actions: scenario.Action, frame_ms: int = 100) -> scenario.Scenario:
    return scenario.Scenario("tone", media.tone(2000), tuple(actions), frame_ms=frame_ms)


async def test_every_frame_sent_is_stored_byte_for_byte_with_its_marks_in_place(settings):
    await create_topics(settings)
    ms = SAMPLES_PER_MS
    played = tone_scenario(
        scenario.Discard(400 * ms, 1200 * ms, skips=False), scenario.Pause(1000 * ms, 300 * ms, skips=False)
    )
    calls = [Call(scenario=played, speed=8) for _ in range(5)]
    async with ingest(settings) as service:
        await until(service.health.is_ready)
        report = await run_calls(url(settings), calls, OPTIONS)
        probe = await run_call(url(settings), Call(scenario=played, probe=True), OPTIONS)
    assert report.ok, report.as_json()
    assert probe.ok, probe.as_json()
    found = await stored(settings)
    for call in report.calls:
        assert found.audio(call) == list(played.frames())
        assert found.kinds(call) == ["OPENED", "DISCARDED", "PAUSED", "RESUMED", "CLOSED"]
        assert found.mark(call, FrameKind.DISCARDED) == ("SOURCE_DISCARD", 400 * ms, 1200 * ms)
        assert found.mark(call, FrameKind.PAUSED)[:2] == ("SECURE_PAUSE", 2200 * ms)
        assert found.mark(call, FrameKind.CLOSED)[:2] == ("END", call.position_samples)
        rows = found.rows(call)
        assert np.array_equal(found.frames.sequence[rows], np.arange(len(rows)))
        events = found.call_events(call)
        assert [event.event_counter for event in events] == list(range(len(events)))
        assert {UUID(event.session_id).version for event in events} == {7}
    assert not found.rows(probe)
    assert not found.call_events(probe)
    ticks = found.frames.kind == FrameKind.TICK.code
    assert set(np.array(found.partitions)[ticks]) == set(range(PARTITIONS))
    assert CallEventKind.TICK in {event.kind for event in found.events}
    assert not (found.verdicts & Verdict.HOLE).any()


async def test_calls_are_answered_before_the_topics_exist_and_stored_afterwards(settings):
    played = tone_scenario()
    async with ingest(settings) as service:
        report = await run_calls(url(settings), [Call(scenario=played, speed=8) for _ in range(2)], OPTIONS)
        assert not service.health.is_ready()
        await create_topics(settings)
        await until(service.health.is_ready)
    assert report.ok, report.as_json()
    found = await stored(settings)
    for call in report.calls:
        assert found.audio(call) == list(played.frames())
        assert found.kinds(call) == ["OPENED", "CLOSED"]


async def test_a_call_that_lives_at_the_stop_is_ended_by_the_protocol_and_loses_no_frame(settings):
    await create_topics(settings)
    sizes = []
    async with asyncio.TaskGroup() as tasks:
        async with ingest(settings):
            options = replace(OPTIONS, on_start=sizes.append)
            calling = tasks.create_task(run_call(url(settings), Call(scenario=scenario.conversation()), options))
            await until(lambda: sizes and sizes[0].frames_sent >= 3)
        report = await calling
    assert report.disconnect_reason == "completed"
    found = await stored(settings)
    assert b"".join(found.audio(report)) == b"".join(scenario.conversation().frames())[: report.bytes_sent]
    assert found.mark(report, FrameKind.CLOSED)[0] == "DRAIN"


async def test_a_cut_connection_ends_with_a_mark_that_says_so(settings):
    await create_topics(settings)
    async with ingest(settings):
        report = await run_call(
            url(settings), Call(scenario=tone_scenario(scenario.Drop(800 * SAMPLES_PER_MS)), speed=8), OPTIONS
        )
    found = await stored(settings)
    assert found.mark(report, FrameKind.CLOSED)[:2] == ("SOCKET_LOST", 800 * SAMPLES_PER_MS)


async def test_an_unsigned_request_with_a_key_that_has_a_secret_is_refused(settings):
    async with ingest(settings):
        unsigned = Options(credentials=Credentials(KEY, None))
        report = await run_call(url(settings), Call(scenario=tone_scenario()), unsigned)
    assert report.http_status == 401
