"""Calls while the real broker is dead, and while ingest is killed beside it: what was received is stored afterwards."""

import asyncio
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from callstream.embedded_kafka import EmbeddedKafka
from ingest import __main__ as service_module
from ingest.config import IngestSettings
from ingest.sources.audiohook.config import AudioHookSettings
from ingest.spool.config import SpoolSettings
from runtime.config import KafkaSettings, ServiceSettings, child_environment
from schemas.symbols import FrameKind
from simulators.audiohook import media, scenario
from simulators.audiohook.call import Call
from simulators.audiohook.client import Options, run_calls
from simulators.audiohook.report import CallReport
from tests.integration.test_ingest import KEY, OPTIONS, SECRET, create_topics, free_port, ingest, stored, until, url
from tests.kafka_fixture import CACHE_DIR

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]
CALLS = 12
LONGEST_LOSS_S = 1.5
"""What was received in the last second may be missing; the rest is for a machine that does other things too."""


@pytest.fixture
async def broker(tmp_path) -> AsyncIterator[EmbeddedKafka]:
    """A broker of this test alone: it is killed."""
    own = EmbeddedKafka(tmp_path / "kafka", cache_dir=CACHE_DIR, report=lambda line: None)
    await own.start()
    yield own
    await own.stop()


@pytest.fixture
def settings(broker, tmp_path) -> IngestSettings:
    keys, key = tmp_path / "keys.json", tmp_path / "spool.key"
    keys.write_text(json.dumps({KEY: SECRET}))
    key.write_text("5a" * 32)
    return IngestSettings(
        kafka=KafkaSettings(bootstrap_servers=broker.bootstrap_servers, topic_prefix=f"replay.{uuid.uuid4().hex}."),
        service=ServiceSettings(drain_budget_s=30),
        audiohook=AudioHookSettings(port=free_port(), keys_file=keys, close_deadline_s=2),
        spool=SpoolSettings(folder=tmp_path / "spool", key_file=key),
        tick_interval_s=0.5,
        drain_sessions_s=0,
    )


def calls(seconds: float) -> list[Call]:
    played = scenario.Scenario("tone", media.tone(round(seconds * 1000)), (), frame_ms=100)
    return [Call(scenario=played) for _ in range(CALLS)]


def spooled_bytes(settings: IngestSettings) -> int:
    return sum(path.stat().st_size for path in Path(settings.spool.folder or "").glob("segment-*.spool"))


def files(settings: IngestSettings) -> set[str]:
    return {path.name for path in Path(settings.spool.folder or "").iterdir()}


async def test_a_dead_broker_costs_no_frame_and_memory_is_free_meanwhile(settings, broker, monkeypatch):
    outlets = []
    make = service_module.make_outlet

    def make_outlet(service):
        made = make(service)
        outlets.append(made[0])
        return made

    monkeypatch.setattr(service_module, "make_outlet", make_outlet)
    await create_topics(settings)
    placed = calls(9)
    async with ingest(settings) as service, asyncio.TaskGroup() as tasks:
        await until(service.health.is_ready)
        calling = tasks.create_task(run_calls(url(settings), placed, OPTIONS))
        [outlet] = outlets
        await until(lambda: outlet._lanes and sum(lane.landed for lane in outlet._all_lanes()) > 5 * CALLS)
        broker.kill()
        await until(lambda: outlet.unacknowledged > 20 * CALLS and outlet.at_risk < 8 * CALLS)
        held_bytes, waiting = outlet.memory_bytes, outlet.unacknowledged
        assert spooled_bytes(settings) > 0
        # what is under way, and what came within the last moments
        assert held_bytes < waiting * 1600 / 2
        await broker.start()
        report = await calling
        await until(lambda: not outlet.unacknowledged, 40)
        assert not any(lane.spooling for lane in outlet._all_lanes())
        await until(lambda: not spooled_bytes(settings))
    assert report.ok, report.as_json()
    found = await stored(settings)
    for call in report.calls:
        assert found.audio(call) == list(placed[0].scenario.frames())
        assert found.kinds(call) == ["OPENED", "CLOSED"]
        rows = found.rows(call)
        numbers = first_of_each(found.frames.sequence[rows])
        assert numbers == list(range(len(numbers)))
        events = [event.event_counter for event in found.call_events(call)]
        assert first_of_each(events) == list(range(len(set(events))))
    assert files(settings) == {"lock"}


def first_of_each(numbers) -> list[int]:
    """Numbers without those that came before: what was under way when its producer died may be stored twice."""
    return list(dict.fromkeys(int(number) for number in numbers))


@asynccontextmanager
async def process(settings: IngestSettings, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Ingest as a process of its own; it is killed at the end."""
    own = settings.audiohook
    environment = child_environment(
        {
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
            "TOPIC_PREFIX": settings.kafka.topic_prefix,
            "INGEST_AUDIOHOOK_PORT": str(own.port),
            "INGEST_AUDIOHOOK_KEYS_FILE": str(own.keys_file),
            "INGEST_SPOOL_FOLDER": str(settings.spool.folder),
            "INGEST_SPOOL_KEY_FILE": str(settings.spool.key_file),
        }
    )
    with log.open("ab") as output:
        started = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ingest", env=environment, stderr=output, cwd=Path(__file__).parents[2]
        )
    try:
        yield started
    finally:
        if started.returncode is None:
            os.kill(started.pid, signal.SIGKILL)
        await started.wait()


async def test_ingest_killed_in_the_outage_loses_the_last_second_at_most_and_says_so(settings, broker, tmp_path):
    await create_topics(settings)
    log = tmp_path / "ingest.log"
    reports: list[CallReport] = []
    options = Options(credentials=OPTIONS.credentials, on_start=reports.append)
    loop = asyncio.get_running_loop()
    seen: list[tuple[float, dict[str, int]]] = []

    def look() -> None:
        seen.append((loop.time(), {report.conversation_id: report.frames_sent for report in reports}))

    async with asyncio.TaskGroup() as tasks:
        async with process(settings, log):
            await until(lambda: b'"listening"' in log.read_bytes())
            calling = tasks.create_task(run_calls(url(settings), calls(30), options))
            await until(lambda: len(reports) == CALLS and all(report.frames_sent > 15 for report in reports))
            broker.kill()
            begun_s = loop.time()
            while loop.time() < begun_s + 4:
                look()
                await asyncio.sleep(0.05)
        killed_s = loop.time()
        assert spooled_bytes(settings) > 0
        for report in reports:
            assert report.frames_sent > 40
        await calling
        sent = next(counts for at_s, counts in reversed(seen) if at_s <= killed_s - LONGEST_LOSS_S)
        await broker.start()
        async with process(settings, log):
            await until(lambda: not spooled_bytes(settings), 40)
    found = await stored(settings)
    frames = list(calls(30)[0].scenario.frames())
    for report in reports:
        audio = found.audio(report)
        assert sent[report.conversation_id] <= len(audio) <= report.frames_sent
        assert audio == frames[: len(audio)]
        assert found.kinds(report) == ["OPENED", "GAP", "CLOSED"]
        assert found.mark(report, FrameKind.GAP) == ("INGEST_LOST", len(audio) * 800, -1)
        assert found.mark(report, FrameKind.CLOSED)[0] == "INGEST_LOST"
        rows = found.rows(report)
        numbers = first_of_each(found.frames.sequence[rows])
        assert numbers == list(range(len(numbers)))
        events = found.call_events(report)
        assert [event.event_counter for event in events] == list(range(len(events)))
        assert [event.kind.value for event in events][-2:] == ["GAP", "CLOSED"]
