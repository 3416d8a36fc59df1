"""One assigned input partition from the moment it is fenced until it is given away.

It owns the partition's task, its transactional producer and the last committed state; the worker owns the group.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from runtime import metrics
from runtime.bad_share import TooManyBad
from runtime.checkpoint import Application, ChangelogReader, Checkpoint, Step
from runtime.clock import Clock
from runtime.config import KafkaSettings
from runtime.errors import ConfigError, Fenced, StateCorrupted, Unavailable, UsageError
from runtime.kafka import ConsumerRecord, TopicPartition
from runtime.poison import Poison
from runtime.processor import Processor
from runtime.restoring import InputLog, Stops, check_place
from runtime.task import Frozen, ProcessorFailed, Task
from runtime.tuning import TaskHostSettings
from schemas.codec import SchemaStore
from schemas.records import ChangelogEntry
from schemas.topics import dead_letters

S = TypeVar("S")


async def _nothing_unended(_: int) -> list[str]:
    return []


@dataclass(frozen=True, slots=True)
class Surroundings(Generic[S]):
    """What every partition of a worker shares."""

    processor: Processor[S]
    application: Application
    kafka: KafkaSettings
    tuning: TaskHostSettings
    store: SchemaStore
    clock: Clock
    input_log: InputLog
    before_step: Step
    unended: Callable[[int], Awaitable[list[str]]] = _nothing_unended
    """Topics that hold records of an earlier transaction of a partition's id without its end (`runtime.unended`)."""


