"""The ingest service: sources that call us, sources we call, one outlet to Kafka, TICKs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial

import uvloop

from ingest.allocator import keep_freed_memory, rely_on_counts
from ingest.config import IngestSettings
from ingest.dial import DialledSource
from ingest.dialling import Dialling
from ingest.following import Following
from ingest.outlet import Connection, Outlet, OutletLimits
from ingest.pausing import PauseRules
from ingest.platform import Platform
from ingest.protocol import Ended
from ingest.readiness import Readiness
from ingest.sequencer import Encoding
from ingest.server import IngestServer
from ingest.session import Surroundings
from ingest.spooling import Spooling, open_spool
from ingest.table import ACCEPTING, DIALLED
from runtime.errors import ConfigError, Unavailable
from runtime.http import HttpClient
from runtime.kafka import partition_counts, start_producer
from runtime.metrics import INGEST_UNACKNOWLEDGED_SECONDS
from runtime.oauth import TokenSource
from runtime.pace import Pace
from runtime.service import Service, main
from schemas import topics

NAME = "ingest"
_TOPICS = (topics.AUDIO.name, topics.EVENTS.name)
_TOKEN_S = 10.0
"""How long a request for a token may take."""
_LONGEST_ANSWER_BYTES = 4 * 2**20
"""Of the platform about a conversation."""
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


def make_outlet(service: Service[IngestSettings]) -> tuple[Outlet, Readiness]:
    """Return the outlet of this process, and whether calls should come, which follows it."""
    settings = service.settings

    def report(flows: bool, why: str) -> None:
        readiness.report(flows, why)
        if not flows:
            service.log.warning("records wait for Kafka", error=why, count=outlet.unacknowledged)

    outlet = Outlet(
        lambda: connect(service),
        report,
        service.clock,
        limits=OutletLimits(settings.linger_ms, settings.max_batch_bytes, settings.max_buffer_bytes),
        topic_prefix=settings.kafka.topic_prefix,
    )
    readiness = Readiness(service.health, lambda: outlet.has_room)
    service.health.tell(
        unacknowledged_records=lambda: outlet.unacknowledged, oldest_unacknowledged_s=outlet.oldest_age_s
    )
    return outlet, readiness


async def beat(
    service: Service[IngestSettings],
    surroundings: Surroundings,
    readiness: Readiness,
    carriers: Iterable[IngestServer | Dialling],
) -> None:
    """Write TICKs, and ALIVE for quiet sessions, and look for room, until cancelled."""
    outlet = surroundings.outlet
    while True:
        await asyncio.sleep(service.settings.tick_interval_s)
        outlet.tick(partial(surroundings.encoding.tick, wall_s=service.clock.wall_s()))
        for carrier in carriers:
            carrier.keep_alive()
        INGEST_UNACKNOWLEDGED_SECONDS.set(outlet.oldest_age_s())
        readiness.look()


@asynccontextmanager
async def token_source(service: Service[IngestSettings]) -> AsyncIterator[TokenSource | None]:
    """Yield where the tokens of all connections we open come from; None without credentials."""
    own = service.settings.oauth
    if own.client_id is None or own.client_secret is None:
        yield None
        return
    async with HttpClient("oauth", timeout_s=_TOKEN_S, connections=1, clock=service.clock) as http:
        url = service.settings.place.fill(own.token_url)
        names = ("INGEST_OAUTH_CLIENT_ID", "INGEST_OAUTH_CLIENT_SECRET")
        yield TokenSource(http, url, own.client_id, own.client_secret, service.clock, settings=names)


@asynccontextmanager
async def platform_of(
    service: Service[IngestSettings],
    surroundings: Surroundings,
    token: TokenSource | None,
    over: Callable[[str, Ended], None],
) -> AsyncIterator[Platform | None]:
    """Yield who asks the platform about the calls that are followed; None without a token, or where not wanted."""
    own = service.settings.platform
    if token is None or not own.poll:
        yield None
        return
    async with HttpClient(
        "platform",
        timeout_s=own.timeout_s,
        connections=own.concurrency,
        clock=service.clock,
        longest_answer_bytes=_LONGEST_ANSWER_BYTES,
    ) as http:

        def url(conversation_id: str) -> str:
            return service.settings.place.fill(own.url, conversation_id=conversation_id)

        yield Platform(
            http,
            url,
            token,
            surroundings.book,
            service.clock,
            limits=own.limits,
            over=over,
            witness=surroundings.witness,
        )


def asking(token: TokenSource | None, platform: Platform | None) -> Iterator[Coroutine[None, None, None]]:
    """Return what asks in the background until cancelled: for tokens, and about calls."""
    if token is not None:
        yield token.keep_fresh()
    if platform is not None:
        yield platform.run()


def check_listed(sources: Iterable[DialledSource]) -> None:
    """Raise `ConfigError` for calls that the settings name and that cannot be followed."""
    refusals = [
        f"{source.name}: call {call.conversation_id}: {refusal}"
        for source in sources
        for call in source.listed
        if (refusal := source.refuse(call)) is not None
    ]
    if refusals:
        raise ConfigError(refusals)


async def start(service: Service[IngestSettings]) -> None:
    """Accept calls and dial until told to stop, then drain. Raises `Unavailable` where records are lost by that."""
    settings = service.settings
    keep_freed_memory()
    rely_on_counts()
    outlet, readiness = make_outlet(service)
    rules = PauseRules(settings.publish_when_pause_unknown, settings.resume_guard_s)
    surroundings = Surroundings(outlet, service.clock, service.log, Encoding(service.store), rules=rules)
    servers = [IngestServer(make(settings), surroundings) for make in ACCEPTING.values()]
    sources = [make(settings) for make in DIALLED.values()]
    check_listed(sources)
    spool = open_spool(service)
    spooling = None if spool is None else Spooling(service, spool, surroundings)
    if spooling is not None and spooling.goes_on:
        readiness.goes_on()

    def over(conversation_id: str, ended: Ended) -> None:
        dialling.end(conversation_id, ended)

    async with (
        token_source(service) as token,
        platform_of(service, surroundings, token, over) as platform,
        asyncio.TaskGroup() as tasks,
    ):
        dialling = Dialling(sources, surroundings, token, Pace(settings.dials_per_s), watch=platform)
        following = Following(service, dialling, surroundings, sources)
        writing = tasks.create_task(outlet.run())
        if spooling is not None:
            tasks.create_task(spooling.run())
        endless = [beat(service, surroundings, readiness, (*servers, dialling)), *asking(token, platform)]
        background = [tasks.create_task(one) for one in endless]
        for server in servers:
            await server.start(tasks)
            service.log.info("listening", endpoint=f"port {server.port}")
        dialled = tasks.create_task(dialling.run())
        tasks.create_task(following.run())
        service.health.ready("sources", True)
        if settings.audiohook.keys_file is None:
            service.log.warning("no API keys are configured, so nobody may connect", source="audiohook")
        await service.stopping.wait()
        stopped_s = service.clock.monotonic_s()
        await drain(settings, servers, following, dialling, dialled)
        for one in background:
            one.cancel()
        spent_s = service.clock.monotonic_s() - stopped_s
        outlet.close(settings.service.drain_budget_s - spent_s - _MARGIN_S)
        await asyncio.wait({writing})
        if spooling is not None:
            spooling.stop()
    say_left(service, outlet)


def say_left(service: Service[IngestSettings], outlet: Outlet) -> None:
    """Log what waits on disk for the next start. Raises `Unavailable` where records are lost."""
    if outlet.at_risk:
        message = f"{outlet.at_risk} records could not be written before the end"
        raise Unavailable(message)
    if outlet.unacknowledged:
        service.log.warning("records wait on disk for the next start", count=outlet.unacknowledged)


async def drain(
    settings: IngestSettings,
    servers: list[IngestServer],
    following: Following,
    dialling: Dialling,
    dialled: "asyncio.Task[None]",
) -> None:
    """End all sessions. Those we dialled go on for as long as calls that called us may, then others take them over."""
    for server in servers:
        server.stop_accepting()
    for server in servers:
        await server.let_end(settings.drain_sessions_s)
    following.leave()
    dialling.drain()
    for server in servers:
        await server.drain(settings.audiohook.close_deadline_s)
    await asyncio.wait({dialled})


if __name__ == "__main__":
    main(NAME, IngestSettings, start, loop_factory=uvloop.new_event_loop)
