"""The sink host: polls without pause, writes one step at a time, goes on where the store says.

Polling never stops, so that the member stays in its group; one coroutine alone calls the sink, so that taking
partitions over, planning, writing and giving them away never overlap. Whatever does not answer is asked again with
jitter, and nothing is dropped: while a write waits, records are held up to a bound, then the partitions are paused.

Dead letters are written before the mark passes their record: once, unless a crash lies between the two; then the same
record is a dead letter again, with the same key, value and origin in its headers.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

from audio.frames import unknown_ids
from runtime import metrics
from runtime.errors import ConfigError, Unavailable
from runtime.membership import GroupLost
from runtime.service import Service
from runtime.sink import DeadRecord, Entry, Feed, Sink, SinkOptions, SourcePartition, SourceRecord

T = TypeVar("T")
_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 5.0
_COMMIT_EVERY_S = 5.0


class _Abandoned(Exception):
    """The partitions were taken away, or the service stops: what is not stored will be read again."""


class SinkHost(Generic[Entry]):
    """Runs one sink over one feed. The feed calls `assigned` and `revoked`; `run` does everything else."""

    def __init__(self, service: Service[Any], sink: Sink[Entry], options: SinkOptions) -> None:
        self._service = service
        self._sink = sink
        self._options = options
        self._assignment = 0
        self._owned: frozenset[SourcePartition] = frozenset()
        self._next: dict[SourcePartition, int] = {}
        self._stored: dict[SourcePartition, int] = {}
        self._waiting: dict[SourcePartition, list[SourceRecord]] = {}
        self._waiting_records = 0
        self._waiting_bytes = 0
        self._held_back = False
        self._committed_s = 0.0
        self._wake = asyncio.Event()
        self._released = asyncio.Event()
        self._fatal: Exception | None = None
        self._polls = 0
        self._unanswered = False

    # --- called by the feed --------------------------------------------------------------------------------------

    def assigned(self, partitions: Collection[SourcePartition]) -> None:
        """Take an assignment; its partitions are paused until the store has said where to go on."""
        self._change(frozenset(partitions))

    async def revoked(self) -> None:
        """Give everything away: a write in progress ends, within the budget; records not written yet are forgotten."""
        if not self._owned:
            return
        self._released.clear()
        self._change(frozenset())
        with suppress(TimeoutError):
            async with asyncio.timeout(self._options.revoke_budget_s):
                await self._released.wait()

    def _change(self, owned: frozenset[SourcePartition]) -> None:
        self._assignment += 1
        self._owned = owned
        self._next = {}
        self._stored = {}
        self._unanswered = False
        self._held_back = False
        self._forget_waiting()
        self._wake.set()

    # --- the two loops -------------------------------------------------------------------------------------------

    async def run(self, feed: Feed) -> None:
        """Poll and write until the service stops, then write what was read and give the partitions back."""
        async with asyncio.TaskGroup() as tasks:
            polling = tasks.create_task(self._poll_forever(feed))
            waker = tasks.create_task(self._wake_to_stop())
            try:
                await self._write_forever(feed)
            finally:
                polling.cancel()
                waker.cancel()
        if self._fatal is not None:
            raise self._fatal

    def fail(self, error: Exception) -> None:
        """Drain as for a stop, then raise the error out of `run`."""
        self._fatal = self._fatal or error
        self._service.stopping.set()

    def pending(self) -> Mapping[str, Hashable]:
        """Return what must move on by itself: polls, and writes while something is read and not stored.

        A store or a registry that says it does not answer is waited for. See `Watchdog`.
        """
        found: dict[str, Hashable] = {"polls": self._polls}
        if not self._unanswered and (self._stored != self._next or bool(self._owned) != bool(self._next)):
            found["writes"] = (self._assignment, tuple(sorted(self._stored.items())))
        return found

    async def _wake_to_stop(self) -> None:
        await self._service.stopping.wait()
        self._wake.set()

    async def _poll_forever(self, feed: Feed) -> None:
        while not self._service.stopping.is_set():
            try:
                polled = await feed.poll()
            except GroupLost as error:
                self.fail(error)
                return
            except Unavailable as error:
                self._service.health.ready("kafka", ok=False, why=str(error))
                await asyncio.sleep(random.uniform(0, 1))  # noqa: S311 - jitter, no secret
                continue
            self._service.health.ready("kafka", ok=True)
            self._polls += 1
            for partition, records in polled.items():
                self._keep(partition, records)
            if not self._held_back and self._too_much_waiting():
                self._held_back = True
                feed.pause(self._next)
                self._wake.set()

    def _keep(self, partition: SourcePartition, records: Sequence[SourceRecord]) -> None:
        expected = self._next.get(partition)
        if expected is None:
            return
        fresh = [record for record in records if record.offset >= expected]
        if fresh:
            self._next[partition] = fresh[-1].offset + 1
            self._waiting.setdefault(partition, []).extend(fresh)
            self._waiting_records += len(fresh)
            self._waiting_bytes += sum(len(record.value or b"") for record in fresh)

    def _too_much_waiting(self) -> bool:
        options = self._options
        return self._waiting_records >= options.waiting_records or self._waiting_bytes >= options.waiting_bytes

    def _forget_waiting(self) -> dict[SourcePartition, list[SourceRecord]]:
        waiting, self._waiting = self._waiting, {}
        self._waiting_records = self._waiting_bytes = 0
        return waiting

    async def _write_forever(self, feed: Feed) -> None:
        """The only coroutine that calls the sink."""
        held: frozenset[SourcePartition] = frozenset()
        handled = 0
        try:
            while True:
                assignment, stopping = self._assignment, self._service.stopping.is_set()
                try:
                    if assignment != handled:
                        if stopping:
                            return
                        await self._sink.release(held)
                        held = self._owned
                        self._released.set()
                        await self._open(feed, assignment)
                        handled = assignment
                    await self._step(feed, assignment)
                except _Abandoned:
                    pass
                if stopping:
                    return
                await self._pause_between()
        finally:
            await self._sink.release(held)
            self._released.set()

    async def _pause_between(self) -> None:
        """Wait for the next write's time, or for something that cannot wait."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._options.interval_s):
                await self._wake.wait()
        self._wake.clear()

    # --- taking over ---------------------------------------------------------------------------------------------

    async def _open(self, feed: Feed, assignment: int) -> None:
        """Ask the store where to go on, and go on there. Raises `ConfigError` when the log no longer holds that."""
        owned = self._owned
        if not owned:
            self._service.health.ready("store", ok=True)
            return
        self._service.health.ready("store", ok=False, why="partitions are being taken over")
        marks = await self._answer(lambda: self._sink.marks(owned), assignment)
        bounds = await self._answer(lambda: feed.bounds(owned), assignment)
        if assignment != self._assignment:
            raise _Abandoned
        mistakes = [
            _lost(partition, marks[partition], *bounds[partition])
            for partition in sorted(owned)
            if partition in marks and not bounds[partition][0] <= marks[partition] <= bounds[partition][1]
        ]
        if mistakes:
            raise ConfigError(mistakes)
        for partition in sorted(owned):
            offset = marks.get(partition, bounds[partition][0])
            self._next[partition] = self._stored[partition] = offset
            feed.start(partition, offset)
        self._service.log.info("partitions taken over", partitions=[f"{p.topic}/{p.partition}" for p in sorted(owned)])

    # --- one step ------------------------------------------------------------------------------------------------

    async def _step(self, feed: Feed, assignment: int) -> None:
        """Plan and store what waits. All of it, or, when it is abandoned, none as far as the marks say."""
        waiting = self._forget_waiting()
        if self._held_back:
            self._held_back = False
            feed.resume(self._next)
        if not waiting:
            await self._tell(feed)
            return
        values = [record.value for records in waiting.values() for record in records]
        unknown = unknown_ids(values, self._service.store)
        if unknown:
            await self._answer(lambda: self._service.registry.resolve(unknown, self._service.store), assignment)
        entries: list[Entry] = []
        for partition, records in waiting.items():
            plan = self._sink.plan(partition, records)
            entries.extend(plan.entries)
            await self._bury(feed, assignment, partition, records, plan.dead)
        marks = {partition: records[-1].offset + 1 for partition, records in waiting.items()}
        with metrics.SINK_WRITE_SECONDS.time():
            await self._answer(lambda: self._sink.write(entries, marks), assignment)
        for partition, records in waiting.items():
            metrics.SINK_ENTRIES.labels(partition.topic).inc(len(records))
        if assignment == self._assignment:
            self._stored.update(marks)
            await self._tell(feed)

    async def _bury(
        self,
        feed: Feed,
        assignment: int,
        partition: SourcePartition,
        records: Sequence[SourceRecord],
        dead: Sequence[DeadRecord],
    ) -> None:
        found = {record.offset: record for record in records}
        for item in dead:
            record = found[item.offset]
            await self._answer(partial(feed.dead_letter, partition, record, item), assignment)
            metrics.SINK_DEAD_LETTERS.labels("InvalidRecord").inc()

    async def _tell(self, feed: Feed) -> None:
        for partition, offset in self._stored.items():
            behind = feed.behind(partition, offset)
            metrics.SINK_LAG_RECORDS.labels(partition.topic, partition.partition).set(behind)
        now_s = self._service.clock.monotonic_s()
        if self._stored and now_s - self._committed_s >= _COMMIT_EVERY_S:
            self._committed_s = now_s
            await feed.commit(dict(self._stored))

    async def _answer(self, ask: Callable[[], Awaitable[T]], assignment: int) -> T:
        """Ask until there is an answer. Raises `_Abandoned` once the partitions are gone or the service stops."""
        bound_s = _FIRST_WAIT_S
        while True:
            try:
                answer = await ask()
            except Unavailable as error:
                self._unanswered = True
                self._service.health.ready("store", ok=False, why=str(error))
                delay_s = error.retry_after_s or random.uniform(0, bound_s)  # noqa: S311 - jitter, no secret
                bound_s = min(_LONGEST_WAIT_S, 2 * bound_s)
                await self._wait_for_change(delay_s, assignment)
            else:
                self._unanswered = False
                self._service.health.ready("store", ok=True)
                return answer

    async def _wait_for_change(self, delay_s: float, assignment: int) -> None:
        """Wait, but not for an assignment that is over. Raises `_Abandoned`."""
        self._wake.clear()
        if assignment == self._assignment and not self._service.stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._wake.wait()
        if assignment != self._assignment or self._service.stopping.is_set():
            raise _Abandoned


def _lost(partition: SourcePartition, mark: int, first: int, end: int) -> str:
    where = f"{partition.topic}/{partition.partition}"
    if mark < first:
        return (
            f"{where}: the input is gone by retention: the store goes on at offset {mark}, "
            f"the log begins at {first}; {first - mark} records were never stored"
        )
    return f"{where}: the store goes on at offset {mark}, the log ends at {end}: this is another topic than before"
