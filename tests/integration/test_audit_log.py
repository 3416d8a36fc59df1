"""The audit log on a real broker of its own: it reads topics by their live names."""

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from callstream.audit_command import check
from callstream.embedded_kafka import EmbeddedKafka
from runtime.config import KafkaSettings, child_environment
from runtime.kafka import (
    NewTopic,
    TopicAlreadyExistsError,
    TopicPartition,
    start_admin,
    start_consumer,
    start_producer,
)
from schemas.records import ActivityWindow, AuditEvent, Origin
from schemas.symbols import CallEventKind
from schemas.topics import dead_letters
from sinks.audit_log.logic import SOURCES
from tests.kafka_fixture import CACHE_DIR
from tests.sinks.audit_log.logs import STORE, event

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
PARTITIONS = 2
DEADLINE_S = 60
ROOT = Path(__file__).parents[2]
NAMES = [topic.name for topic in SOURCES]
ORIGIN = Origin(topic="calls.audio", partition=0, offset=0, index=0)


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory) -> Iterator[KafkaSettings]:
    broker = EmbeddedKafka(tmp_path_factory.mktemp("kafka") / "data", cache_dir=CACHE_DIR, report=print)
    broker.start_sync()
    yield KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
    broker.stop_sync()


class Log:
    """An audit log of one test, over topics all tests of this module write to."""

    def __init__(self, kafka: KafkaSettings, folder: Path) -> None:
        self.kafka = kafka
        self.store, self.heads = folder / "log", folder / "heads"

    async def create_topics(self) -> None:
        admin = await start_admin(self.kafka, client_id="test")
        wanted = [*NAMES, dead_letters("audit_log").name]
        answer = await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in wanted])
        assert {code for _, code, *_ in answer.topic_errors} <= {0, TopicAlreadyExistsError.errno}
        await admin.close()

    async def append(self, values: list[tuple[str, bytes]], transactional_id: str | None = None) -> None:
        producer = await start_producer(self.kafka, client_id="test", transactional_id=transactional_id)
        if transactional_id:
            await producer.begin_transaction()
        for number, (topic, value) in enumerate(values):
            await producer.send(topic, value, key=b"conversation", partition=number % PARTITIONS)
        if transactional_id:
            await producer.commit_transaction()
        await producer.flush()
        await producer.stop()

    async def on_topics(self, names: list[str] = NAMES) -> list:
        consumer = await start_consumer(self.kafka, client_id="check")
        partitions = [TopicPartition(name, number) for name in names for number in range(PARTITIONS)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found = []
        for tp in partitions:
            consumer.seek(tp, 0)
            while await consumer.position(tp) < ends[tp]:
                found += (await consumer.getmany(tp, timeout_ms=200)).get(tp, [])
        await consumer.stop()
        return found

    def lines(self) -> list[dict]:
        found = [path.read_bytes().splitlines() for path in sorted(self.store.glob("*.jsonl"))]
        return [json.loads(line) for lines in found for line in lines]

    def places(self) -> Counter:
        return Counter(
            (line["topic"], line["partition"], line["offset"]) for line in self.lines() if line["line"] == "entry"
        )

    async def holds(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while sum(self.places().values()) < count:
                await asyncio.sleep(0.1)

    @asynccontextmanager
    async def process(self):
        changes = {
            "PYTHONPATH": str(ROOT),
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "AUDIT_LOG_STORE_URL": str(self.store),
            "AUDIT_LOG_HEADS_URL": self.heads.as_uri(),
            "AUDIT_LOG_INTERVAL_S": "0.05",
            "AUDIT_LOG_BATCH_ENTRIES": "40",
            "AUDIT_LOG_ALLOW_DEVELOPMENT_KEY": "true",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sinks.audit_log",
            env=child_environment(changes),
            cwd=ROOT,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


def some(start: int, stop: int) -> list[tuple[str, bytes]]:
    found = []
    for number in range(start, stop):
        window = ActivityWindow(conversation_id="c", session_id="s", speech_ratio=0.25, origin=ORIGIN)
        found += [
            ("calls.events", STORE.encode(event(number))),
            ("calls.activity", STORE.encode(window)),
            ("calls.audit", STORE.encode(AuditEvent(event_id=str(number), actor="ann"))),
        ]
    return found


@pytest.fixture
async def log(own_kafka, tmp_path) -> Log:
    found = Log(own_kafka, tmp_path)
    await found.create_topics()
    return found


async def test_every_record_is_written_once_through_kills(log):
    before = {(record.topic, record.partition, record.offset) for record in await log.on_topics()}
    await log.append(some(100_000, 100_300), transactional_id="activity")
    for part in range(3):
        async with log.process() as process:
            await log.append(some(100_300 + 100 * part, 100_400 + 100 * part))
            await log.holds(len(log.places()) + 60)
            process.send_signal(signal.SIGKILL)
            assert await process.wait() == -signal.SIGKILL
    expected = {(record.topic, record.partition, record.offset) for record in await log.on_topics()}
    repeats = [("calls.audit", STORE.encode(AuditEvent(event_id=str(100_599), actor="ann")))] * PARTITIONS
    await log.append([*repeats, ("calls.events", STORE.encode(event(-1, kind=CallEventKind.TICK)))])
    await log.append(some(100_600, 100_601))
    expected |= {
        (record.topic, record.partition, record.offset)
        for record in (await log.on_topics())
        if record.value in {value for _, value in some(100_600, 100_601)}
    }
    async with log.process() as process:
        async with asyncio.timeout(DEADLINE_S):
            while not expected <= set(log.places()) and process.returncode is None:
                await asyncio.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
    written = log.places()
    assert set(written.values()) == {1}
    assert expected - before <= set(written)
    # of the two repeats one went to the partition of its first delivery: nothing but that one and the tick is missing
    missing = {(record.topic, record.partition, record.offset) for record in await log.on_topics()} - set(written)
    assert sorted(topic for topic, *_ in missing - before) == ["calls.audit", "calls.events"]
    assert (await check(str(log.store), str(log.heads))).entries == sum(written.values())
    assert "ann" not in {part for line in log.lines() for part in json.dumps(line).split('"')}


async def test_of_two_processes_at_once_one_ends_with_an_error_and_the_log_stays_whole(log):
    await log.append(some(200_000, 200_100))
    async with log.process() as one, log.process() as other:
        ended = asyncio.Event()

        async def feed() -> None:
            number = 200_100
            while not ended.is_set():
                await log.append(some(number, number + 5))
                number += 5

        async with asyncio.TaskGroup() as group:
            group.create_task(feed())
            waits = [group.create_task(process.communicate()) for process in (one, other)]
            async with asyncio.timeout(DEADLINE_S):
                done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            ended.set()
            loser, winner = (one, other) if waits[0] in done else (other, one)
            assert loser.returncode == 1
            assert b"another audit log writes" in done.pop().result()[1]
            winner.send_signal(signal.SIGTERM)
        assert winner.returncode == 0
    assert set(log.places().values()) == {1}
    assert (await check(str(log.store), str(log.heads))).entries == sum(log.places().values())


async def test_garbage_is_a_dead_letter_without_content_and_the_log_goes_on(log):
    number = len(await log.on_topics([dead_letters("audit_log").name]))
    await log.append([("calls.events", b"secret words"), *some(300_000, 300_005)])
    expected = {(record.topic, record.partition, record.offset) for record in await log.on_topics()}
    garbage = {
        place
        for record in await log.on_topics()
        if record.value == b"secret words"
        for place in [(record.topic, record.partition, record.offset)]
    }
    async with log.process() as process:
        async with asyncio.timeout(DEADLINE_S):
            while not {place for place in expected if place[0] == "calls.activity"} | garbage <= set(log.places()):
                assert process.returncode is None
                await asyncio.sleep(0.1)
    dead = await log.on_topics([dead_letters("audit_log").name])
    assert len(dead) - number == len(garbage)
    assert all(b"secret" not in record.value for record in dead)
    (unreadable, *_) = [line["unreadable"] for line in log.lines() if "unreadable" in line]
    assert unreadable["length_bytes"] == 12
