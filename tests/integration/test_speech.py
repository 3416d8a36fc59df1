"""Speech on the embedded broker, killed while it works: each copy once, in order, byte for byte as on calls.audio."""

import asyncio
from pathlib import Path

import pytest

from callstream.demo.services import ServiceProcess, free_port
from callstream.embedded_kafka import EmbeddedKafka
from callstream.topics_command import apply_catalogue
from processors.speech.logic import SpeechProcessor
from runtime.config import KafkaSettings
from runtime.http import HttpClient
from schemas.records import AudioFrame
from schemas.symbols import FrameKind
from schemas.topics import AUDIO, SPEECH
from tests.e2e.test_silence_exactly_once import PARTITIONS, STORE, append, session
from tests.kafka_fixture import CACHE_DIR
from tests.processors.speech.calls import Run
from tests.reading import read_committed

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]

SESSIONS = 4
DEADLINE_S = 90
Rows = list[list[tuple[bytes, bytes]]]


async def rows(kafka: KafkaSettings, topic: str) -> Rows:
    found = await read_committed(kafka, topic, PARTITIONS)
    return [[(record.key, record.value) for record in partition] for partition in found]


def closed(found: Rows) -> int:
    values = [value for partition in found for _, value in partition]
    return sum(STORE.decode(value, AudioFrame).kind is FrameKind.CLOSED for value in values)


def due(audio: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """What should be copied of a partition, by the processor alone."""
    run = Run(SpeechProcessor()).feed(audio, 10_000)
    return [(found.copy.key, found.copy.value) for _, found in run.found]


async def test_a_killed_worker_leaves_no_copy_out_and_writes_none_twice(tmp_path: Path) -> None:
    async with (
        EmbeddedKafka(tmp_path / "kafka", cache_dir=CACHE_DIR) as broker,
        HttpClient("admin", timeout_s=2) as http,
    ):
        kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        await apply_catalogue(kafka, PARTITIONS, None, force=False)
        worker = ServiceProcess(
            module="processors.speech",
            variables={
                "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
                "SPEECH_TASK_HOST_MAX_RECORDS": "20",
                "SPEECH_TASK_HOST_SESSION_TIMEOUT_MS": "1500",
                "SPEECH_TASK_HOST_HEARTBEAT_INTERVAL_MS": "300",
                "SPEECH_TASK_HOST_COMMIT_INTERVAL_MS": "50",
            },
            admin_port=free_port(),
            log=tmp_path / "speech.log",
            folder=tmp_path,
        )
        entries = [entry for number in range(SESSIONS) for entry in session(number)]
        half = len(entries) // 2
        worker.start()
        await worker.until_ready(http, DEADLINE_S)
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
            writing = group.create_task(append(kafka, entries[:half]))
            while not any(await rows(kafka, SPEECH.name)):
                await asyncio.sleep(0.05)
            worker.process.kill()
            await writing
        worker.start()
        await append(kafka, entries[half:])
        async with asyncio.timeout(DEADLINE_S):
            while closed(found := await rows(kafka, SPEECH.name)) < SESSIONS:
                await asyncio.sleep(0.2)
        assert await worker.stop() == 0
        audio = await rows(kafka, AUDIO.name)
    assert found == [due(partition) for partition in audio]
    copies = [row for partition in found for row in partition]
    assert set(copies) <= {(entry.key, entry.value) for entry in entries}
    assert len(copies) == len(set(copies)) < len(entries)
