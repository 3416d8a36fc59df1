"""A file → sessions on calls.audio and calls.events, through the same sequencer and outlet as live sources.

The file is read in pieces, no faster than Kafka takes the records; nothing is kept of it. Like an ingest process this
one writes TICKs while it runs, and ALIVE for sessions that are quiet in real time. It has no journal: a file can be
imported again. Told to stop, it ends its sessions behind a GAP of unknown length, both for the reason DRAIN; a file
that cannot be read any further is damaged there. Where Kafka is away for too long, what was not stored by then is lost,
and readers end those sessions as IDLE.
"""

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from io import SEEK_END
from pathlib import Path
from typing import BinaryIO, NamedTuple
from uuid import UUID

from ingest.identity import Lineage, uuid7
from ingest.outlet import Connection, Outlet, OutletLimits
from ingest.sequencer import Encoding, Moment, Sequencer
from ingest.sources.capture.findings import Damage, Findings
from ingest.sources.capture.source import LONGEST_HEAD_BYTES, Import, begin
from ingest.sources.capture.wanted import Timed, Wanted
from runtime.clock import Clock
from runtime.config import KafkaSettings
from runtime.errors import ConfigError, Unavailable
from runtime.kafka import partition_counts, start_producer
from schemas import topics
from schemas.symbols import Reason

CLIENT_ID = "callstream-import"
PIECE_BYTES = 128 * 1024
SMALL_PIECE_BYTES = 4 * 1024
"""In real time no more than this is read ahead."""
MOST_WAITING_BYTES = 32 * 2**20
TICK_EVERY_S = 5.0
_LOOK_EVERY_S = 0.01
_SET_BACK_S = 1.0
"""A capture's times that go back by more are of a clock that was set: the pace goes on from there."""
_HURRY_S = 10.0
"""How long Kafka may be away once the import was told to stop."""
_BATCH_BYTES = 256 * 1024
_TOPICS = (topics.AUDIO.name, topics.EVENTS.name)


class Source(NamedTuple):
    """An opened file, read up to where its first piece begins, who takes it, and what that finds."""

    file: BinaryIO
    taken: Import
    findings: Findings
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Way:
    """How an import is published: at the speed of the capture or as fast as Kafka takes it.

    `patience_s`: how long records may wait for Kafka. `stopping` ends it early.
    """

    real_time: bool = False
    patience_s: float = 60.0
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


def open_file(path: Path, wanted: Wanted, findings: Findings) -> Source:
    """Open a file and tell what it is. Raises `ConfigError` where it cannot be imported, before anything is done."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from None
    try:
        taken, start = begin(file.read(LONGEST_HEAD_BYTES), wanted, findings)
        size_bytes = file.seek(0, SEEK_END)
        file.seek(start)
    except (OSError, ValueError) as mistake:
        file.close()
        raise ConfigError([f"{path}: {mistake}"]) from None
    return Source(file, taken, findings, size_bytes)


async def check_topics(kafka: KafkaSettings) -> None:
    """Raise `ConfigError` where there are no topics to write to, `Unavailable` where nobody says so."""
    names = [f"{kafka.topic_prefix}{topic}" for topic in _TOPICS]
    missing = sorted(set(names) - set(await partition_counts(kafka, names, client_id=CLIENT_ID)))
    if missing:
        raise ConfigError([f"{', '.join(missing)}: missing; run `callstream topics apply`"])


async def connect(kafka: KafkaSettings) -> Connection:
    """Return a started producer and the topics' partition counts. Raises `Unavailable`."""
    names = {f"{kafka.topic_prefix}{topic}": topic for topic in _TOPICS}
    counts = await partition_counts(kafka, names, client_id=CLIENT_ID)
    if len(counts) < len(names):
        # they were there at the start: the broker does not know yet
        message = "topics are missing"
        raise Unavailable(message)
    producer = await start_producer(kafka, client_id=CLIENT_ID, max_batch_size=_BATCH_BYTES)
    return Connection(producer, {names[name]: count for name, count in counts.items()})


def outlet_for(kafka: KafkaSettings, clock: Clock) -> Outlet:
    """Return the outlet of an import."""
    return Outlet(
        partial(connect, kafka),
        lambda _flows, _why: None,
        clock,
        limits=OutletLimits(max_batch_bytes=_BATCH_BYTES),
        topic_prefix=kafka.topic_prefix,
    )


