"""After a crash: what earlier processes left in the folder is appended to Kafka, their open sessions are closed.

Calls are accepted meanwhile: their records take the same way as these, through the outlet. The files are removed when
Kafka has acknowledged everything; a process that dies before that leaves them for the next one, which appends what is
not stored yet.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from audio.frames import unknown_ids
from ingest.outlet import Outlet
from ingest.sequencer import Encoding, Outgoing
from ingest.spool.journal import Entry, Reading
from ingest.spool.remains import Remains
from ingest.spool.segments import Bad, Foreign, Kind, Stored, Torn, Whole, scan
from ingest.spool.spool import Spool
from ingest.spool.stored import read_partitions, starts_of
from runtime.errors import CallstreamError, Unavailable
from runtime.metrics import INGEST_SPOOL_ERRORS, INGEST_SPOOL_LOST_SESSIONS, INGEST_SPOOL_RECOVERED
from runtime.service import Service
from schemas import topics

_TOPICS = (topics.AUDIO.name, topics.EVENTS.name)
_MOST_AHEAD = 5_000
"""Records handed to the outlet before Kafka has acknowledged them."""
_TURN_S = 0.05
_RETRY_S = 1.0
_TOUCH_S = 30.0


class _Part(NamedTuple):
    """Records of one topic, or of both with the topic's number before each value."""

    topic: int
    records: list[Stored]


@dataclass(frozen=True, slots=True)
class Left:
    """What earlier processes left: files, and what their journals say. `ended_s`: when they last wrote (epoch)."""

    segments: list[Path]
    journals: list[Path]
    entries: Mapping[UUID, Entry]
    ended_s: float


