"""Records → Kafka, in order per partition, however long that takes.

`put` never waits and never fails: records queue in memory, per partition once the partitions are known. Every
`linger_ms`, or as soon as a partition holds a full batch, one batch per partition is sent; a partition's next batch
waits for its acknowledgement. A producer that fails is replaced, and what it had not acknowledged is sent again from
the first record on: a repeat carries the same session id and sequence. With a bridge, what waits for long goes over the
disk. Above its limit the outlet has no room for audio; marks are taken anyway.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

from ingest.lane import Lane, Memory, Waiting, cost_of
from ingest.sequencer import Outgoing
from ingest.spool.bridge import Bridge
from runtime.clock import Clock
from runtime.errors import ConfigError, Unavailable, UsageError
from runtime.kafka import Partitioner, connect_with_retry, stop_quietly, translate
from runtime.metrics import INGEST_APPEND_SECONDS, INGEST_QUEUE_BYTES

_STOP_S = 5.0
"""How long a producer may take to deliver what is under way when it is replaced."""
_STILL_S = 3.0
"""At the end: where Kafka has acknowledged nothing for so long, the rest goes to the disk, and that is the end."""
_TURN_S = 0.05
_CUT_OFF_S = 0.2
"""The same once the budget of the end is spent: where no broker answers, the rest of it is for the disk."""


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


@dataclass(frozen=True, slots=True)
class OutletLimits:
    """How long records gather, how large a batch may be, and how much may wait in memory."""

    linger_ms: int = 10
    max_batch_bytes: int = 256 * 1024
    max_buffer_bytes: int = 256 * 1024 * 1024


class Tide(NamedTuple):
    """How far a partition is: records taken and stored so far, and the offset behind the last one stored (or -1)."""

    taken: int
    landed: int
    stored_offset: int


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
        self._memory = Memory(limits.max_buffer_bytes)
        self._bridge: Bridge | None = None
        # what came before the partitions were known
        self._hall = Lane("", -1)
        self._lanes: dict[str, list[Lane]] = {}
        self._partitioners: dict[str, Partitioner] = {}
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._closing = False
        self._closed = asyncio.Event()
        self._acknowledged_s = float("-inf")
        self._given_up = asyncio.Event()
        self._failure: Exception | None = None

    def use(self, bridge: Bridge) -> None:
        """Let what waits for long go over the disk; without a bridge memory is all there is. Before `run`."""
        bridge.attach(self._all_lanes, self._load, self._wake.set, self._memory)
        self._bridge = bridge

    @property
    def has_room(self) -> bool:
        """Whether audio may be put. Once full, there is room again when a tenth of the limit is free."""
        return not self._memory.overflowing and (self._bridge is None or self._bridge.spool.has_room)

    @property
    def unacknowledged(self) -> int:
        """Number of records Kafka has not acknowledged."""
        return sum(lane.count for lane in self._all_lanes())

    @property
    def at_risk(self) -> int:
        """Number of them that are not on disk either and would be lost, as a TICK is not."""
        return sum(lane.count_at_risk for lane in self._all_lanes())

    @property
    def memory_bytes(self) -> int:
        """What the records in memory cost."""
        return self._memory.used_bytes

    def oldest_age_s(self) -> float:
        """Return the age of the oldest record Kafka has not acknowledged; 0 when there is none."""
        known = [time for lane in self._all_lanes() if (time := lane.oldest_s) is not None]
        return self._clock.monotonic_s() - min(known) if known else 0.0

    def partition(self, topic: str, key: bytes) -> int:
        """Return the partition of a key; -1 while it is not known."""
        return self._partitioners[topic].partition(key) if topic in self._partitioners else -1

    def tide(self, topic: str, partition: int) -> Tide | None:
        """Return how far a partition is; None while records wait for their partitions to be known."""
        if partition < 0 or not self._placing:
            return None
        lane = self._lanes[topic][partition]
        return Tide(lane.taken, lane.landed, lane.stored_offset)

    def tides(self) -> dict[tuple[str, int], Tide] | None:
        """Return how far every partition is; None while records wait for theirs to be known."""
        if not self._placing:
            return None
        return {
            (lane.topic, lane.partition): Tide(lane.taken, lane.landed, lane.stored_offset)
            for lanes in self._lanes.values()
            for lane in lanes
        }

    def put(self, records: Iterable[Outgoing]) -> None:
        """Queue records. Those of one key stay in order."""
        now_s = self._clock.monotonic_s()
        placing, cost_bytes = self._placing, 0
        for record in records:
            item = Waiting(record, now_s)
            cost_bytes += item.cost_bytes
            if placing or record.key is None:
                self._place(item)
            else:
                self._hall.add(item)
        self._memory.take(cost_bytes)
        self._wake.set()

    def tick(self, value_of: Callable[[str], bytes]) -> None:
        """Queue a TICK for every partition whose last one was acknowledged; `value_of` makes it for a topic."""
        INGEST_QUEUE_BYTES.set(self._memory.used_bytes)
        ticks = []
        for topic, lanes in self._lanes.items():
            value = value_of(topic)
            for lane in lanes:
                if not lane.ticking:
                    lane.ticking = True
                    ticks.append(Outgoing(topic, None, value, lane.partition))
        self.put(ticks)

    def close(self, budget_s: float) -> None:
        """Let `run` end once everything is acknowledged, or when the budget is spent.

        With a bridge it ends before that, once Kafka stands still and everything is on disk: more cannot happen.
        """
        self._closing = True
        self._closed.set()
        if self.unacknowledged:
            asyncio.get_running_loop().call_later(max(0.0, budget_s), self._give_up)
        else:
            self._give_up()
        self._hurry.set()
        self._wake.set()

    async def run(self) -> None:
        """Write to Kafka until closed. Raises `ConfigError` when the topics have not the same partition count.

        What is not acknowledged then is on disk, where there is a bridge and the disk takes it.
        """
        bridge = self._bridge
        if bridge is None:
            await self._write_out()
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(bridge.write())
            tasks.create_task(bridge.load())
            watching = tasks.create_task(self._watch_end(bridge))
            try:
                await self._write_out()
            finally:
                watching.cancel()
                bridge.stop()
        await bridge.end()

    @property
    def _placing(self) -> bool:
        """Whether records go to their partitions: those are known, and all that came before stands there."""
        return bool(self._lanes) and not self._hall.spooling

    async def _write_out(self) -> None:
        while not (self._given_up.is_set() or (self._closing and not self.unacknowledged)):
            connection = await connect_with_retry(
                self._connect, stopping=self._given_up, on_wait=lambda error: self._report(False, str(error))
            )
            if connection is None:
                return
            try:
                self._learn(connection.partitions)
                self._report(True, "")
                self._say_connected(True)
                await self._pump(connection.producer)
            except Unavailable as error:
                self._report(False, str(error))
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._linger_s * 10):
                        await self._given_up.wait()
            finally:
                self._say_connected(False)
                # what it still delivers while it stops is acknowledged; only then may the rest be sent again
                await stop_quietly(connection.producer, _CUT_OFF_S if self._given_up.is_set() else _STOP_S)
                for lane in self._all_lanes():
                    lane.put_back()

    async def _watch_end(self, bridge: Bridge) -> None:
        """Once closing, give up where Kafka stands still and nothing is left that is not on disk."""
        await self._closed.wait()
        while True:
            if min(self.oldest_age_s(), self._clock.monotonic_s() - self._acknowledged_s) >= _STILL_S:
                bridge.hurry()
                if not self.at_risk:
                    self._give_up()
                    return
            await asyncio.sleep(_TURN_S)

    def _all_lanes(self) -> list[Lane]:
        return [self._hall, *(lane for lanes in self._lanes.values() for lane in lanes)]

    def _say_connected(self, now: bool) -> None:
        if self._bridge is not None:
            self._bridge.connected(now)

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
            self._lanes[topic] = [Lane(topic, partition) for partition in range(count)]
        # what is on disk by now is read back first, what came since stands behind it
        while self._hall.waiting:
            self._place(self._hall.waiting.popleft())

    def _load(self, lane: Lane, item: Waiting) -> None:
        """Queue what was read back, or needs the disk no more."""
        if lane is self._hall:
            self._place(item)
        else:
            lane.push(item)

    def _place(self, item: Waiting) -> None:
        topic, key, _, partition = item.record
        if key is not None:
            partition = self._partitioners[topic].partition(key)
        lane = self._lanes[topic][partition]
        lane.add(item)
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

    async def _send(self, producer: Producer, lane: Lane) -> None:
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

    def _settled(self, lane: Lane, flight: list[Waiting], future: "asyncio.Future[Any]") -> None:
        """Take the end of a batch: acknowledged, or failed for good."""
        if future.cancelled() or lane.flight is not flight:
            return
        error = future.exception()
        if error is not None:
            self._fail(error)
            return
        stored_at = getattr(future.result(), "offset", -1)
        lane.land()
        if stored_at >= 0:
            lane.stored_offset = stored_at + len(flight)
        self._memory.free(cost_of(flight))
        if self._bridge is not None:
            self._bridge.landed(flight)
        self._acknowledged_s = self._clock.monotonic_s()
        INGEST_APPEND_SECONDS.observe(self._acknowledged_s - flight[0].since_s)
        INGEST_QUEUE_BYTES.set(self._memory.used_bytes)
        if lane.waiting or self._closing:
            self._wake.set()

    def _fail(self, error: BaseException) -> None:
        ours = translate(error) if isinstance(error, Exception) else error
        # whatever broke the producer, the way on is the same: a new one, and from the first unacknowledged record
        self._failure = ours if isinstance(ours, Unavailable) else Unavailable(f"{type(ours).__name__}: {ours}")
        self._hurry.set()
        self._wake.set()
