"""Keeps the journal: an entry as soon as a session is opened, and every second how far each is stored.

How far a session is counts only when Kafka has acknowledged all that its partition had taken by then; until that is so
the journal says what was true before. A disk that fails ends no call: the journal is written anew when it works again.
"""

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol
from uuid import UUID, uuid4

from ingest.outlet import Tide
from ingest.roll import OpenSession, Roll
from ingest.spool import journal
from ingest.spool.journal import Mark, Standing
from ingest.spool.segments import Head, Header, Kind, Stored, encode
from ingest.spool.spool import Spool
from runtime.clock import Clock
from runtime.log import Logger
from runtime.metrics import INGEST_SPOOL_ERRORS
from schemas import topics

_AUDIO, _EVENTS = topics.AUDIO.name, topics.EVENTS.name
_LARGEST_BYTES = 8 * 2**20
_GATHER_S = 0.02
_SECOND_S = 1.0
_AT_ONCE = 200
"""Sessions looked at in one turn of the loop."""


class Tides(Protocol):
    """As much of the outlet as says how far the partitions are."""

    def partition(self, topic: str, key: bytes) -> int:
        """Return the partition of a key, -1 while it is not known."""

    def tide(self, topic: str, partition: int) -> Tide | None:
        """Return how far a partition is; None while that cannot be said."""


@dataclass(slots=True)
class _Claim:
    """How far a session will be once its partitions have stored what they had taken."""

    mark: Mark
    audio_taken: int
    events_taken: int
    last: bool


@dataclass(slots=True)
class _Kept:
    session: OpenSession
    standing: Standing
    mark: Mark
    claim: _Claim | None = None
    closed: bool = False


@dataclass(slots=True)
class _File:
    path: Path
    descriptor: int
    head: Head
    blocks: int = 0
    size_bytes: int = 0


class Keeper:
    """The journal of this process. `run` writes it until `stop`; then `end`, which removes it if nothing is open."""

    def __init__(self, spool: Spool, roll: Roll, tides: Tides, clock: Clock, log: Logger) -> None:
        self._spool = spool
        self._tides = tides
        self._clock = clock
        self._log = log
        self._run = uuid4()
        self._kept: dict[UUID, _Kept] = {}
        self._new: list[_Kept] = []
        self._file: _File | None = None
        self._failing = False
        self._woken = asyncio.Event()
        self._stopping = False
        roll.on_opened, roll.on_closed = self._opened, self._closed

    async def run(self) -> None:
        """Write entries as sessions open, and each second how far they are, until stopped."""
        loop = asyncio.get_running_loop()
        due_s = loop.time() + _SECOND_S
        while not self._stopping:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due_s):
                    await self._woken.wait()
                    await asyncio.sleep(_GATHER_S)
            self._woken.clear()
            entries, due = self._openings(), loop.time() >= due_s
            if due:
                due_s = loop.time() + _SECOND_S
                entries += await self._look()
            # also with nothing new: when it was last written says until when this process was alive
            if entries or (due and self._kept):
                await self._write(entries)

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping = True
        self._woken.set()

    async def end(self) -> None:
        """Write how far everything is at the end. Call it when nothing more is stored by this process."""
        # twice: what is stored by now can only be claimed first and confirmed then
        entries = self._openings() + await self._look() + await self._look()
        if entries:
            await self._write(entries)
        file, self._file = self._file, None
        if file is not None:
            remove = not self._kept
            await self._spool.run(partial(_finish, file, remove=remove))

    def _opened(self, session: OpenSession) -> None:
        info = session.info
        standing = Standing(
            session.id,
            info.conversation_id,
            session.source,
            session.sample_rate_hz,
            self._clock.wall_s(),
            info.source_name,
            info.organisation,
            info.queue,
            info.agent,
        )
        audio, events = self._tide(_AUDIO, session.key), self._tide(_EVENTS, session.key)
        mark = Mark(0, 0, 0, audio.stored_offset if audio else -1, events.stored_offset if events else -1)
        kept = self._kept[session.id] = _Kept(session, standing, mark)
        self._new.append(kept)
        self._woken.set()

    def _closed(self, session: OpenSession) -> None:
        if session.id in self._kept:
            self._kept[session.id].closed = True

    def _tide(self, topic: str, key: bytes) -> Tide | None:
        return self._tides.tide(topic, self._tides.partition(topic, key))

    def _openings(self) -> list[Stored]:
        new, self._new = self._new, []
        return [entry for kept in new for entry in _described(kept)]

    async def _look(self) -> list[Stored]:
        """Return how far sessions are stored now, where that has changed."""
        entries = []
        for number, kept in enumerate(list(self._kept.values()), 1):
            entries += self._look_at(kept)
            if not number % _AT_ONCE:
                await asyncio.sleep(0)
        return entries

    def _look_at(self, kept: _Kept) -> list[Stored]:
        session, entries = kept.session, []
        audio, events = self._tide(_AUDIO, session.key), self._tide(_EVENTS, session.key)
        if audio is None or events is None:
            return []
        claim = kept.claim
        if claim is not None and audio.landed >= claim.audio_taken and events.landed >= claim.events_taken:
            kept.mark, kept.claim = claim.mark, None
            if claim.last:
                del self._kept[session.id]
                return [journal.done(session.id)]
            entries.append(journal.stands(session.id, kept.mark))
        if kept.claim is None:
            numbers = (session.sequence, session.counter, session.position_samples)
            if kept.closed or numbers[:2] != (kept.mark.sequence, kept.mark.counter):
                mark = Mark(*numbers, audio.stored_offset, events.stored_offset)
                kept.claim = _Claim(mark, audio.taken, events.taken, kept.closed)
        return entries

    async def _write(self, entries: list[Stored]) -> None:
        """Add entries to the file; where there is none or it grew large, all that counts goes into a new one."""
        file = self._file
        try:
            if file is None or self._failing or file.size_bytes > _LARGEST_BYTES:
                everything = [journal.begin(self._run)]
                everything += [entry for kept in self._kept.values() for entry in _described(kept)]
                self._file = await self._spool.run(partial(_new_file, self._spool, everything))
                if file is not None:
                    await self._spool.run(partial(_finish, file, remove=True))
            else:
                await self._spool.run(partial(_append, self._spool, file, entries))
        except OSError as error:
            INGEST_SPOOL_ERRORS.labels("journal").inc()
            if not self._failing:
                self._log.error("the journal cannot be written", error=f"{type(error).__name__}: {error.strerror}")
            self._failing = True
        else:
            self._failing = False


def _described(kept: _Kept) -> list[Stored]:
    return [journal.opened(kept.standing), journal.stands(kept.standing.session, kept.mark)]


def _new_file(spool: Spool, entries: list[Stored]) -> _File:
    path, descriptor, head = spool.folder.new_file("journal")
    file = _File(path, descriptor, head)
    try:
        _append(spool, file, entries)
    except OSError:
        _finish(file, remove=True)
        raise
    return file


def _append(spool: Spool, file: _File, entries: list[Stored]) -> None:
    file.blocks += 1
    block = encode(file.head, Header(Kind.JOURNAL, 0, 0, file.blocks), entries, spool.folder.seal)
    view = memoryview(block)
    while view:
        view = view[os.write(file.descriptor, view) :]
    os.fdatasync(file.descriptor)
    file.size_bytes += len(block)


def _finish(file: _File, *, remove: bool) -> None:
    os.close(file.descriptor)
    if remove:
        file.path.unlink(missing_ok=True)
