"""The spool: blocks of records on disk, written and read in threads, and how much of it is still needed.

A block is needed until all its records are acknowledged; a file is removed when none of its blocks is. A write that
fails leaves everything with the caller, who may try again. Nothing here waits for the disk on the loop.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import TypeVar

from ingest.spool.folder import Draft, Folder, Place, SpoolFull
from ingest.spool.segments import Damaged, Header, Kind, Stored
from runtime.log import Logger
from runtime.metrics import (
    INGEST_SPOOL_ASIDE_BYTES,
    INGEST_SPOOL_ASIDE_REMOVED_BYTES,
    INGEST_SPOOL_BYTES,
    INGEST_SPOOL_ERRORS,
    INGEST_SPOOL_RECORDS,
    INGEST_SPOOL_STATE,
)

T = TypeVar("T")
_NEARLY_FULL_RATIO, _NO_LONGER_RATIO = 0.9, 0.8
_FULL_RATIO = 0.97
"""Audio has no room from here on; the rest is for marks."""


class State(Enum):
    """What the spool does now."""

    OFF = "off"
    IDLE = "idle"
    ACTIVE = "active"
    FULL = "full"
    FAILING = "failing"


@dataclass(slots=True)
class Block:
    """Records on disk. `outstanding` of them are not acknowledged; `since_s` is when its first one was put."""

    place: Place
    records: int
    outstanding: int
    since_s: float


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition, to become one block. Copies are not read again by this process."""

    topic: int
    partition: int
    records: Sequence[Stored]
    since_s: float
    copies: bool = False


def show(state: State) -> None:
    """Set the metric of the state."""
    for one in State:
        INGEST_SPOOL_STATE.labels(one.value).set(one is state)


