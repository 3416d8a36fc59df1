"""Silence as a process, killed while it works: readers of committed records see the bytes of an undisturbed run.

Each interleaving of the same sessions has a broker of its own, so that the log begins with it. One application is
killed three times and goes on each time; others read the same log from offset 0, each with another poll size.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from audio.frames import FrameEncoder
from callstream.demo.services import ServiceProcess, free_port
from callstream.embedded_kafka import EmbeddedKafka
from callstream.topics_command import apply_catalogue
from runtime.config import KafkaSettings
from runtime.http import HttpClient
from runtime.kafka import Partitioner, start_producer
from schemas.codec import SchemaStore
from schemas.records import ActivityWindow, AudioFrame, Origin, SessionInfo, SilenceEvent
from schemas.symbols import Channels, Codec, EndedBy, FrameKind, Reason, Source
from schemas.topics import ACTIVITY, AUDIO, SILENCE, dead_letters
from simulators.conversation import script
from tests.kafka_fixture import CACHE_DIR
from tests.reading import read_committed

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]

PARTITIONS = 4
SESSIONS = 10
KILLS = 3
POLL_SIZES = (3, 250)
DEADLINE_S = 240
STORE = SchemaStore()
OUTPUTS = {SILENCE.name: SilenceEvent, ACTIVITY.name: ActivityWindow}
DEAD_LETTERS = dead_letters("silence").name


@dataclass(frozen=True)
class Entry:
    key: bytes
    value: bytes


def session(number: int) -> Iterator[Entry]:
    """A piece of the shipped conversation in frames of changing length, with a discard, a pause and a repeat."""
    chance = random.Random(number)
    encode = FrameEncoder(STORE).encode
    shipped = script.load().payload[2 * 8000 * chance.randrange(8) :]
    conversation = f"conversation-{number}"
    blank = AudioFrame(source=Source.AUDIOHOOK, session_id=bytes([number + 1]) * 16, sample_rate_hz=8000)
    sequence, position = 0, 0

    def mark(kind: FrameKind, **values) -> Entry:
        nonlocal sequence
        record = replace(blank, kind=kind, sequence=sequence, captured_at_s=1e9 + position / 8000, **values)
        sequence += 1
        return Entry(conversation.encode(), encode(record))

    info = SessionInfo(conversation_id=conversation, organisation="org", queue=f"queue {number % 3}")
    yield mark(FrameKind.OPENED, payload=STORE.encode(info))
    at = 0
    while at < len(shipped):
        samples = chance.choice([160, 160, 800, 1600, 797])
        payload = shipped[at : at + 2 * samples]
        at += len(payload)
        audio = mark(
            FrameKind.AUDIO,
            codec=Codec.PCMU,
            channels=Channels.EXTERNAL_INTERNAL,
            position_samples=position,
            duration_samples=len(payload) // 2,
            payload=payload,
        )
        yield audio
        position += len(payload) // 2
        happening = chance.random()
        if happening < 0.02:
            yield audio
        elif happening < 0.03:
            yield mark(
                FrameKind.DISCARDED, reason=Reason.SOURCE_DISCARD, position_samples=position, duration_samples=4000
            )
            position += 4000
        elif happening < 0.04:
            yield mark(FrameKind.PAUSED, reason=Reason.SECURE_PAUSE, position_samples=position)
            yield mark(FrameKind.RESUMED, reason=Reason.SECURE_PAUSE, position_samples=position, duration_samples=16000)
            position += 16000
    yield mark(FrameKind.CLOSED, reason=Reason.END, position_samples=position)


def interleaved(seed: int) -> list[Entry]:
    """All sessions merged at random, each in its own order, with garbage between."""
    chance = random.Random(seed)
    waiting = [list(session(number)) for number in range(SESSIONS)]
    merged: list[Entry] = []
    while any(waiting):
        chosen = chance.choice([records for records in waiting if records])
        run = chance.randint(1, 20)
        merged += chosen[:run]
        del chosen[:run]
        if chance.random() < 0.02:
            merged.append(Entry(b"nobody", chance.randbytes(chance.randrange(200))))
    return merged


async def append(kafka: KafkaSettings, entries: list[Entry]) -> None:
    producer = await start_producer(kafka, client_id="test")
    partitioner = Partitioner(PARTITIONS)
    for entry in entries:
        await producer.send(AUDIO.name, key=entry.key, value=entry.value, partition=partitioner.partition(entry.key))
    await producer.flush()
    await producer.stop()


@dataclass
class Application:
    """Silence under a prefix of its own."""

    kafka: KafkaSettings
    name: str
    folder: Path
    max_records: int
    process: ServiceProcess | None = None

    def start(self) -> None:
        self.process = ServiceProcess(
            module="processors.silence",
            variables={
                "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
                "TOPIC_PREFIX": self.prefix,
                "SILENCE_TASK_HOST_MAX_RECORDS": str(self.max_records),
                "SILENCE_TASK_HOST_SESSION_TIMEOUT_MS": "1500",
                "SILENCE_TASK_HOST_HEARTBEAT_INTERVAL_MS": "300",
                "SILENCE_TASK_HOST_COMMIT_INTERVAL_MS": "50",
            },
            admin_port=free_port(),
            log=self.folder / f"{self.name}.log",
            folder=self.folder,
        )
        self.process.start()

    @property
    def prefix(self) -> str:
        return f"replay.{self.name}."

    async def read(self) -> dict[str, list[list[tuple]]]:
        """The committed records of each output topic, by partition: key, timestamp, value."""
        return {
            topic: [
                [(record.key, record.timestamp, record.value) for record in rows]
                for rows in await read_committed(self.kafka, self.prefix + topic, PARTITIONS)
            ]
            for topic in (*OUTPUTS, DEAD_LETTERS)
        }

    async def finished(self, sessions: int) -> dict[str, list[list[tuple]]]:
        """Wait until every session has its two totals; then nothing more can come of this log."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                found = await self.read()
                windows = [STORE.decode(value, ActivityWindow) for rows in found[ACTIVITY.name] for *_, value in rows]
                if sum(window.kind == "TOTAL" for window in windows) >= 2 * sessions:
                    # the topics are read one after the other: only what is read after the last total is all
                    return await self.read()
                await asyncio.sleep(0.2)


