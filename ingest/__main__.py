"""The ingest service: sources that call us, one outlet to Kafka, TICKs."""

import asyncio
from functools import partial

from ingest.config import IngestSettings
from ingest.identity import Lineage
from ingest.outlet import Connection, Outlet, OutletLimits
from ingest.sequencer import Encoding
from ingest.server import IngestServer
from ingest.session import Surroundings
from ingest.table import ACCEPTING
from runtime.errors import Unavailable
from runtime.kafka import partition_counts, start_producer
from runtime.metrics import INGEST_UNACKNOWLEDGED_SECONDS
from runtime.service import Service, main
from schemas import topics

NAME = "ingest"
_TOPICS = (topics.AUDIO.name, topics.EVENTS.name)
_MARGIN_S = 1.0
"""Kept back from the drain budget for the end itself."""


async def connect(service: Service[IngestSettings]) -> Connection:
    """Return a started producer and the topics' partition counts. Raises `Unavailable` while either is missing."""
    kafka = service.settings.kafka
    names = {f"{kafka.topic_prefix}{topic}": topic for topic in _TOPICS}
    counts = await partition_counts(kafka, names, client_id=NAME)
    missing = sorted(set(names) - set(counts))
    if missing:
        message = f"topics do not exist yet: {', '.join(missing)}"
        raise Unavailable(message)
    producer = await start_producer(kafka, client_id=NAME, max_batch_size=service.settings.max_batch_bytes)
    return Connection(producer, {names[name]: count for name, count in counts.items()})


def make_outlet(service: Service[IngestSettings]) -> Outlet:
    """Return the outlet of this process; readiness follows it."""
    settings = service.settings

    def report(flows: bool, why: str) -> None:
        service.health.ready("kafka", flows, why)
        if not flows:
            service.log.warning("records wait for Kafka", error=why, count=outlet.unacknowledged)

    outlet = Outlet(
        lambda: connect(service),
        report,
        service.clock,
        limits=OutletLimits(settings.linger_ms, settings.max_batch_bytes, settings.max_buffer_bytes),
        topic_prefix=settings.kafka.topic_prefix,
    )
    service.health.ready("kafka", False, "not connected yet")
    return outlet


async def beat(
    service: Service[IngestSettings], outlet: Outlet, encoding: Encoding, servers: list[IngestServer]
) -> None:
    """Write TICKs, and ALIVE for quiet sessions, until cancelled."""
    while True:
        await asyncio.sleep(service.settings.tick_interval_s)
        outlet.tick(partial(encoding.tick, wall_s=service.clock.wall_s()))
        for server in servers:
            server.keep_alive()
        INGEST_UNACKNOWLEDGED_SECONDS.set(outlet.oldest_age_s())


async def start(service: Service[IngestSettings]) -> None:
    """Accept calls until told to stop, then drain."""
    settings = service.settings
    encoding, lineage = Encoding(service.store), Lineage()
    outlet = make_outlet(service)
    servers = []
    for make in ACCEPTING.values():
        listening = make(settings)
        surroundings = Surroundings(outlet, service.clock, service.log, listening.source.name)
        servers.append(IngestServer(listening, surroundings, encoding, lineage))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(outlet.run())
        beating = tasks.create_task(beat(service, outlet, encoding, servers))
        for server in servers:
            await server.start()
            service.log.info("listening", endpoint=f"port {server.port}")
        service.health.ready("sources", True)
        if settings.audiohook.keys_file is None:
            service.log.warning("no API keys are configured, so nobody may connect", source="audiohook")
        await service.stopping.wait()
        stopped_s = service.clock.monotonic_s()
        for server in servers:
            server.stop_accepting()
        for server in servers:
            await server.drain(settings.drain_sessions_s, settings.audiohook.close_deadline_s)
        beating.cancel()
        spent_s = service.clock.monotonic_s() - stopped_s
        outlet.close(settings.service.drain_budget_s - spent_s - _MARGIN_S)
    if outlet.unacknowledged:
        service.log.error("records could not be written before the end", count=outlet.unacknowledged)


if __name__ == "__main__":
    main(NAME, IngestSettings, start)