class Recovery:
    """One recovery. `run` returns when the files are gone."""

    def __init__(self, service: Service[Any], spool: Spool, outlet: Outlet, encoding: Encoding) -> None:
        self._service = service
        self._spool = spool
        self._outlet = outlet
        self._encoding = encoding
        self._log = service.log
        self._touched_s = -_TOUCH_S
        self._unread: set[Path] = set()
        self.under_way = int(bool(spool.folder.left("segment") or spool.folder.left("journal")))
        """1 until everything that was left is stored."""

    async def run(self) -> None:
        """Append what was left."""
        if not self.under_way:
            return
        left = await self._spool.run(self._read_journals)
        self._log.warning(
            "an earlier process left records or open sessions", sessions=len(left.entries), count=len(left.segments)
        )
        remains = Remains(left.entries, self._service.store)
        await self._take_stored(left, remains)
        appended = 0
        for path in left.segments:
            appended += await self._append(path, left, remains)
        records, lost = remains.closings(self._encoding, self._service.clock.wall_s())
        await self._put(records)
        INGEST_SPOOL_LOST_SESSIONS.inc(lost)
        await self._acknowledged()
        files = [path for path in (*left.segments, *left.journals) if path not in self._unread]
        await self._spool.run(partial(self._spool.folder.remove_left, files))
        self._log.warning("what an earlier process left is stored", records=appended, sessions=lost)
        self.under_way = 0

    def _read_journals(self) -> Left:
        folder, reading = self._spool.folder, Reading()
        journals, ended_s = folder.left("journal"), 0.0
        for path in list(journals):
            ended_s = max(ended_s, path.stat().st_mtime)
            for kind, part in self._parts(path):
                if kind is Kind.JOURNAL:
                    reading.take(part.records)
        if reading.unreadable:
            self._complain("entries of a journal cannot be read", None, f"{reading.unreadable} entries")
        return Left(folder.left("segment"), folder.left("journal"), reading.entries, ended_s)

    def _parts(self, path: Path) -> Iterator[tuple[Kind, _Part]]:
        """Yield what a file holds; what is damaged is named and set aside."""
        folder = self._spool.folder
        try:
            data = path.read_bytes()
            for part in scan(data, folder.seal):
                if isinstance(part, Whole):
                    yield part.header.kind, _Part(part.header.topic, part.records)
                elif isinstance(part, Torn):
                    self._log.warning("the last write of a process that died was torn off", location=path.name)
                elif isinstance(part, Bad):
                    name = folder.set_aside(path, part.offset, data[part.offset : part.offset + part.length])
                    why = f"{part.why}; {part.length} bytes at {part.offset} were set aside as {name}"
                    self._complain("records on disk are damaged", path, why)
        except Foreign as error:
            name = folder.set_aside(path)
            INGEST_SPOOL_ERRORS.labels("foreign").inc()
            self._log.error("a file is none of ours", location=path.name, error=f"{error}; it was moved to {name}")
        except OSError as error:
            self._complain("a file cannot be read, and stays", path, f"{type(error).__name__}: {error.strerror}")
            self._unread.add(path)

    def _complain(self, what: str, path: Path | None, error: str) -> None:
        INGEST_SPOOL_ERRORS.labels("damaged").inc()
        location = path.name if path else "journal"
        self._log.error("what an earlier process left cannot be used", location=location, error=f"{what}: {error}")

    async def _take_stored(self, left: Left, remains: Remains) -> None:
        """Learn how far Kafka has the sessions. Waits for Kafka."""
        while left.entries:
            try:
                await self._read_stored(left, remains)
            except Unavailable:
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _read_stored(self, left: Left, remains: Remains) -> None:
        await self._until(lambda: self._outlet.tides() is not None)
        await self._touch(left)
        kafka = self._service.settings.kafka
        starts = starts_of(left.entries.values(), self._outlet.partition)
        keys = remains.keys
        async for topic, records in read_partitions(kafka, starts, left.ended_s):
            values = [record.value for record in records if record.key in keys]
            if values:
                await self._resolve(values)
                remains.take_stored(topic, values)

    async def _resolve(self, values: list[bytes | None]) -> None:
        store = self._service.store
        with suppress(CallstreamError):
            # what nobody can decode now is passed on as it is
            await self._service.registry.resolve(unknown_ids(values, store), store)

    async def _append(self, path: Path, left: Left, remains: Remains) -> int:
        """Append what a segment holds and Kafka does not; return how many records that were."""
        parts = await self._spool.run(lambda: [part for kind, part in self._parts(path) if kind is not Kind.JOURNAL])
        appended = 0
        for part in parts:
            for topic, records in _by_topic(part):
                await self._resolve([record.value for record in records])
                wanted = remains.take_spooled(topic, records)
                INGEST_SPOOL_RECOVERED.labels("appended").inc(len(wanted))
                INGEST_SPOOL_RECOVERED.labels("stored before").inc(len(records) - len(wanted))
                appended += len(wanted)
                await self._touch(left)
                await self._put(wanted)
        return appended

    async def _put(self, records: list[Outgoing]) -> None:
        await self._until(lambda: self._outlet.unacknowledged <= _MOST_AHEAD)
        self._outlet.put(records)

    async def _acknowledged(self) -> None:
        """Wait until Kafka has everything that was taken until now."""
        await self._until(lambda: self._outlet.tides() is not None)
        then = self._outlet.tides() or {}

        def landed() -> bool:
            now = self._outlet.tides()
            return now is not None and all(now[at].landed >= tide.taken for at, tide in then.items())

        await self._until(landed)

    @staticmethod
    async def _until(condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110 - it depends on Kafka, which tells nobody
            await asyncio.sleep(_TURN_S)

    async def _touch(self, left: Left) -> None:
        """Say in the files' times that this run may have written until now: the next one would read so far."""
        now_s = self._service.clock.monotonic_s()
        if now_s - self._touched_s >= _TOUCH_S:
            self._touched_s = now_s
            await self._spool.run(partial(_touch, left.journals))


def _touch(paths: list[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            os.utime(path)


def _by_topic(part: _Part) -> Iterator[tuple[str, list[Stored]]]:
    if part.topic < len(_TOPICS):
        yield _TOPICS[part.topic], part.records
        return
    for number, topic in enumerate(_TOPICS):
        yield topic, [Stored(key, value[1:]) for key, value in part.records if value[:1] == bytes([number])]
