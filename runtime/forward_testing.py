"""The shipped driver of forwarding components, without a broker. Records in, records and turns out, crash here, resume.

It plans and carries one record after the other, and commits each when its jobs are done. It does not simulate: keys
carried at once, groups and rebalances, a Kafka that does not answer. Time is the manual clock; every record takes its
timestamp from there unless the caller gives one.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Generic, TypeVar

from runtime.clock import ManualClock
from runtime.errors import InvalidRecord, UsageError
from runtime.forwarding import Forward, Job, Letter, Received
from runtime.task import Output
from runtime.testing import LogRecord
from schemas.codec import SchemaStore
from schemas.records import Record, TurnEntry
from schemas.symbols import TurnState
from schemas.topics import by_name, topic_of

W = TypeVar("W")


class Point(StrEnum):
    """Where a crash can be put: before or after a step of the hands becomes durable."""

    BEFORE_WRITE = "before write"
    AFTER_WRITE = "after write"
    BEFORE_ANNOUNCE = "before announce"
    AFTER_ANNOUNCE = "after announce"
    BEFORE_CONCLUDE = "before conclude"
    AFTER_CONCLUDE = "after conclude"
    BEFORE_COMMIT = "before commit"


class Crashed(Exception):
    """The driver's process ended where it was told to."""


class ForwardDriver(Generic[W]):
    """One partition of one forwarding component.

    `send*` append to the input, `run` does what is not done yet. `outputs`, `dead_letters` (offsets), `buried` (offset
    and letter of what was understood and led to nothing), `turns` (by key) and `committed` are what a crash leaves.
    """

    def __init__(self, forward: Forward[W], *, partition: int = 0, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.store = SchemaStore()
        self.log: list[LogRecord] = []
        self.outputs: list[Output] = []
        self.dead_letters: list[int] = []
        self.buried: list[tuple[int, Letter]] = []
        self.turns: dict[str, TurnEntry] = {}
        self.committed = 0
        self._forward = forward
        self._partition = partition
        self._crash: tuple[Point, int] | None = None
        self._begun = False

    def send(self, record: Record, *, key: str = "conversation", timestamp_ms: int | None = None) -> int:
        """Append a record to the input; return its offset."""
        return self.send_value(self.store.encode(record), key=key.encode(), timestamp_ms=timestamp_ms)

    def send_value(self, value: bytes | None, *, key: bytes | None = None, timestamp_ms: int | None = None) -> int:
        """Append any bytes to the input; return their offset."""
        timestamp = round(self.clock.wall_s() * 1000) if timestamp_ms is None else timestamp_ms
        self.log.append(LogRecord(len(self.log), timestamp, key, value))
        return self.log[-1].offset

    async def run(self) -> list[Output]:
        """Plan and carry everything not committed; return the new outputs. Raises `Crashed` where that was asked."""
        before = len(self.outputs)
        try:
            if not self._begun:
                self._begin()
            while self.committed < len(self.log):
                await self._step(self.log[self.committed])
        except Crashed:
            self.crash()
            raise
        return self.outputs[before:]

    def crash_at(self, point: Point, times: int = 1) -> None:
        """Let the process end at a point, when it comes there for the `times`-th time from now."""
        self._crash = (point, times)

    def crash(self) -> None:
        """Forget what is in memory; the next run takes the partition over."""
        self._crash = None
        self._begun = False

    def records(self, topic: str) -> list[Record]:
        """Return the outputs on a topic as records."""
        record_type = by_name(topic).record
        if record_type is None:
            raise KeyError(topic)
        return [self.store.decode(output.value, record_type) for output in self.outputs if output.topic == topic]

    def passed(self, point: Point) -> None:
        """Tell the driver that its process is at a point. Raises `Crashed` where one was asked for."""
        if self._crash is None or self._crash[0] is not point:
            return
        times = self._crash[1] - 1
        self._crash = (point, times)
        if times <= 0:
            raise Crashed

    def _begin(self) -> None:
        self._forward.begin(self._partition)
        self._begun = True
        if self.committed == 0 or self._forward.lookback_ms == 0:
            return
        since_ms = self.log[self.committed - 1].timestamp - self._forward.lookback_ms
        for record in self.log[: self.committed]:
            if record.timestamp >= since_ms:
                self._plan(record)

    async def _step(self, record: LogRecord) -> None:
        planned = self._plan(record)
        if planned is None:
            self.dead_letters.append(record.offset)
        else:
            received, jobs = planned
            for job in jobs:
                try:
                    await self._forward.carry(job, _Hands(self, received, job.key))
                except InvalidRecord:
                    self.dead_letters.append(record.offset)
        self.passed(Point.BEFORE_COMMIT)
        self.committed = record.offset + 1

    def _plan(self, record: LogRecord) -> tuple[Received, list[Job[W]]] | None:
        """Return a record and its jobs, None where it must become a dead letter."""
        topic = by_name(self._forward.input_topic)
        if topic.record is None:
            message = f"{topic.name} carries no records"
            raise UsageError(message)
        try:
            decoded: Record = self.store.decode(record.value, topic.record)
            received = Received(topic.name, self._partition, record.offset, record.timestamp, record.key, decoded)
            return received, self._forward.plan(received)
        except InvalidRecord:
            return None


class _Hands(Generic[W]):
    """See `runtime.forwarding.Hands`; everything is stored at once."""

    def __init__(self, driver: ForwardDriver[W], received: Received, key: bytes) -> None:
        self._driver = driver
        self._key = key
        self.received = received

    async def write(self, records: Sequence[Record]) -> None:
        """Store records."""
        driver = self._driver
        driver.passed(Point.BEFORE_WRITE)
        driver.outputs += [
            Output(topic_of(type(record)).name, self._key, driver.store.encode(record), self.received.timestamp_ms)
            for record in records
        ]
        driver.passed(Point.AFTER_WRITE)

    def turn(self, turn_id: str) -> TurnState | None:
        """Return how far a turn has come."""
        entry = self._driver.turns.get(f"{turn_id}/result") or self._driver.turns.get(f"{turn_id}/intent")
        return None if entry is None else entry.state

    async def announce(self, entry: TurnEntry) -> None:
        """Store an intent."""
        self._driver.passed(Point.BEFORE_ANNOUNCE)
        self._driver.turns[f"{entry.turn_id}/intent"] = entry
        self._driver.passed(Point.AFTER_ANNOUNCE)

    async def conclude(self, entry: TurnEntry) -> None:
        """Store a result."""
        self._driver.passed(Point.BEFORE_CONCLUDE)
        self._driver.turns[f"{entry.turn_id}/result"] = entry
        self._driver.passed(Point.AFTER_CONCLUDE)

    async def bury(self, letter: Letter) -> None:
        """Keep a record among the dead letters."""
        self._driver.buried.append((self.received.offset, letter))