async def import_file(outlet: Outlet, encoding: Encoding, source: Source, way: Way, clock: Clock) -> bool:
    """Publish a file to its end; return False where it was told to stop before.

    Raises `ConfigError` for topics that do not fit, `Unavailable` where records waited for longer than the patience.
    """
    running = _Import(source, encoding, outlet, way, clock)
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(outlet.run())
        beating = tasks.create_task(running.beat())
        try:
            whole = await running.publish()
        finally:
            beating.cancel()
            outlet.close(way.patience_s)
        hurrying = tasks.create_task(_hurry(outlet, way))
        await asyncio.wait({writing})
        hurrying.cancel()
    if outlet.at_risk:
        message = f"Kafka took no more: {outlet.at_risk} records were not stored, their sessions end as idle"
        raise Unavailable(message)
    return whole


async def _hurry(outlet: Outlet, way: Way) -> None:
    """Let a closed outlet end soon once the import is told to stop, before that or now."""
    await way.stopping.wait()
    outlet.close(min(way.patience_s, _HURRY_S))


class _Import:
    """One file on its way."""

    def __init__(self, source: Source, encoding: Encoding, outlet: Outlet, way: Way, clock: Clock) -> None:
        self._source = source
        self._encoding = encoding
        self._outlet = outlet
        self._way = way
        self._clock = clock
        self._sequencer = Sequencer(encoding, self._new_id, Lineage())
        self._began_s: float | None = None
        self._first_s = -1.0
        self._due_s = -1.0

    async def publish(self) -> bool:
        """Put everything into the outlet. Raises `Unavailable` where nothing leaves it any more."""
        file, taken, findings, _ = self._source
        stopping = self._way.stopping
        size = SMALL_PIECE_BYTES if self._way.real_time else PIECE_BYTES
        while not stopping.is_set():
            try:
                piece = file.read(size)
            except OSError as error:
                findings.damage = Damage(file.tell(), f"it cannot be read, {error.strerror}")
                await self._put(taken.end(Reason.PEER_ERROR, missing=Reason.OTHER))
                return True
            if not piece:
                await self._put(taken.end(Reason.END))
                return True
            await self._put(taken.feed(piece))
        await self._put(taken.end(Reason.DRAIN, missing=Reason.DRAIN))
        return False

    async def beat(self) -> None:
        """Write TICKs, and ALIVE for sessions that are quiet in real time, until cancelled."""
        while True:
            await asyncio.sleep(TICK_EVERY_S)
            self._outlet.tick(partial(self._encoding.tick, wall_s=self._clock.wall_s()))
            if self._began_s is not None and self._way.real_time:
                now_s = self._first_s + self._clock.monotonic_s() - self._began_s
                self._outlet.put(self._sequencer.keep_alive(Moment(now_s, now_s)))

    async def _put(self, facts: Sequence[Timed]) -> None:
        if not self._way.real_time:
            self._take(facts)
            await self._room()
            return
        for timed in facts:
            await self._due(timed.at_s)
            self._take((timed,))
            await self._room()

    def _take(self, facts: Sequence[Timed]) -> None:
        take, records = self._sequencer.take, []
        for at_s, fact in facts:
            # a file without times is as old as its import
            moment_s = at_s if at_s >= 0 else self._clock.wall_s()
            records += take(fact, Moment(moment_s, moment_s))
        self._outlet.put(records)

    async def _due(self, at_s: float) -> None:
        """Wait until something is due that was captured at this time; once told to stop, everything is."""
        if at_s < 0:
            return
        if self._began_s is None or at_s < self._due_s - _SET_BACK_S:
            self._began_s, self._first_s = self._clock.monotonic_s(), at_s
        self._due_s = at_s
        wait_s = at_s - self._first_s - (self._clock.monotonic_s() - self._began_s)
        if wait_s > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._way.stopping.wait()

    async def _room(self) -> None:
        """Let the outlet work, and wait while too much waits in it. Raises `Unavailable` once that lasts too long."""
        await asyncio.sleep(0)
        while self._outlet.memory_bytes > MOST_WAITING_BYTES and not self._way.stopping.is_set():
            if self._outlet.oldest_age_s() > self._way.patience_s:
                message = f"records have waited for Kafka for more than {self._way.patience_s:g} s"
                raise Unavailable(message)
            await asyncio.sleep(_LOOK_EVERY_S)

    def _new_id(self) -> UUID:
        return uuid7(self._clock.wall_s(), secrets.token_bytes(10))