class PartitionHost(Generic[S]):
    """Processing of one assigned partition.

    `task` is None until `open` has restored it, and again as soon as its memory may not be used: after a failed or
    cancelled commit, which took outputs with it, and after a step that did not end. Then the partition must be opened
    anew, rewound or given away; nothing of it is ever committed. `failure` is the error that caused it, if any.
    """

    def __init__(self, surroundings: Surroundings[S], tp: TopicPartition) -> None:
        self.tp = tp
        self.task: Task[S] | None = None
        self.failure: Exception | None = None
        self.committing: asyncio.Task[None] | None = None
        self.opening: asyncio.Task[None] | None = None
        self.asking: asyncio.Task[None] | None = None
        """Waits for the registry's answer about schema ids; the partition is paused meanwhile."""
        self.asked: set[int] = set()
        """Schema ids the registry was asked for: what is still unknown makes dead letters."""
        self.held_back = False
        self.refused = False
        """The group says that the partition is somebody else's: an assignment will follow."""
        self.newest_ms = -1
        """Timestamp of the newest processed record; -1 before the first."""
        self.latency_s = 0.0
        """How old that record was when it was processed."""
        self.commit_s = 0.0
        """How long the last commit took."""
        self.restore_s = 0.0
        """How long it took to open the partition."""
        self._shared = surroundings
        self._checkpoint: Checkpoint | None = None
        self._committed: ChangelogEntry | None = None
        self._start = 0
        self._committed_at_s = surroundings.clock.monotonic_s()
        self._rows_since_commit = 0
        self._poison = Poison()
        self._dead_letter_topic = dead_letters(surroundings.processor.group).name
        self._labels = {"topic": tp.topic, "partition": str(tp.partition)}

    @property
    def committed_position(self) -> int:
        """Offset of the first record that no committed transaction has processed."""
        return self._start if self._committed is None else self._committed.position

    @property
    def position(self) -> int:
        """Offset of the next record to process."""
        return self.committed_position if self.task is None else self.task.position

    async def open(self, reader: ChangelogReader) -> int:
        """Fence the former owner, restore the state, and return the offset to read on from.

        Raises `ConfigError` when the log no longer holds that offset or the state cannot be read, and `Unavailable`.
        """
        shared = self._shared
        started_s = shared.clock.monotonic_s()
        await self.close()
        self.failure = None
        self._checkpoint = await Checkpoint.open(
            shared.kafka, shared.application, self.tp, shared.tuning.transaction_timeout_ms
        )
        if unended := await shared.unended(self.tp.partition):
            await self._checkpoint.end_unended(unended)
        await self._restore(reader)
        self._committed_at_s = shared.clock.monotonic_s()
        self.restore_s = self._committed_at_s - started_s
        metrics.TASK_RESTORE_SECONDS.observe(self.restore_s)
        return self.position

    async def _restore(self, reader: ChangelogReader) -> None:
        stops = Stops(self._shared.application, self.tp)
        try:
            found = await reader.read(self.tp.topic, self.tp.partition)
        except StateCorrupted as error:
            first, _ = await self._shared.input_log.bounds(self.tp)
            raise stops.error(str(error), repeats=True, first=first) from error
        self._start = await check_place(found, self._shared.input_log, stops)
        self._committed = found.entry
        try:
            self._restart_task()
        except StateCorrupted as error:
            raise stops.unreadable(found, self._start, error) from error

    def _restart_task(self) -> None:
        shared = self._shared
        self.task = Task(
            shared.processor, shared.store, self.tp.partition, self._committed, self._start, shared.tuning.bad_limit
        )
        self._rows_since_commit = 0

    def process(self, records: Sequence[ConsumerRecord]) -> bool:
        """Process consecutive records.

        Returns False when the processor raised: the caller must `rewind` and read again from the position it returns;
        the next attempt finds the raisers and makes them dead letters. Raises `ConfigError` when more of the newest
        records are bad than may be: nothing since the last commit is written then.
        """
        if self.task is None:
            message = "process needs an open partition"
            raise UsageError(message)
        # spent until every part has ended: whatever raises leaves a state that is ahead of its position
        task, self.task = self.task, None
        try:
            with metrics.TASK_STEP_SECONDS.time():
                self._poison.run(task, records)
        except ProcessorFailed:
            return False
        except StateCorrupted as error:
            self.failure = error
            return False
        except TooManyBad as error:
            raise self._too_many_bad(error) from error
        self.task = task
        self._rows_since_commit += len(records)
        metrics.TASK_RECORDS.labels(**self._labels).inc(len(records))
        tally = task.take_tally()
        metrics.IDENTITY_REPEATS.inc(tally.repeats)
        metrics.IDENTITY_HOLES.inc(tally.holes)
        metrics.IDENTITY_DROPPED.inc(tally.dropped)
        self.newest_ms = records[-1].timestamp
        self.latency_s = max(0.0, self._shared.clock.wall_s() - self.newest_ms / 1000)
        return True

    def _too_many_bad(self, error: TooManyBad) -> ConfigError:
        group, limit = self._shared.processor.group, error.limit
        message = (
            f"{group}: more than {limit.records} of {limit.window_records} consecutive records of {self.tp.topic}/"
            f"{self.tp.partition} are bad, the first at offsets {', '.join(map(str, error.offsets))}, the one too many "
            f"at {error.last} ({error.why}). Nothing was skipped, and the topic is not emptied into the dead letters. "
            f"Correct what writes the topic, or this release; to let bad records pass into the dead letters, set "
            f"{group.upper()}_TASK_HOST_MAX_BAD_RATIO=1 until the partition is behind them"
        )
        return ConfigError([message])

    async def rewind(self) -> int:
        """Go back to the last committed state; return the offset to read again from.

        After a failure the task stays None: the partition must be opened anew.
        """
        await self.committed()
        if self.failure is None:
            self._restart_task()
            metrics.TASK_RESTARTS.labels(reason="processor").inc()
        return self.position

    def due(self, interval_s: float) -> Frozen | None:
        """Return what to commit now, or None: nothing new, too early, or a commit is under way."""
        if self.task is None or self.committing is not None or self.task.position == self.committed_position:
            return None
        if self._shared.clock.monotonic_s() - self._committed_at_s < interval_s:
            return None
        self._rows_since_commit = 0
        return self.task.freeze()

    @property
    def overfull(self) -> bool:
        """True when so much waits for the commit under way that reading should pause."""
        return self.committing is not None and self._rows_since_commit > self._shared.tuning.max_uncommitted_records

    async def commit(self, frozen: Frozen) -> None:
        """Commit; on any failure drop the task and keep the error in `failure`."""
        if self._checkpoint is None:
            message = "commit needs an open partition"
            raise UsageError(message)
        clock = self._shared.clock
        started_s = clock.monotonic_s()
        try:
            await self._checkpoint.commit(frozen, self._shared.tuning.commit_deadline_s, self._shared.before_step)
        except Exception as error:  # noqa: BLE001 - whatever it is, the memory is ahead of the log: drop it
            self.failure = error
            self.task = None
            return
        finally:
            self._committed_at_s = clock.monotonic_s()
        self._committed = frozen.entry
        self._poison.forget_before(frozen.entry.position)
        self.commit_s = self._committed_at_s - started_s
        metrics.TASK_COMMIT_SECONDS.observe(self.commit_s)
        metrics.TASK_STATE_BYTES.labels(partition=str(self.tp.partition)).set(len(frozen.entry.state))
        for topic, count in Counter(output.topic for output in frozen.outputs).items():
            metrics.TASK_OUTPUTS.labels(topic=topic).inc(count)
            if topic == self._dead_letter_topic:
                metrics.TASK_DEAD_LETTERS.labels(reason="InvalidRecord").inc(count)

    def commit_ended(self) -> None:
        """Take note that the commit under way is over; one that was cancelled took outputs with it."""
        committing, self.committing = self.committing, None
        if committing is not None and committing.cancelled():
            self.task = None

    async def committed(self) -> None:
        """Wait until no commit is under way."""
        if self.committing is not None:
            await asyncio.wait([self.committing])

    @property
    def uncommitted_for_s(self) -> float:
        """For how long processed records have waited for a commit; 0 while none do."""
        if self.position == self.committed_position:
            return 0.0
        return self._shared.clock.monotonic_s() - self._committed_at_s

    @property
    def fatal(self) -> Exception | None:
        """The failure, when neither time nor the group nor the changelog can heal it."""
        return None if isinstance(self.failure, Fenced | Unavailable | StateCorrupted) else self.failure

    async def release(self, budget_s: float) -> None:
        """Commit what is done, within a budget, then stop the producer.

        What cannot be committed is not lost: the next owner restores the former state and does it again. An error that
        is not about Kafka stands in `failure` afterwards.
        """
        try:
            async with asyncio.timeout(budget_s):
                await self._finish()
        except TimeoutError:
            self.failure = Unavailable("the commit was not finished before the partition was given away")
        except Exception as error:  # noqa: BLE001 - whoever releases looks at it; the other partitions come first
            self.failure = error
        finally:
            if self.committing is not None:
                self.committing.cancel()
            await self.close()
            self._forget_metrics()

    async def _finish(self) -> None:
        for waiting in (self.opening, self.asking):
            if waiting is not None:
                waiting.cancel()
                await asyncio.wait([waiting])
        await self.committed()
        frozen = self.due(interval_s=0)
        if frozen is not None:
            await self.commit(frozen)

    def _forget_metrics(self) -> None:
        """Leave no gauge behind that tells of a partition somebody else works on."""
        for gauge in (metrics.TASK_LAG_RECORDS, metrics.TASK_LAG_SECONDS):
            gauge.remove(self._labels["topic"], self._labels["partition"])
        metrics.TASK_STATE_BYTES.remove(self._labels["partition"])

    async def close(self) -> None:
        """Stop the producer without committing."""
        self.task = None
        if self._checkpoint is not None:
            checkpoint, self._checkpoint = self._checkpoint, None
            await checkpoint.close()
