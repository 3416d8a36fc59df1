"""One input partition held by the Forwarder, from its assignment until it is taken away, and the hands of its jobs."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from runtime import metrics
from runtime.checkpoint import Application, Step
from runtime.clock import Clock
from runtime.errors import Fenced, UsageError
from runtime.forwarder_commits import Committer
from runtime.forwarder_writer import Row, Writer
from runtime.forwarding import Job, Letter, Received
from runtime.kafka import ConsumerRecord, TopicPartition
from runtime.lanes import Lanes, Ticket
from runtime.log import Logger
from runtime.turn_log import TurnTable, intent_key, result_key
from schemas.codec import SchemaStore
from schemas.records import Record, TurnEntry
from schemas.symbols import TurnState
from schemas.topics import topic_of, turns

W = TypeVar("W")


@dataclass(frozen=True, slots=True)
class Carry(Generic[W]):
    """Work of a lane: do a job of the component."""

    raw: ConsumerRecord
    received: Received
    job: Job[W]


@dataclass(frozen=True, slots=True)
class Bury:
    """Work of a lane: make a record a dead letter. `received` is None where it could not be decoded."""

    raw: ConsumerRecord
    received: Received | None
    error: str
    letter: Letter | None = None
    """What the component says of it; None where the record itself is bad."""


@dataclass(frozen=True, slots=True)
class Means:
    """What the jobs of all partitions share."""

    application: Application
    store: SchemaStore
    clock: Clock
    log: Logger
    writer: Writer
    committer: Committer
    before_step: Step
    keeps_turns: bool


class Held(Generic[W]):
    """One assignment of one partition; another assignment of the same partition is another object.

    `lanes` is None until the partition is taken over. Once `cut` is set its jobs can do nothing any more.
    """

    def __init__(self, tp: TopicPartition) -> None:
        self.tp = tp
        self.lanes: Lanes[Carry[W] | Bury] | None = None
        self.turns = TurnTable()
        self.jobs: dict[asyncio.Task[None], Ticket[Carry[W] | Bury]] = {}
        self.cut = False
        self.closing = False
        """No new jobs start."""
        self.begin = -1
        """Where a group without a commit begins; kept while that cannot be stored, for inputs arrive meanwhile."""
        self.opening: asyncio.Task[None] | None = None
        self.asking: asyncio.Task[None] | None = None
        """Waits for the registry's answer about schema ids; the partition is paused meanwhile."""
        self.asked: set[int] = set()
        """Schema ids the registry was asked for: what is still unknown makes dead letters."""
        self.paused = False
        """Not read because too much waits."""
        self.last_committed = -1
        self._read: deque[tuple[int, int]] = deque()
        """Behind what was read at once: its offset and the time of its last record."""

    def add(self, records: Sequence[tuple[ConsumerRecord, list[tuple[bytes, Carry[W] | Bury]]]], at_s: float) -> None:
        """Take the next records with their work, read at `at_s`."""
        if self.lanes is None or not records:
            return
        for raw, work in records:
            self.lanes.add(raw.offset, work, at_s)
        self._read.append((self.lanes.position, records[-1][0].timestamp))

    def committed(self, offset: int) -> None:
        """Take note of a commit."""
        self.last_committed = offset
        if self.lanes is not None:
            self.lanes.committed(offset)
        while self._read and self._read[0][0] <= offset:
            self.turns.finished_before(self._read.popleft()[1])

    def check(self) -> None:
        """Raise `Fenced` once the partition was taken away."""
        if self.cut:
            message = f"{self.tp.topic}/{self.tp.partition} was taken away"
            raise Fenced(message)

    def cut_off(self) -> None:
        """Let the jobs under way do nothing more: their hands raise `Fenced`."""
        self.cut = self.closing = True

    def end_jobs(self) -> None:
        """End the jobs that are still under way."""
        for task in self.jobs:
            task.cancel()

    @property
    def busy(self) -> set["asyncio.Task[Any]"]:
        """What runs for the partition beside its jobs."""
        return {task for task in (self.opening, self.asking) if task is not None}


class JobHands(Generic[W]):
    """See `runtime.forwarding.Hands`."""

    def __init__(
        self, means: Means, held: Held[W], received: Received, key: bytes, bury: Callable[[Letter], Awaitable[None]]
    ) -> None:
        self._bury = bury
        self._means = means
        self._held = held
        self._received = received
        self._key = key
        self.over = False
        """The job was told to stop: it counts as not done, whatever it does."""

    @property
    def received(self) -> Received:
        """The record that caused the job."""
        return self._received

    async def write(self, records: Sequence[Record]) -> None:
        """See `Hands.write`. Raises `InvalidRecord` for a record the broker refuses."""
        means = self._means
        rows = []
        for record in records:
            name = topic_of(type(record)).name
            value = means.store.encode(record)
            rows.append(self._row(means.application.topic(name), self._key, value, self._received.timestamp_ms))
        await self._write(rows)
        for record in records:
            metrics.FORWARD_OUTPUTS.labels(topic=topic_of(type(record)).name).inc()

    def turn(self, turn_id: str) -> TurnState | None:
        """See `Hands.turn`."""
        self._check()
        return self._held.turns.state(turn_id)

    async def announce(self, entry: TurnEntry) -> None:
        """See `Hands.announce`.

        1. intent   a crash up to here: the turn was never begun; nor is it when the partition is being given away
        2. proof    a crash from here on: the next owner finds the intent and treats the turn as ambiguous;
                    frozen here: the commit is refused, and nothing leaves
        3. send     frozen here: bytes leave late, but only ours, for the next owner found the intent
        """
        if self._held.closing:
            # a turn that is not begun is better begun by the next owner than cut off and ambiguous
            self.over = True
        self._check()
        self._means.before_step("intent")
        await self._put(intent_key(entry.turn_id), entry)
        self._means.before_step("proof")
        started_s = self._means.clock.monotonic_s()
        await self._means.committer.prove()
        metrics.FORWARD_PROOF_SECONDS.observe(self._means.clock.monotonic_s() - started_s)
        self._means.before_step("send")
        self._check()

    async def conclude(self, entry: TurnEntry) -> None:
        """See `Hands.conclude`."""
        self._means.before_step("result")
        await self._put(result_key(entry.turn_id), entry)

    async def bury(self, letter: Letter) -> None:
        """See `Hands.bury`."""
        self._check()
        await self._bury(letter)
        self._check()

    async def _put(self, key: bytes, entry: TurnEntry) -> None:
        means = self._means
        if not means.keeps_turns:
            message = "turns are kept only by a component that says so"
            raise UsageError(message)
        topic = means.application.topic(turns(means.application.group).name)
        at_ms = await self._write([self._row(topic, key, means.store.encode(entry), None)])
        self._held.turns.note(key, entry.state, at_ms if at_ms >= 0 else round(means.clock.wall_s() * 1000))

    def _check(self) -> None:
        self._held.check()
        if self.over:
            message = f"{self._held.tp.topic}/{self._held.tp.partition} is being given away"
            raise Fenced(message)

    def _row(self, topic: str, key: bytes, value: bytes, timestamp_ms: int | None) -> Row:
        return Row(topic, self._held.tp.partition, key, value, timestamp_ms)

    async def _write(self, rows: Sequence[Row]) -> int:
        stored_at_ms = await self._means.writer.write(rows, self._check)
        # what was stored while the partition was taken away is stored; the job must not go on
        self._check()
        return stored_at_ms
