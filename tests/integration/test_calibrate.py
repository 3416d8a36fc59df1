"""`callstream calibrate --from-topic` over calls on a real broker."""

import asyncio
import json
import sys
import uuid
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from callstream.calibrate.proposal import NoProposal
from callstream.calibrate_command import command
from callstream.topics_command import apply_catalogue
from runtime.config import KafkaSettings, child_environment
from runtime.errors import ConfigError
from runtime.kafka import TopicPartition, start_consumer, start_producer
from schemas import topics
from schemas.codec import SchemaStore
from schemas.records import AuditEvent
from schemas.symbols import AuditAction, AuditOutcome, Channels, Codec
from simulators.conversation import script
from tests.callstream.calibrate.sounds import as_l16, frame, noise, opened

pytestmark = pytest.mark.kafka
DEADLINE_S = 60
ROOT = Path(__file__).parents[2]
CONVERSATION = Path(script.__file__).with_name("conversation.wav")


@pytest.fixture
async def settings(kafka: str) -> KafkaSettings:
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex[:12]}.")
    await apply_catalogue(settings, 2)
    return settings


async def callstream(settings: KafkaSettings, *arguments: object) -> tuple[int, str, str]:
    """Run the command as a process of its own; return its code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "callstream", *map(str, arguments)),
        env=child_environment(
            {
                "PYTHONPATH": str(ROOT),
                "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
                "TOPIC_PREFIX": settings.topic_prefix,
            }
        ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def audits(settings: KafkaSettings) -> list[AuditEvent]:
    topic = f"{settings.topic_prefix}{topics.AUDIT.name}"
    consumer = await start_consumer(settings, client_id="check", auto_offset_reset="earliest")
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    end = (await consumer.end_offsets([partition]))[partition]
    consumer.seek(partition, 0)
    store, found = SchemaStore(), []
    while await consumer.position(partition) < end:
        records = (await consumer.getmany(partition, timeout_ms=200)).get(partition, [])
        found += [store.decode(record.value, AuditEvent) for record in records]
    await consumer.stop()
    return found


async def store(settings: KafkaSettings) -> None:
    """Put the conversation on calls.audio as a call of support, and loud noise as a call of sales."""
    talk, loud = script.load(), as_l16(noise(12, -25))
    both = {"codec": Codec.PCMU, "channels": Channels.EXTERNAL_INTERNAL}
    records = [
        *records_of(0, "support", talk.payload, talk.length_samples, both),
        *records_of(1, "sales", loud, len(loud) // 2, {"channels": Channels.MIXED}),
    ]
    producer = await start_producer(settings, client_id="calls")
    for key, value in records:
        await producer.send(f"{settings.topic_prefix}{topics.AUDIO.name}", value, key=key)
    await producer.stop()


def records_of(number: int, queue: str, payload: bytes, samples: int, fields: dict) -> list[tuple[bytes, bytes]]:
    """A call in frames of 100 ms, as a file of it would be cut."""
    size = len(payload) // samples * 800
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    values = [opened(number, queue=queue, organisation="acme")]
    for index, part in enumerate(parts):
        length = len(part) * samples // len(payload)
        place = {"sequence": index + 1, "position_samples": 800 * index, "duration_samples": length}
        values.append(frame(number, payload=part, **place, **fields))
    return [(f"c{number}".encode(), value) for value in values]


async def run(settings: KafkaSettings, *arguments: object) -> Result:
    """Run the command in a thread, which has a loop of its own."""
    app = typer.Typer()
    app.command()(command)
    given = {"KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers, "TOPIC_PREFIX": settings.topic_prefix}
    return await asyncio.to_thread(CliRunner().invoke, app, [*map(str, arguments)], env=given)


async def test_stored_calls_of_a_queue_give_the_proposal_their_files_give(settings: KafkaSettings):
    await store(settings)
    result = await run(settings, "--from-topic", "--queue", "support", "--json")
    assert result.exit_code == 0, result.output
    of_topic = json.loads(result.output)
    of_file = json.loads((await run(settings, CONVERSATION, "--json")).output)
    assert of_topic.pop("source") == "calls.audio, queue support: 22.5 s of calls"
    assert of_file.pop("source").startswith("conversation.wav")
    levels = {name: of_topic["proposal"][name] for name in ("on_dbfs", "off_dbfs")}
    value = of_topic.pop("environment_of_calls")["SILENCE_THRESHOLDS"]
    assert json.loads(value) == [{"queue": "support", **levels}]
    assert of_file.pop("environment_of_calls") is None
    assert of_topic == of_file
    assert [(event.action, event.outcome, event.object_id) for event in await audits(settings)] == [
        (AuditAction.ACCESS, AuditOutcome.UNKNOWN, "calls.audio"),
        (AuditAction.ACCESS, AuditOutcome.SUCCESS, "calls.audio"),
    ]


async def test_what_is_chosen_decides_and_where_nothing_is_chosen_by_it_the_queues_are_named(settings: KafkaSettings):
    await store(settings)
    result = await run(settings, "--from-topic", "--organisation", "acme")
    assert isinstance(result.exception, NoProposal)
    assert str(result.exception).startswith("no level tells noise from speech: the noise of mixed reaches -2")
    result = await run(settings, "--from-topic", "--queue", "sales", "--seconds", "11", "--json")
    assert [channel["seconds"] for channel in json.loads(result.output)["channels"]] == [11]
    result = await run(settings, "--from-topic", "--from", "2999-01-01T00:00")
    assert str(result.exception) == "calls.audio holds nothing of all calls"
    code, out, err = await callstream(settings, "calibrate", "--from-topic", "--queue", "helpdesk")
    assert (code, out) == (1, "")
    assert err.startswith("calls.audio holds nothing of queue helpdesk; queues and their calls: ")
    assert "support (1)" in err


async def test_where_there_are_no_topics_the_operator_is_told(kafka: str):
    nowhere = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex[:12]}.")
    result = await run(nowhere, "--from-topic")
    assert isinstance(result.exception, ConfigError)
    assert "run `callstream topics apply`" in str(result.exception)