class Spool:
    """A folder in use. `nearly_full` is told when it is nine tenths full, and when two tenths are free again."""

    def __init__(self, folder: Folder, max_bytes: int, log: Logger) -> None:
        self.folder = folder
        self.nearly_full: list[Callable[[bool], None]] = []
        self._log = log
        self._max_bytes = max_bytes
        self._writing = ThreadPoolExecutor(1, "spool-write")
        self._reading = ThreadPoolExecutor(1, "spool-read")
        self._needed: dict[int, int] = {}
        self._records = 0
        self._number = 0
        self._state = State.IDLE
        self._pressed = False
        self._show(State.IDLE)

    @property
    def records(self) -> int:
        """Number of records on disk that are not acknowledged."""
        return self._records

    @property
    def state(self) -> State:
        """What the spool does now."""
        return self._state

    @property
    def has_room(self) -> bool:
        """Whether audio may come. While nothing goes to the disk, or the disk fails, memory decides."""
        return self._state in (State.IDLE, State.FAILING) or self._fill < _FULL_RATIO

    @property
    def _fill(self) -> float:
        """How full the spool is while records go there; what an earlier process left takes its share."""
        if self._state in (State.IDLE, State.OFF):
            return 0.0
        return 1.0 if self._state is State.FULL else self.folder.used_bytes / self._max_bytes

    async def write(self, batches: Sequence[Batch]) -> list[Block] | None:
        """Return the blocks the batches became, in order; None where nothing was written, and try again later."""
        drafts = []
        for batch in batches:
            self._number += 1
            kind = Kind.COPIES if batch.copies else Kind.RECORDS
            drafts.append(Draft(Header(kind, batch.topic, batch.partition, self._number), batch.records))
        try:
            places = await self._in_thread(self._writing, partial(self.folder.append, drafts))
        except SpoolFull:
            self._failed(State.FULL, "the spool is full")
            return None
        except OSError as error:
            self._failed(State.FAILING, f"{type(error).__name__}: {error.strerror}")
            return None
        for place in places:
            self._needed[place.segment] = self._needed.get(place.segment, 0) + 1
        counts = [len(batch.records) for batch in batches]
        self._records += sum(counts)
        self._show(State.ACTIVE)
        self._press()
        blocks = zip(places, counts, batches, strict=True)
        return [Block(place, count, count, batch.since_s) for place, count, batch in blocks]

    async def read(self, blocks: Sequence[Block]) -> list[list[Stored] | None] | None:
        """Return the blocks' records, None for a damaged one (it was set aside); None where the disk cannot be read."""
        try:
            found = await self._in_thread(self._reading, partial(self.folder.read, [block.place for block in blocks]))
        except OSError as error:
            INGEST_SPOOL_ERRORS.labels("read").inc()
            self._log.error("the spool cannot be read", error=f"{type(error).__name__}: {error.strerror}")
            return None
        contents: list[list[Stored] | None] = []
        for block, records in zip(blocks, found, strict=True):
            if isinstance(records, Damaged):
                INGEST_SPOOL_ERRORS.labels("damaged").inc()
                self._log.error(
                    "records on disk are damaged: their bytes were set aside",
                    error=str(records),
                    count=block.records,
                    location=f"segment {block.place.segment} at {block.place.offset}",
                )
            contents.append(None if isinstance(records, Damaged) else records)
        return contents

    def acknowledged(self, block: Block, records: int) -> None:
        """Note that records of a block are not needed any more."""
        block.outstanding -= records
        self._records -= records
        if block.outstanding == 0:
            self._needed[block.place.segment] -= 1

    async def tidy(self, *, busy: bool) -> None:
        """Remove files nobody needs. Only between writes. `busy`: some records still go over the disk."""
        free = [number for number, needed in self._needed.items() if not needed]
        for number in free:
            del self._needed[number]
        if free:
            try:
                await self._in_thread(self._writing, partial(self.folder.remove, free))
            except OSError as error:
                self._failed(State.FAILING, f"{type(error).__name__}: {error.strerror}")
                return
        if not self._needed and not busy:
            self._show(State.IDLE)
        self._press()

    async def run(self, work: Callable[[], T]) -> T:
        """Do other work on the folder between the writes."""
        return await self._in_thread(self._writing, work)

    async def close(self) -> None:
        """End writing and give the folder free."""
        await self._in_thread(self._writing, self.folder.close)
        for executor in (self._writing, self._reading):
            executor.shutdown(wait=False)
        self._show(State.OFF)

    @staticmethod
    async def _in_thread(executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(executor, work)

    def _failed(self, state: State, error: str) -> None:
        INGEST_SPOOL_ERRORS.labels("full" if state is State.FULL else "write").inc()
        if self._state is not state:
            self._log.error("records wait in memory: the spool takes none", error=error)
        self._show(state)
        self._press()

    def _show(self, state: State) -> None:
        if state is not self._state:
            if state is State.ACTIVE:
                self._log.warning("records go to disk", count=self._records)
            elif state is State.IDLE:
                self._log.warning("the spool is empty again", count=self._records)
        self._state = state
        show(state)

    def _press(self) -> None:
        """Publish the numbers, and tell when the spool gets nearly full or is no longer."""
        INGEST_SPOOL_BYTES.set(self.folder.used_bytes)
        INGEST_SPOOL_RECORDS.set(self._records)
        INGEST_SPOOL_ASIDE_BYTES.set(self.folder.aside.used_bytes)
        for name, size_bytes in self.folder.aside.take_removed():
            INGEST_SPOOL_ASIDE_REMOVED_BYTES.inc(size_bytes)
            self._log.error("what was set aside was removed, the oldest first: there is too much", location=name)
        ratio = _NO_LONGER_RATIO if self._pressed else _NEARLY_FULL_RATIO
        pressed = self._fill >= ratio
        if pressed is not self._pressed:
            self._pressed = pressed
            if pressed:
                self._log.warning("the spool is nearly full")
            else:
                self._log.warning("the spool has room again")
            for tell in self.nearly_full:
                tell(pressed)
