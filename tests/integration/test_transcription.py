"""transcription on a real broker: every utterance, in order, through kills; a repeat has the same id and bytes."""

import asyncio
import contextlib
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from processors.transcription.forward import Transcription
from runtime.config import KafkaSettings, child_environment
from runtime.forward_testing import ForwardDriver
from runtime.kafka import NewTopic, start_admin, start_producer
from schemas.codec import SchemaStore
from schemas.records import CallEvent, Utterance
from schemas.symbols import CallEventKind, UtteranceKind
from schemas.topics import EVENTS, UTTERANCES, dead_letters
from tests.processors.transcription.calls import BASE_MS, Call, key_of, tick
from tests.reading import read_committed

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
PARTITIONS = 2
DEADLINE_S = 60
ROOT = Path(__file__).parents[2]
STORE = SchemaStore()
Logged = tuple[int, bytes | None, bytes]
"""Timestamp, key, value."""


@dataclass
class Line:
    """The topics of one test, and what was appended to each partition of the input."""

    kafka: KafkaSettings
    topic: str
    logs: list[list[Logged]] = field(default_factory=lambda: [[] for _ in range(PARTITIONS)])

    async def create_topics(self) -> None:
        config = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
        own = [f"{self.kafka.topic_prefix}{name}" for name in (UTTERANCES.name, dead_letters("transcription").name)]
        admin = await start_admin(self.kafka, client_id="test")
        await admin.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs=config) for name in (self.topic, *own)])
        await admin.close()

    async def append(self, partition: int, records: list[Logged]) -> None:
        producer = await start_producer(self.kafka, client_id="test")
        for timestamp_ms, key, value in records:
            await producer.send(self.topic, value, key=key, partition=partition, timestamp_ms=timestamp_ms)
        await producer.flush()
        await producer.stop()
        self.logs[partition] += records

    async def read(self, name: str) -> list[list]:
        return await read_committed(self.kafka, f"{self.kafka.topic_prefix}{name}", PARTITIONS)

    async def until_written(self, count: int) -> None:
        """Wait until so many different utterances stand on the topic."""
        async with asyncio.timeout(DEADLINE_S):
            while len({row.value for rows in await self.read(UTTERANCES.name) for row in rows}) < count:
                await asyncio.sleep(0.1)

    @contextlib.asynccontextmanager
    async def worker(self, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """A worker process; one that still runs at the end is ended as an operator would, and must say it drained."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "tests" / "integration" / "transcription_worker.py"),
            self.topic,
            env=child_environment(
                {
                    "PYTHONPATH": str(ROOT),
                    "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
                    "TOPIC_PREFIX": self.kafka.topic_prefix,
                    "TRANSCRIPTION_ADMIN_PORT": "0",
                    "TRANSCRIPTION_FORWARDER_SESSION_TIMEOUT_MS": "2000",
                    "TRANSCRIPTION_FORWARDER_HEARTBEAT_INTERVAL_MS": "300",
                    **{f"TRANSCRIPTION_{name}": value for name, value in variables.items()},
                }
            ),
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            yield process
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def expected(self) -> list[list[tuple[bytes | None, int, Utterance]]]:
        """What the driver makes of the same logs, undisturbed, by partition: key, timestamp, utterance."""
        wanted = []
        for number, log in enumerate(self.logs):
            driver = ForwardDriver(Transcription(), partition=number)
            for timestamp_ms, key, value in log:
                driver.send_value(value, key=key, timestamp_ms=timestamp_ms)
            await driver.run()
            found = driver.records(UTTERANCES.name)
            wanted.append([(o.key, o.timestamp_ms, one) for o, one in zip(driver.outputs, found, strict=True)])
        return wanted


@pytest.fixture
async def line(kafka: str) -> Line:
    unique = uuid.uuid4().hex[:12]
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{unique}.")
    made = Line(settings, f"events.{unique}")
    await made.create_topics()
    return made


def logged(at_ms: int, event: CallEvent) -> Logged:
    return at_ms, key_of(event), STORE.encode(event)


def talk(calls: list[Call], since_ms: int, rounds: int, *, begin: bool = False, end: bool = False) -> list[Logged]:
    """The calls side by side: in each round every one of them says something and presses a key."""
    events = [call.opened() for call in calls] if begin else []
    for number in range(rounds):
        for call in calls:
            events += [call.text(f"round {number}"), call.digit(str(number % 10))]
    if end:
        events += [call.closed() for call in calls]
    return [logged(since_ms + 20 * place, event) for place, event in enumerate(events)]


def in_the_catalogue(row, utterance: Utterance) -> Utterance:
    """The utterance as it would be if the input were not a topic of this test."""
    assert utterance.settings_hash
    return replace(utterance, origin=replace(utterance.origin, topic=EVENTS.name), settings_hash="")


async def test_a_killed_worker_leaves_every_utterance_in_order_and_repeats_with_equal_bytes(line: Line) -> None:
    calls = [[Call(4 * number + n, language="de") for n in range(4)] for number in range(PARTITIONS)]
    async with line.worker():
        for number in range(PARTITIONS):
            await line.append(number, talk(calls[number], BASE_MS, 10, begin=True))
        await line.until_written(PARTITIONS * 4 * 21)
    async with line.worker(FORWARDER_COMMIT_INTERVAL_MS="60000") as process:
        for number in range(PARTITIONS):
            await line.append(number, talk(calls[number], BASE_MS + 60_000, 10))
        await line.until_written(PARTITIONS * 4 * 21 + 20)
        process.kill()
        await process.wait()
    async with line.worker():
        for number in range(PARTITIONS):
            # one call never closes: the ticks close it as idle
            await line.append(number, talk(calls[number][1:], BASE_MS + 120_000, 10, end=True))
            ticks = [logged(BASE_MS + 130_000 + 5000 * count, tick()) for count in range(190)]
            await line.append(number, ticks)
        expected = await line.expected()
        await line.until_written(sum(map(len, expected)))
    repeats = 0
    for rows, wanted in zip(await line.read(UTTERANCES.name), expected, strict=True):
        bytes_of: dict[str, bytes] = {}
        firsts: dict[bytes, list] = {}
        for row in rows:
            utterance = STORE.decode(row.value, Utterance)
            repeats += utterance.utterance_id in bytes_of
            if utterance.utterance_id not in bytes_of:
                found = (row.key, row.timestamp, in_the_catalogue(row, utterance))
                firsts.setdefault(row.key, []).append(found)
            assert bytes_of.setdefault(utterance.utterance_id, row.value) == row.value
        assert firsts == {key: [one for one in wanted if one[0] == key] for key in {one[0] for one in wanted}}
        assert not any(one.partial for _, _, one in wanted)
        assert [one.kind for _, _, one in wanted].count(UtteranceKind.CLOSED) == 4
    assert repeats > 0


async def test_what_cannot_be_placed_is_a_dead_letter_without_its_content(line: Line) -> None:
    call = Call()
    bad = call.event(CallEventKind.DTMF, digit="9", text="0176 555", queue="billing")
    records = [
        logged(BASE_MS, call.opened()),
        (BASE_MS, b"another", STORE.encode(bad)),
        logged(BASE_MS, call.digit("4")),
    ]
    async with line.worker():
        await line.append(1, records)
        await line.until_written(2)
        async with asyncio.timeout(DEADLINE_S):
            while not (await line.read(dead_letters("transcription").name))[1]:
                await asyncio.sleep(0.1)
    (dead,) = (await line.read(dead_letters("transcription").name))[1]
    assert dict(dead.headers)["__connect.errors.exception.message"] == b"the key is not conversation_id"
    assert dict(dead.headers)["__connect.errors.offset"] == b"1"
    assert b"0176 555" not in dead.value
    found = [STORE.decode(row.value, Utterance) for row in (await line.read(UTTERANCES.name))[1]]
    assert [(one.kind, one.text) for one in found] == [(UtteranceKind.OPENED, None), (UtteranceKind.TEXT, "4")]