@asynccontextmanager
async def broker(folder: Path) -> AsyncIterator[KafkaSettings]:
    async with EmbeddedKafka(folder / "kafka", cache_dir=CACHE_DIR) as embedded:
        kafka = KafkaSettings(bootstrap_servers=embedded.bootstrap_servers)
        await apply_catalogue(kafka, PARTITIONS, None, force=False)
        yield kafka


async def disturbed_and_undisturbed(folder: Path, seed: int) -> dict[str, dict[str, list[list[tuple]]]]:
    """Run one interleaving; return the outputs by application."""
    async with broker(folder) as kafka:
        names = ["disturbed", *(f"whole-{size}" for size in POLL_SIZES)]
        applications = [
            Application(kafka, name, folder, size) for name, size in zip(names, (40, *POLL_SIZES), strict=True)
        ]
        for application in applications:
            prefixed = kafka.model_copy(update={"topic_prefix": application.prefix})
            await apply_catalogue(prefixed, PARTITIONS, None, force=False)
        first, *others = applications
        entries = interleaved(seed)
        size = len(entries) // (KILLS + 1) + 1
        async with HttpClient("admin", timeout_s=2, any_status=True) as http:
            for start in range(0, len(entries), size):
                first.start()
                await first.process.until_ready(http, DEADLINE_S)
                async with asyncio.TaskGroup() as group:
                    writing = group.create_task(append(kafka, entries[start : start + size]))
                    while not any(rows for rows in (await first.read())[ACTIVITY.name]) and not writing.done():
                        await asyncio.sleep(0.05)
                    if start + size < len(entries):
                        first.process.process.kill()
            for application in others:
                application.start()
            found = {app.name: await app.finished(SESSIONS) for app in applications}
            for application in applications:
                assert await application.process.stop() == 0
        return found


def per_session(outputs: dict[str, list[list[tuple]]]) -> dict[tuple[str, str], list]:
    """Each session's values in order, without origin and without what stream time caused."""
    nowhere = Origin(topic="", partition=-1, offset=-1, index=-1)
    found: dict[tuple[str, str], list] = {}
    for topic, record_type in OUTPUTS.items():
        for rows in outputs[topic]:
            for _, _, value in rows:
                record = STORE.decode(value, record_type)
                if getattr(record, "ended_by", None) is not EndedBy.IDLE:
                    found.setdefault((topic, record.session_id), []).append(replace(record, origin=nowhere))
    return found


async def test_killed_silence_writes_the_bytes_of_an_undisturbed_run(tmp_path: Path) -> None:
    runs = []
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        found = await disturbed_and_undisturbed(folder, seed)
        disturbed = found.pop("disturbed")
        assert sum(len(rows) for rows in disturbed[SILENCE.name]) > 100
        for name, whole in found.items():
            assert disturbed == whole, f"interleaving {seed}: {name} differs"
        garbage = sorted(entry.value for entry in interleaved(seed) if entry.key == b"nobody")
        assert sorted(value for rows in disturbed[DEAD_LETTERS] for _, _, value in rows) == garbage
        runs.append(per_session(disturbed))
    assert runs[0] == runs[1]
