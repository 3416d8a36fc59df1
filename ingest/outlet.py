"""Records → Kafka, in order per partition, however long that takes.

`put` never waits and never fails: records queue in memory, per partition once the partitions are known. Every
`linger_ms`, or as soon as a partition holds a full batch, one batch per partition is sent; a partition's next batch
waits for its acknowledgement. A producer that fails is replaced, and what it had not acknowledged is sent again from
the first record on: a repeat carries the same session id and sequence. Above its limit the outlet has no room for
audio; marks are taken anyway.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from ingest.sequencer import Outgoing
from runtime.clock import Clock
from runtime.errors import ConfigError, Unavailable, UsageError
from runtime.kafka import Partitioner, connect_with_retry, stop_quietly, translate
from runtime.metrics import INGEST_APPEND_SECONDS, INGEST_QUEUE_BYTES

RECORD_OVERHEAD_BYTES = 200
"""What a queued record costs in memory beside its value."""
_ROOM_AGAIN_RATIO = 0.9


class Producer(Protocol):
    """As much of Kafka's producer as the outlet uses."""

    def create_batch(self) -> Any:
        """Return an empty batch: `append(timestamp=, key=, value=)` returns None once it is full."""

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> "asyncio.Future[Any]":
        """Hand a batch over; the future ends when it is acknowledged or has failed."""

    async def stop(self) -> None:
        """Send what is left and end."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A started producer, and the partition count of each topic by catalogue name."""

    producer: Producer
    partitions: dict[str, int]


@dataclass(slots=True)
class _Waiting:
    record: Outgoing
    since_s: float

    @property
    def cost_bytes(self) -> int:
        return len(self.record.value) + RECORD_OVERHEAD_BYTES


@dataclass(slots=True)
class _Lane:
    """One partition: what waits, and the batch under way."""

    topic: str
    partition: int
    waiting: deque[_Waiting] = field(default_factory=deque)
    waiting_bytes: int = 0
    flight: list[_Waiting] = field(default_factory=list)
    ticking: bool = False

    @property
    def oldest_s(self) -> float | None:
        first = self.flight or self.waiting
        return first[0].since_s if first else None

    def add(self, waiting: _Waiting) -> None:
        self.waiting.append(waiting)
        self.waiting_bytes += waiting.cost_bytes

    def take(self, count: int) -> None:
        self.flight = [self.waiting.popleft() for _ in range(count)]
        self.waiting_bytes -= sum(item.cost_bytes for item in self.flight)

    def land(self) -> None:
        if self.ticking and any(item.record.key is None for item in self.flight):
            self.ticking = False
        self.flight = []

    def put_back(self) -> None:
        self.waiting.extendleft(reversed(self.flight))
        self.waiting_bytes += sum(item.cost_bytes for item in self.flight)
        self.flight = []


@dataclass(frozen=True, slots=True)
class OutletLimits:
    """How long records gather, how large a batch may be, and how much may wait in memory."""

    linger_ms: int = 10
    max_batch_bytes: int = 256 * 1024
    max_buffer_bytes: int = 256 * 1024 * 1024


