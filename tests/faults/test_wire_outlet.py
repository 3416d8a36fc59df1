"""Ingest's outlet while its writes go wrong on the wire: nothing lost, a repeat is the same record once more."""

import asyncio
import uuid

import pytest

from audio.frames import FrameEncoder
from ingest.outlet import Connection, Outlet, OutletLimits
from ingest.sequencer import Outgoing
from runtime import kafka as clients
from runtime.clock import SystemClock
from runtime.config import KafkaSettings
from runtime.kafka import NewTopic, start_admin, start_producer
from schemas.codec import SchemaStore
from schemas.topics import AUDIO
from tests.faults.proxy import HOST, Act, Api, Fault, Proxy, proxy_to
from tests.reading import read_committed
from tests.runtime.test_task import frame

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]
DEADLINE_S = 90
REQUEST_TIMEOUT_MS = 2_000
PARTITIONS = 2
EACH = 30
CASES = {
    "cut before": Fault(Act.CUT_BEFORE, Api.PRODUCE, nth=3),
    "cut after": Fault(Act.CUT_AFTER, Api.PRODUCE, nth=3),
    "cut after, many in a row": Fault(Act.CUT_AFTER, Api.PRODUCE, nth=3, times=8),
    "half-open": Fault(Act.HALF_OPEN, Api.PRODUCE, nth=3),
    "silence": Fault(Act.SILENCE, Api.PRODUCE, nth=3, seconds=3),
    "delay": Fault(Act.DELAY, Api.PRODUCE, nth=3, seconds=1),
}


async def flows(kafka: KafkaSettings, proxy: Proxy, fault: Fault) -> None:
    """Put frames of two sessions until long after the fault; all must be acknowledged and stored in order."""
    through = kafka.model_copy(update={"bootstrap_servers": proxy.bootstrap})
    reports: list[tuple[bool, str]] = []

    async def connect() -> Connection:
        return Connection(await start_producer(through, client_id="ingest"), {AUDIO.name: PARTITIONS})

    outlet = Outlet(
        connect,
        lambda ok, why: reports.append((ok, why)),
        SystemClock(),
        limits=OutletLimits(linger_ms=1),
        topic_prefix=kafka.topic_prefix,
    )
    encode = FrameEncoder(SchemaStore()).encode
    values = {session: [encode(frame(session, n)) for n in range(EACH)] for session in (1, 2)}
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(outlet.run())
        proxy.place(fault)
        for number in range(EACH):
            outlet.put(Outgoing(AUDIO.name, b"%d" % session, made[number]) for session, made in values.items())
            await asyncio.sleep(0.02)
        async with asyncio.timeout(DEADLINE_S):
            await fault.struck.wait()
            while outlet.unacknowledged:
                await asyncio.sleep(0.02)
        outlet.close(5)
        await running
    assert outlet.oldest_age_s() == 0
    stored = await read_committed(kafka, kafka.topic_prefix + AUDIO.name, PARTITIONS)
    for session, made in values.items():
        key = b"%d" % session
        found = [record.value for rows in stored for record in rows if record.key == key]
        # whatever is stored twice is the same bytes, so the same session and sequence, and first comes first
        assert list(dict.fromkeys(found)) == made
    assert reports[-1] == (True, "")


@pytest.mark.parametrize("name", CASES)
async def test_a_write_that_fails_on_the_wire_is_stored_once_acknowledged(
    kafka: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kafka.startswith(f"{HOST}:"):
        pytest.skip("the proxy stands before a broker on loopback only")
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex[:12]}.")
    admin = await start_admin(settings, client_id="test")
    await admin.create_topics([NewTopic(settings.topic_prefix + AUDIO.name, PARTITIONS, 1)])
    await admin.close()
    shorter = {**clients._PRODUCER_DEFAULTS, "request_timeout_ms": REQUEST_TIMEOUT_MS}
    monkeypatch.setattr(clients, "_PRODUCER_DEFAULTS", shorter)
    fault = CASES[name]
    async with proxy_to(kafka) as proxy:
        placed = Fault(fault.act, fault.api, nth=fault.nth, times=fault.times, seconds=fault.seconds)
        await flows(settings, proxy, placed)
