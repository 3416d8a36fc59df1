"""Moves lanes to the spool when Kafka does not answer, and back when it does.

Two tasks: one writes what waits for the disk, every `flush_interval_s`; one reads back what a lane can send next. A
lane goes to the spool when its oldest record is `after_s` old, and returns to memory when everything on disk was read
back. While the disk takes nothing, its records wait in memory, in their place.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ingest.lane import Lane, Memory, Waiting, cost_of
from ingest.sequencer import Outgoing
from ingest.spool.segments import Stored
from ingest.spool.spool import Batch, Block, Spool
from runtime.clock import Clock

_BLOCK_BYTES = 2**20
_WRITE_BYTES = 16 * 2**20
"""Written at once at most: all of it stays in memory until it is on disk."""
_RETRY_S = 1.0
_TURN_S = 0.05


@dataclass(frozen=True, slots=True)
class Pace:
    """When a lane goes to disk, how often is written, and how many bytes a lane reads ahead."""

    after_s: float = 1.0
    flush_interval_s: float = 0.2
    read_ahead_bytes: int = 256 * 1024


@dataclass(frozen=True, slots=True)
class _Job:
    lane: Lane
    items: list[Waiting]
    copies: bool


class Bridge:
    """The way over the disk. `attach` tells it of the lanes; `write` and `load` run until `stop`, then `end`."""

    def __init__(self, spool: Spool, clock: Clock, pace: Pace, topics: Sequence[str]) -> None:
        self.spool = spool
        self._clock = clock
        self._pace = pace
        self._topics = list(topics)
        self._lanes: Callable[[], Iterable[Lane]] = lambda: ()
        self._place: Callable[[Lane, Waiting], None] = lambda lane, item: lane.push(item)
        self._sendable: Callable[[], None] = lambda: None
        self._memory = Memory(0)
        self._connected = False
        self._after_s = pace.after_s
        self._stopping = asyncio.Event()
        self._loadable = asyncio.Event()

    def attach(
        self,
        lanes: Callable[[], Iterable[Lane]],
        place: Callable[[Lane, Waiting], None],
        sendable: Callable[[], None],
        memory: Memory,
    ) -> None:
        """Set whose lanes these are: `place` queues a record of a lane to be sent, `sendable` is called afterwards."""
        self._lanes, self._place, self._sendable, self._memory = lanes, place, sendable, memory

    def connected(self, now: bool) -> None:
        """Say whether there is a producer."""
        self._connected = now
        self._loadable.set()

    def landed(self, items: Iterable[Waiting]) -> None:
        """Note that Kafka has acknowledged records."""
        for item in items:
            if item.block is not None:
                self.spool.acknowledged(item.block, 1)
        self._loadable.set()

    def hurry(self) -> None:
        """Let everything go to the disk that is not acknowledged, however short it waits."""
        self._after_s = 0.0

    def stop(self) -> None:
        """Let `write` and `load` return."""
        self._stopping.set()
        self._loadable.set()

    async def write(self) -> None:
        """Write what waits for the disk until stopped."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while not self._stopping.is_set():
            await self._wait(min(_TURN_S, self._pace.flush_interval_s))
            if not self._begin_where_old() and loop.time() < due_s:
                continue
            due_s = loop.time() + self._pace.flush_interval_s
            if not await self._write_all():
                await self._wait(_RETRY_S)
            await self.spool.tidy(busy=any(lane.spooling for lane in self._lanes()))

    async def load(self) -> None:
        """Read back what can be sent until stopped."""
        while not self._stopping.is_set():
            await self._loadable.wait()
            self._loadable.clear()
            for lane in list(self._lanes()):
                while self._may_load(lane) and await self._load(lane):
                    pass

    async def end(self) -> None:
        """Write everything that is not acknowledged, as far as the disk takes it. After `write` and `load`."""
        for lane in self._lanes():
            if lane.at_risk_s is not None:
                lane.begin_spooling()
        await self._write_all()
        await self.spool.tidy(busy=False)

    def _begin_where_old(self) -> bool:
        """Let lanes go to disk whose oldest record waits too long; tell whether any did."""
        now_s = self._clock.monotonic_s()
        old = [
            lane
            for lane in self._lanes()
            if not lane.spooling and (at_risk_s := lane.at_risk_s) is not None and now_s - at_risk_s >= self._after_s
        ]
        for lane in old:
            lane.begin_spooling()
        return bool(old)

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _write_all(self) -> bool:
        """Write until nothing waits for the disk; False when it takes nothing now."""
        while jobs := self._next_jobs():
            blocks = await self.spool.write([self._batch(job) for job in jobs])
            if blocks is None:
                self._give_back(jobs)
                self._loadable.set()
                return False
            for job, block in zip(jobs, blocks, strict=True):
                self._written(job, block)
            self._loadable.set()
        return True

    def _next_jobs(self) -> list[_Job]:
        """Take what waits for the disk, as much as may be written at once, in blocks."""
        jobs: list[_Job] = []
        left_bytes = _WRITE_BYTES
        for lane in self._lanes():
            jobs += [_Job(lane, items, True) for items in _pieces(lane.copies)]
            lane.copies = []
            while lane.pending and left_bytes > 0:
                item = lane.pending.popleft()
                left_bytes -= item.cost_bytes
                lane.writing.append(item)
            jobs += [_Job(lane, items, False) for items in _pieces(lane.writing)]
        return jobs

    def _batch(self, job: _Job) -> Batch:
        lane = job.lane
        if lane.partition < 0:
            # the partitions are not known yet, and nor is where a record belongs: its topic stands before its value
            named = [item.record for item in job.items]
            records = [Stored(key, bytes([self._topics.index(topic)]) + value) for topic, key, value, _ in named]
            return Batch(len(self._topics), -1, records, job.items[0].since_s)
        records = [Stored(item.record.key, item.record.value) for item in job.items]
        return Batch(self._topics.index(lane.topic), lane.partition, records, job.items[0].since_s, job.copies)

    def _give_back(self, jobs: list[_Job]) -> None:
        for job in reversed(jobs):
            if job.copies:
                job.lane.copies = [item for item in job.items if not item.landed] + job.lane.copies
            else:
                job.lane.pending.extendleft(reversed(job.items))
                job.lane.writing = []

    def _written(self, job: _Job, block: Block) -> None:
        if job.copies:
            for item in job.items:
                item.block = block
            # what was acknowledged meanwhile is needed no more
            self.spool.acknowledged(block, sum(item.landed for item in job.items))
            return
        job.lane.writing = []
        job.lane.blocks.append(block)
        job.lane.on_disk += block.records
        self._memory.free(cost_of(job.items))

    def _may_load(self, lane: Lane) -> bool:
        """Tell whether a lane can send what is read back now: what is read back is in memory again."""
        if not (lane.spooling and self._connected and not self._stopping.is_set()):
            return False
        if lane.partition < 0:
            waiting_bytes = sum(other.waiting_bytes for other in self._lanes())
            return waiting_bytes < 4 * self._pace.read_ahead_bytes
        idle = not lane.flight and not lane.waiting
        return lane.waiting_bytes < self._pace.read_ahead_bytes and (lane.flowing or idle)

    async def _load(self, lane: Lane) -> bool:
        """Read back the next blocks of a lane, or end its spooling; False when nothing more can be done now."""
        if not lane.blocks:
            if lane.writing:
                return False
            for item in lane.end_spooling():
                self._place(lane, item)
            self._sendable()
            return False
        blocks = list(_first(lane.blocks, self._pace.read_ahead_bytes))
        contents = await self.spool.read(blocks)
        if contents is None:
            await self._wait(_RETRY_S)
            self._loadable.set()
            return False
        for block, records in zip(blocks, contents, strict=True):
            lane.blocks.popleft()
            lane.on_disk -= block.records
            if records is None:
                self.spool.acknowledged(block, block.records)
                lane.lose(block.records)
                continue
            items = [self._item(lane, record, block) for record in records]
            self._memory.take(cost_of(items))
            for item in items:
                self._place(lane, item)
        self._sendable()
        return True

    def _item(self, lane: Lane, record: Stored, block: Block) -> Waiting:
        if lane.partition >= 0:
            return Waiting(Outgoing(lane.topic, record.key, record.value), block.since_s, block)
        outgoing = Outgoing(self._topics[record.value[0]], record.key, record.value[1:])
        return Waiting(outgoing, block.since_s, block)


def _pieces(items: list[Waiting]) -> Iterator[list[Waiting]]:
    """Yield runs of records that make blocks of a good size."""
    piece: list[Waiting] = []
    size_bytes = 0
    for item in items:
        piece.append(item)
        size_bytes += item.cost_bytes
        if size_bytes >= _BLOCK_BYTES:
            yield piece
            piece, size_bytes = [], 0
    if piece:
        yield piece


def _first(blocks: Iterable[Block], limit_bytes: int) -> Iterator[Block]:
    """Yield blocks until there are enough bytes, one at least."""
    for block in blocks:
        yield block
        limit_bytes -= block.place.length
        if limit_bytes <= 0:
            return
