"""The log's only I/O: objects created exclusively, the head after them, both read again at a start.

A crash between an object and its head leaves a head that lags; a start follows the chain from there by name.
"""

import asyncio
import os
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import obstore
from obstore import exceptions
from obstore.store import LocalStore

from runtime.clock import Clock
from runtime.errors import CallstreamError, ConfigError, Fenced, Unavailable
from runtime.metrics import SINK_BYTES, SINK_REPEATS
from runtime.object_store import folder_of, remote_store
from runtime.sink import DeadRecord, Plan, SourcePartition, SourceRecord
from schemas.codec import SchemaStore
from sinks.audit_log import chain
from sinks.audit_log.logic import (
    Arrival,
    Body,
    End,
    Place,
    Planner,
    Sealed,
    Stamp,
    furthest,
    head_bytes,
    seal,
)
from sinks.audit_log.redaction import Digester
from sinks.audit_log.verification import BrokenChain, Verifier, parse_head, previous_of

MAX_OBJECT_BYTES = 256 * 2**20
"""No object of the log is larger; what is, is not read."""


class LogDamaged(CallstreamError):
    """What stands in the store is not what the head says. The operator acts; nothing is written behind it."""


class Objects:
    """A folder or bucket of whole objects.

    `url` may be a plain path; `create` makes a missing folder. Raises `Unavailable` while the store does not answer,
    `ConfigError` when it refuses us.
    """

    def __init__(self, url: str, *, create: bool) -> None:
        self.url = url
        self._folder = folder_of(url)
        if self._folder is not None and not create and not self._folder.is_dir():
            raise ConfigError([f"{url}: there is no such folder"])
        try:
            self._store = remote_store(url) if self._folder is None else LocalStore(self._folder, mkdir=create)
        except (exceptions.BaseError, OSError, ValueError) as error:
            raise ConfigError([f"{url}: {_first_line(error)}"]) from error

    async def create(self, name: str, data: bytes) -> bool:
        """Write an object that does not exist yet; False when one of that name does. It outlives a power cut."""
        with _translated(self.url):
            try:
                await asyncio.to_thread(obstore.put, self._store, name, data, mode="create", use_multipart=False)
            except exceptions.AlreadyExistsError:
                return False
        await self._sync(name)
        return True

    async def replace(self, name: str, data: bytes) -> None:
        """Write an object whole, over one that is there."""
        with _translated(self.url):
            await asyncio.to_thread(obstore.put, self._store, name, data, use_multipart=False)
        await self._sync(name)

    async def read(self, name: str) -> bytes | None:
        """Return an object's bytes, None when there is none. Raises `LogDamaged` for one too large to be ours."""
        with _translated(self.url):
            try:
                found = await asyncio.to_thread(obstore.get, self._store, name)
            except FileNotFoundError:
                return None
            if found.meta["size"] > MAX_OBJECT_BYTES:
                message = f"{name} has {found.meta['size']} bytes, more than any object of the log"
                raise LogDamaged(message)
            return bytes(await asyncio.to_thread(found.bytes))

    async def names(self, after: str | None = None) -> AsyncGenerator[str, None]:
        """Yield the names of all objects, or of those behind `after`, in no particular order."""
        with _translated(self.url):
            pages = obstore.list(self._store, offset=after)
            while (objects := await asyncio.to_thread(next, pages, None)) is not None:
                for found in objects:
                    yield found["path"]

    async def _sync(self, name: str) -> None:
        if self._folder is not None:
            await asyncio.to_thread(_sync, self._folder, name)


Held = Callable[[Collection[SourcePartition]], Awaitable[Mapping[SourcePartition, int]]]
"""The first offset each partition still holds. Raises `Unavailable`."""


@dataclass(frozen=True, slots=True)
class Outside:
    """Where the log stands, where its head, and what the topics still hold."""

    log: Objects
    heads: Objects
    held: Held


@dataclass(frozen=True, slots=True)
class Options:
    """What of the settings shapes the log."""

    batch_entries: int
    marks_interval_s: float
    dedup_window: int


