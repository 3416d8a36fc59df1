"""Keys that callers pressed, through the services that read them: no dead letter, log or audit log tells them."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from callstream.embedded_kafka import EmbeddedKafka
from runtime.config import KafkaSettings, child_environment
from runtime.kafka import NewTopic, start_admin, start_producer
from schemas.records import Origin, Utterance
from schemas.topics import EVENTS, UTTERANCES, dead_letters
from sinks.audit_log.logic import SOURCES
from tests.integration.test_audit_log import ROOT, STORE, Log
from tests.kafka_fixture import CACHE_DIR
from tests.processors.transcription.calls import Call
from tests.reading import read_committed

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
PARTITIONS = 1
DEADLINE_S = 60
SECRET = "4*7#11"
"""Stands where a digit does: what one key is could not be found again."""
ORIGIN = Origin(topic=EVENTS.name, partition=0, offset=0, index=0)
LETTERS = [dead_letters(group).name for group in ("transcription", "audit_log")]
VARIABLES = {
    "AUDIT_LOG_INTERVAL_S": "0.05",
    "AUDIT_LOG_ALLOW_DEVELOPMENT_KEY": "true",
    "TRANSCRIPTION_FORWARDER_SESSION_TIMEOUT_MS": "2000",
    "TRANSCRIPTION_FORWARDER_HEARTBEAT_INTERVAL_MS": "300",
    "LOG_LEVEL": "debug",
}


@pytest.fixture
def kafka_of_its_own(tmp_path_factory) -> Iterator[KafkaSettings]:
    broker = EmbeddedKafka(tmp_path_factory.mktemp("kafka") / "data", cache_dir=CACHE_DIR, report=print)
    broker.start_sync()
    yield KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
    broker.stop_sync()


@asynccontextmanager
async def service(module: str, kafka: KafkaSettings, log: Path, **variables: str):
    """Run a service until the end of the block, then as long as it takes to drain; its log is complete then."""
    environment = child_environment(
        {"PYTHONPATH": str(ROOT), "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, **VARIABLES, **variables}
    )
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, env=environment, cwd=ROOT, stderr=output
        )
    try:
        yield
        process.terminate()
        assert await process.wait() == 0, "see its log"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def append(kafka: KafkaSettings) -> None:
    """Events of a key that is read, of one under a key that is not its own, and of two nobody can decode."""
    call = Call(0)
    opened = STORE.encode(call.opened())
    good, misplaced = STORE.encode(call.digit(SECRET)), STORE.encode(Call(1).digit(SECRET))
    pressed = Utterance(conversation_id="c", session_id="s", text=SECRET, origin=ORIGIN)
    values = [
        (EVENTS.name, call.conversation, opened),
        (EVENTS.name, call.conversation, good),
        (EVENTS.name, "another", misplaced),
        (EVENTS.name, call.conversation, good[: good.index(SECRET.encode()) + len(SECRET)]),
        (EVENTS.name, call.conversation, b"\x00\x7f\xff\xff\xff" + good[5:]),
        (UTTERANCES.name, call.conversation, STORE.encode(pressed)[:-2]),
    ]
    producer = await start_producer(kafka, client_id="test")
    for topic, key, value in values:
        await producer.send_and_wait(topic, value, key=key.encode())
    await producer.stop()


async def letters(kafka: KafkaSettings, name: str, count: int) -> list:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            (found,) = await read_committed(kafka, name, PARTITIONS)
            if len(found) >= count:
                return found
            await asyncio.sleep(0.2)


async def test_no_dead_letter_log_or_audit_log_tells_a_digit(kafka_of_its_own, tmp_path):
    kafka, audit = kafka_of_its_own, Log(kafka_of_its_own, tmp_path)
    admin = await start_admin(kafka, client_id="test")
    names = [*(topic.name for topic in SOURCES), *LETTERS]
    await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
    await admin.close()
    await append(kafka)
    logs = [tmp_path / "transcription.log", tmp_path / "audit.log"]
    places = {"AUDIT_LOG_STORE_URL": str(audit.store), "AUDIT_LOG_HEADS_URL": audit.heads.as_uri()}
    async with (
        service("processors.transcription", kafka, logs[0]),
        service("sinks.audit_log", kafka, logs[1], **places),
    ):
        found = [await letters(kafka, LETTERS[0], 3), await letters(kafka, LETTERS[1], 3)]
        texts = await letters(kafka, UTTERANCES.name, 3)
        assert SECRET.encode() in texts[2].value, "the digit was not read at all"
        await audit.holds(6 + 2)
    kept = [part for rows in found for row in rows for part in (row.key, row.value, *(text for _, text in row.headers))]
    kept += [path.read_bytes() for path in (*audit.store.rglob("*"), *logs) if path.is_file()]
    assert len(kept) > 6
    assert [part for part in kept if part and SECRET.encode() in part] == []
