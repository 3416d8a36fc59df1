"""Loss on a real broker where nothing but TICKs moves the time: the only call of a partition falls silent.

The input topic keeps the times it is given, as nothing else may: a quarter of an hour passes in no time.
"""

import asyncio

import pytest

from callstream.embedded_kafka import EmbeddedKafka
from callstream.replay.run import Order, replay
from callstream.replay.span import Wanted
from callstream.topics_command import apply_catalogue, describe
from processors.loss.__main__ import start
from processors.loss.config import LossSettings
from runtime.config import KafkaSettings, RegistrySettings, load, prefix_of
from runtime.kafka import ConfigResource, ConfigResourceType, admin_client, start_producer
from runtime.service import run
from schemas.records import LossReport
from schemas.symbols import FrameKind, LossAlarm, LossReportKind, Reason
from schemas.topics import AUDIO, LOSS
from tests.integration.test_replay import Heard
from tests.kafka_fixture import CACHE_DIR
from tests.processors.loss.calls import ENCODER, STORE, Call
from tests.reading import read_committed

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]

PARTITIONS, ITS_OWN = 4, 2
DEADLINE_S = 60
TICK_MS = 5000
CREATE_TIME = 0
BEGAN_MS = 1_700_000_000_000
TICK = ENCODER.encode(Call().put(FrameKind.TICK, session_id=bytes(16), sequence=-1).frames[0])
Entry = tuple[int, int, bytes | None, bytes]


def silent_call() -> list[Entry]:
    """A call of 6 s that is silent for 40 s, speaks for 2 s more and is never heard of again; TICKs everywhere.

    Time, partition, key and value of each record, in the order of time.
    """
    call = Call().open().say(6).say(2)
    entries: list[Entry] = []
    for frame in call.frames:
        pause_ms = 40_000 if frame.position_samples >= 6 * 8000 else 0
        at_ms = BEGAN_MS + round(frame.position_samples / 8) + pause_ms
        entries.append((at_ms, ITS_OWN, call.key, ENCODER.encode(frame)))
    for step in range(16 * 60_000 // TICK_MS):
        entries += [(BEGAN_MS + step * TICK_MS + 1, number, None, TICK) for number in range(PARTITIONS)]
    return sorted(entries, key=lambda entry: entry[0])


async def prepare(kafka: KafkaSettings) -> None:
    await apply_catalogue(kafka, PARTITIONS)
    keeping = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
    async with admin_client(kafka, "test") as admin:
        topics = [ConfigResource(ConfigResourceType.TOPIC, name, keeping) for name in (AUDIO.name, LOSS.name)]
        await admin.alter_configs(topics)
    async with asyncio.timeout(DEADLINE_S):
        while (await describe(kafka))[AUDIO.name].settings["message.timestamp.type"] != "CreateTime":
            await asyncio.sleep(0.05)
    producer = await start_producer(kafka, client_id="test")
    stored = [
        await producer.send(AUDIO.name, key=key, value=value, partition=partition, timestamp_ms=at_ms)
        for at_ms, partition, key, value in silent_call()
    ]
    await producer.stop()
    assert {(await one).timestamp_type for one in stored} == {CREATE_TIME}


async def lived(kafka: KafkaSettings, variables: dict[str, str]) -> None:
    """Process the log with the real service until its last word."""
    services = []

    async def begin(service) -> None:
        services.append(service)
        await start(service)

    async with asyncio.TaskGroup() as group:
        settings = load(LossSettings, prefix_of("loss"), environ=variables, env_file=None)
        task = group.create_task(run("loss", settings, begin, signals=False))
        async with asyncio.timeout(DEADLINE_S):
            while not any(record.kind is LossReportKind.FINAL for record in await reports(kafka, LOSS.name)):
                await asyncio.sleep(0.1)
        services[0].stopping.set()
        assert await task == 0


async def rows(kafka: KafkaSettings, name: str) -> list[list[tuple[bytes, int, bytes]]]:
    found = await read_committed(kafka, name, PARTITIONS)
    return [[(record.key, record.timestamp, record.value) for record in partition] for partition in found]


async def reports(kafka: KafkaSettings, name: str) -> list[LossReport]:
    return [STORE.decode(value, LossReport) for partition in await rows(kafka, name) for _, _, value in partition]


async def test_the_only_call_of_a_partition_is_missed_by_the_ticks_live_and_in_replay(tmp_path, monkeypatch):
    broker = EmbeddedKafka(tmp_path / "kafka", cache_dir=CACHE_DIR)
    await broker.start()
    kafka = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    monkeypatch.chdir(tmp_path)
    try:
        await prepare(kafka)
        await lived(kafka, {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers})
        found = await reports(kafka, LOSS.name)
        alarms = [(r.kind, r.alarm_value) for r in found if r.alarm is LossAlarm.NO_AUDIO]
        assert [kind for kind, _ in alarms] == [LossReportKind.ALARM_RAISED, LossReportKind.ALARM_CLEARED] * 2
        values = [value for _, value in alarms]
        assert values[1:] == [pytest.approx(40, abs=1), pytest.approx(17.5, abs=2.5), None]
        assert 15 <= values[0] <= 15 + TICK_MS / 1000
        (final,) = [r for r in found if r.kind is LossReportKind.FINAL]
        assert (final.closed_reason, final.received) == (Reason.IDLE, 8 * 8000)

        order = Order(("loss",), "silent", Wanted(firsts=((ITS_OWN, 0),)), compare=True, keep=True)
        heard = Heard()
        result = await replay(kafka, RegistrySettings(), order, heard)
        assert result.equal, heard.lines
        assert await rows(kafka, f"replay.silent.{LOSS.name}") == await rows(kafka, LOSS.name)
    finally:
        await broker.stop()