class AuditLogSink:
    """The log as a sink of all topics: one process, one chain."""

    group = "audit_log"

    def __init__(
        self, outside: Outside, store: SchemaStore, digester: Digester, clock: Clock, *, options: Options
    ) -> None:
        self._log = outside.log
        self._heads = outside.heads
        self._store = store
        self._digester = digester
        self._clock = clock
        self._options = options
        self._held = outside.held
        self._writer = uuid.uuid4().hex
        self._end = End()
        self._marks: dict[Place, int] = {}
        self._unwritten: list[Sealed] = []
        self._written_at_s = clock.monotonic_s()
        self._planner = Planner(store, digester, options.dedup_window, {})

    @property
    def counts(self) -> Counter[str]:
        """Records since the last `marks`, by what became of them."""
        return self._planner.counts

    async def marks(self, partitions: Collection[SourcePartition]) -> Mapping[SourcePartition, int]:
        """Find the end of the log; return where to read on, which is before the mark where ids must be remembered.

        Where the records behind the mark are gone it is the first that is left, and the log will say so.
        """
        self._end = await restore(self._log, self._heads)
        self._marks = dict(self._end.next_offsets)
        self._unwritten = []
        self._planner = Planner(self._store, self._digester, self._options.dedup_window, self._marks)
        known = [partition for partition in partitions if self._planner.start_offset(partition) is not None]
        if not known:
            return {}
        held = await self._held(known)
        return {partition: self._planner.start(partition, held.get(partition, 0)) for partition in known}

    def plan(self, partition: SourcePartition, records: Sequence[SourceRecord]) -> Plan[Body]:
        """Return the lines these records become, without their place in the chain."""
        entries: list[Body] = []
        dead: list[DeadRecord] = []
        before = self._planner.counts["repeats"]
        for record in records:
            planned = self._planner.take(
                Arrival(partition.topic, partition.partition, record.offset, record.timestamp, record.key, record.value)
            )
            entries.extend(planned.bodies)
            if planned.defect is not None:
                dead.append(DeadRecord(record.offset, planned.defect))
        SINK_REPEATS.inc(self._planner.counts["repeats"] - before)
        return Plan(tuple(entries), tuple(dead))

    async def write(self, entries: Sequence[Body], marks: Mapping[SourcePartition, int]) -> None:
        """Append the entries in one object, or several when they are many; then the head.

        Marks alone are written once in a while. Raises `Fenced` when another writer appended here, `Unavailable` while
        a store does not answer: the next call goes on with the same objects.
        """
        if not self._unwritten:
            self._marks = furthest(self._marks, marks.items())
            if not entries and not self._is_time_for_marks():
                return
            stamp = Stamp(self._writer, int(self._clock.wall_s() * 1e6), self._digester.key_id)
            self._unwritten = seal(self._end, entries, self._marks, stamp, self._options.batch_entries)
        while self._unwritten:
            sealed = self._unwritten[0]
            if not await self._log.create(sealed.name, sealed.data):
                await self._must_be_ours(sealed)
            await self._heads.replace(chain.HEAD_NAME, sealed.head)
            self._end = sealed.end
            SINK_BYTES.inc(len(sealed.data))
            self._written_at_s = self._clock.monotonic_s()
            del self._unwritten[0]

    async def release(self, partitions: Collection[SourcePartition]) -> None:
        """Nothing is held: whoever creates the next object has the log."""

    def _is_time_for_marks(self) -> bool:
        idle_s = self._clock.monotonic_s() - self._written_at_s
        return idle_s >= self._options.marks_interval_s and self._marks != self._end.next_offsets

    async def _must_be_ours(self, sealed: Sealed) -> None:
        # an answer of the store may have been lost after it did what we asked
        if await self._log.read(sealed.name) != sealed.data:
            message = f"another audit log writes to {self._log.url}: it has taken {sealed.name}"
            raise Fenced(message)


async def restore(log: Objects, heads: Objects) -> End:
    """Return where the log ends, and bring its head there. Raises `LogDamaged` when the head says otherwise."""
    kept = await heads.read(chain.HEAD_NAME)
    try:
        end = await _begin(log, heads) if kept is None else await _follow(log, parse_head(kept))
    except BrokenChain as error:
        message = f"the log in {log.url} cannot be continued: {error}; `callstream audit verify` says more"
        raise LogDamaged(message) from error
    if kept is None or parse_head(kept) != end.head:
        await heads.replace(chain.HEAD_NAME, head_bytes(end))
    return end


async def _begin(log: Objects, heads: Objects) -> End:
    if (name := await _any(log.names())) is not None:
        message = f"{log.url} holds {name} but {heads.url} holds no head: nobody can tell where the log ended"
        raise LogDamaged(message)
    return End()


async def _follow(log: Objects, head: chain.Head) -> End:
    verifier = Verifier(head, start=await _before(log, head))
    while (data := await log.read(verifier.expected)) is not None:
        verifier.check(data)
    if verifier.head.positions < head.positions:
        message = f"{log.url} ends at position {verifier.head.positions}, its head says {head.positions}"
        raise LogDamaged(message)
    if (name := await _any(log.names(verifier.expected))) is not None:
        message = f"{log.url} has {name} behind its end at position {verifier.head.positions}"
        raise LogDamaged(message)
    return End(verifier.head, verifier.next_offsets)


async def _any(names: AsyncGenerator[str, None]) -> str | None:
    async with aclosing(names):
        return await anext(names, None)


async def _before(log: Objects, head: chain.Head) -> chain.Head:
    """Return the head as it was before the newest object it knows of."""
    if head.positions == 0:
        return chain.Head()
    data = await log.read(chain.object_name(head.object))
    if data is None:
        message = f"{log.url} has no {chain.object_name(head.object)}, with which its head says it ends"
        raise LogDamaged(message)
    return chain.Head(head.object, previous_of(data), 0)


def _sync(folder: Path, name: str) -> None:
    for path in (folder / name, folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except (
        exceptions.PermissionDeniedError,
        exceptions.UnauthenticatedError,
        exceptions.UnknownConfigurationKeyError,
        exceptions.InvalidPathError,
        ValueError,
    ) as error:
        raise ConfigError([f"{url}: {_first_line(error)}"]) from error
    except (exceptions.BaseError, OSError) as error:
        message = f"{url}: {_first_line(error)}"
        raise Unavailable(message) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