class Outlet:
    """The one way from sessions to Kafka. `run` does the work; the rest may be called from anywhere in its loop.

    `connect` returns a started connection or raises `Unavailable`; `report` is told whether records flow, and why not.
    `topic_prefix` stands before catalogue names.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        report: Callable[[bool, str], None],
        clock: Clock,
        *,
        limits: OutletLimits,
        topic_prefix: str = "",
    ) -> None:
        self._connect = connect
        self._report = report
        self._clock = clock
        self._topic_prefix = topic_prefix
        self._linger_s = limits.linger_ms / 1000
        self._max_batch_bytes = limits.max_batch_bytes
        self._max_buffer_bytes = limits.max_buffer_bytes
        self._unplaced: deque[_Waiting] = deque()
        self._lanes: dict[str, list[_Lane]] = {}
        self._partitioners: dict[str, Partitioner] = {}
        self._buffered_bytes = 0
        self._overflowing = False
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._closing = False
        self._given_up = asyncio.Event()
        self._failure: Exception | None = None

    @property
    def has_room(self) -> bool:
        """Whether audio may be put. Once full, there is room again when a tenth of the limit is free."""
        return not self._overflowing

    @property
    def unacknowledged(self) -> int:
        """Number of records Kafka has not acknowledged."""
        lanes = sum(len(lane.waiting) + len(lane.flight) for lane in self._all_lanes())
        return len(self._unplaced) + lanes

    def oldest_age_s(self) -> float:
        """Return the age of the oldest record Kafka has not acknowledged; 0 when there is none."""
        times = [lane.oldest_s for lane in self._all_lanes()]
        if self._unplaced:
            times.append(self._unplaced[0].since_s)
        known = [time for time in times if time is not None]
        return self._clock.monotonic_s() - min(known) if known else 0.0

    def put(self, records: Iterable[Outgoing]) -> None:
        """Queue records. Those of one key stay in order."""
        now_s = self._clock.monotonic_s()
        for record in records:
            waiting = _Waiting(record, now_s)
            self._buffered_bytes += waiting.cost_bytes
            if self._lanes:
                self._place(waiting)
            else:
                self._unplaced.append(waiting)
        if self._buffered_bytes > self._max_buffer_bytes:
            self._overflowing = True
        self._wake.set()

    def tick(self, value_of: Callable[[str], bytes]) -> None:
        """Queue a TICK for every partition whose last one was acknowledged; `value_of` makes it for a topic."""
        INGEST_QUEUE_BYTES.set(self._buffered_bytes)
        ticks = []
        for topic, lanes in self._lanes.items():
            value = value_of(topic)
            for lane in lanes:
                if not lane.ticking:
                    lane.ticking = True
                    ticks.append(Outgoing(topic, None, value, lane.partition))
        self.put(ticks)

    def close(self, budget_s: float) -> None:
        """Let `run` end once everything is acknowledged, or when the budget is spent."""
        self._closing = True
        if self.unacknowledged:
            asyncio.get_running_loop().call_later(max(0.0, budget_s), self._give_up)
        else:
            self._give_up()
        self._hurry.set()
        self._wake.set()

    async def run(self) -> None:
        """Write to Kafka until closed. Raises `ConfigError` when the topics have not the same partition count."""
        while not (self._given_up.is_set() or (self._closing and not self.unacknowledged)):
            connection = await connect_with_retry(
                self._connect, stopping=self._given_up, on_wait=lambda error: self._report(False, str(error))
            )
            if connection is None:
                return
            try:
                self._learn(connection.partitions)
                self._report(True, "")
                await self._pump(connection.producer)
            except Unavailable as error:
                self._report(False, str(error))
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._linger_s * 10):
                        await self._given_up.wait()
            finally:
                # what it still delivers while it stops is acknowledged; only then may the rest be sent again
                await stop_quietly(connection.producer)
                for lane in self._all_lanes():
                    lane.put_back()

    def _all_lanes(self) -> list[_Lane]:
        return [lane for lanes in self._lanes.values() for lane in lanes]

    def _give_up(self) -> None:
        self._given_up.set()
        self._wake.set()

    def _learn(self, partitions: dict[str, int]) -> None:
        """Take over the partition counts and place what came before they were known."""
        if len(set(partitions.values())) != 1:
            counts = ", ".join(f"{topic} {count}" for topic, count in sorted(partitions.items()))
            raise ConfigError([f"topics keyed by conversation must have the same partition count: {counts}"])
        known = {topic: len(lanes) for topic, lanes in self._lanes.items()}
        if known and known != partitions:
            raise ConfigError([f"the partition count changed from {known} to {partitions} under a running ingest"])
        if known:
            return
        for topic, count in partitions.items():
            self._partitioners[topic] = Partitioner(count)
            self._lanes[topic] = [_Lane(topic, partition) for partition in range(count)]
        while self._unplaced:
            self._place(self._unplaced.popleft())

    def _place(self, waiting: _Waiting) -> None:
        topic, key, _, partition = waiting.record
        if key is not None:
            partition = self._partitioners[topic].partition(key)
        lane = self._lanes[topic][partition]
        lane.add(waiting)
        if lane.waiting_bytes >= self._max_batch_bytes:
            self._hurry.set()

    async def _pump(self, producer: Producer) -> None:
        """Send batches until closed. Raises `Unavailable` when the producer failed."""
        self._failure = None
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._given_up.is_set() or (self._closing and not self.unacknowledged):
                return
            if self._failure is None:
                await self._linger()
                for lane in self._all_lanes():
                    if lane.waiting and not lane.flight and self._failure is None:
                        await self._send(producer, lane)
            if self._failure is not None:
                raise self._failure

    async def _linger(self) -> None:
        """Let records gather, unless a batch is full or the end is near."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._linger_s):
                await self._hurry.wait()
        if not self._closing:
            self._hurry.clear()

    async def _send(self, producer: Producer, lane: _Lane) -> None:
        batch = producer.create_batch()
        count = 0
        for item in lane.waiting:
            if batch.append(timestamp=None, key=item.record.key, value=item.record.value) is None:
                break
            count += 1
        if not count:
            message = f"a record of {len(lane.waiting[0].record.value)} bytes does not fit into an empty batch"
            raise UsageError(message)
        lane.take(count)
        try:
            future = await producer.send_batch(batch, f"{self._topic_prefix}{lane.topic}", partition=lane.partition)
        except Exception as error:  # noqa: BLE001 - translated, and kept for the pump to raise
            self._fail(error)
            return
        future.add_done_callback(partial(self._settled, lane, lane.flight))

    def _settled(self, lane: _Lane, flight: list[_Waiting], future: "asyncio.Future[Any]") -> None:
        """Take the end of a batch: acknowledged, or failed for good."""
        if future.cancelled() or lane.flight is not flight:
            return
        error = future.exception()
        if error is not None:
            self._fail(error)
            return
        lane.land()
        self._buffered_bytes -= sum(item.cost_bytes for item in flight)
        if self._buffered_bytes <= self._max_buffer_bytes * _ROOM_AGAIN_RATIO:
            self._overflowing = False
        INGEST_APPEND_SECONDS.observe(self._clock.monotonic_s() - flight[0].since_s)
        INGEST_QUEUE_BYTES.set(self._buffered_bytes)
        if lane.waiting or self._closing:
            self._wake.set()

    def _fail(self, error: BaseException) -> None:
        ours = translate(error) if isinstance(error, Exception) else error
        # whatever broke the producer, the way on is the same: a new one, and from the first unacknowledged record
        self._failure = ours if isinstance(ours, Unavailable) else Unavailable(f"{type(ours).__name__}: {ours}")
        self._hurry.set()
        self._wake.set()
