"""One partition's records on their way to Kafka: under way, waiting in memory, on disk, waiting for the disk.

In this order, oldest first. While a lane is spooling, new records join at the end, and only what was read back from the
disk joins those that wait to be sent: so nothing overtakes anything.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from ingest.sequencer import Outgoing
from ingest.spool.spool import Block

RECORD_OVERHEAD_BYTES = 200
"""What a queued record costs in memory beside its value."""
_ROOM_AGAIN_RATIO = 0.9


@dataclass(slots=True)
class Waiting:
    """A record and when it was put. `block` is where it stands on disk too, if it does.

    `lost_behind` counts the records behind it that the disk lost: they count as landed when it has.
    """

    record: Outgoing
    since_s: float
    block: Block | None = None
    landed: bool = False
    lost_behind: int = 0

    @property
    def cost_bytes(self) -> int:
        """What it takes in memory."""
        return len(self.record.value) + RECORD_OVERHEAD_BYTES


def cost_of(items: Iterable[Waiting]) -> int:
    """Return what records take in memory together, in bytes."""
    return sum([len(item.record.value) + RECORD_OVERHEAD_BYTES for item in items])


class Memory:
    """The bytes of all records in memory. Once above the limit, there is room again when a tenth of it is free."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.used_bytes = 0
        self.overflowing = False

    def take(self, cost_bytes: int) -> None:
        """Count records in."""
        self.used_bytes += cost_bytes
        if self.used_bytes > self._limit_bytes:
            self.overflowing = True

    def free(self, cost_bytes: int) -> None:
        """Count records out."""
        self.used_bytes -= cost_bytes
        if self.used_bytes <= self._limit_bytes * _ROOM_AGAIN_RATIO:
            self.overflowing = False


@dataclass(slots=True)
class Lane:
    """One partition. `taken` and `landed` count the records with a key, `stored_offset` follows the last one stored.

    `on_disk` counts the records of `blocks`: they are not in memory.
    """

    topic: str
    partition: int
    waiting: deque[Waiting] = field(default_factory=deque)
    waiting_bytes: int = 0
    flight: list[Waiting] = field(default_factory=list)
    ticking: bool = False
    taken: int = 0
    landed: int = 0
    stored_offset: int = -1
    spooling: bool = False
    flowing: bool = False
    lossy: bool = False
    copies: list[Waiting] = field(default_factory=list)
    blocks: deque[Block] = field(default_factory=deque)
    on_disk: int = 0
    writing: list[Waiting] = field(default_factory=list)
    pending: deque[Waiting] = field(default_factory=deque)

    @property
    def count(self) -> int:
        """Number of records Kafka has not acknowledged."""
        memory = len(self.flight) + len(self.waiting) + len(self.writing) + len(self.pending)
        return memory + self.on_disk

    @property
    def count_at_risk(self) -> int:
        """Number of them that are in memory only, TICKs apart: those are of no worth later."""
        return sum(1 for _ in self._unwritten()) + len(self.writing) + len(self.pending)

    @property
    def oldest_s(self) -> float | None:
        """When the oldest record was put."""
        queues: tuple[Iterable[Waiting | Block], ...] = (
            self.flight,
            self.waiting,
            self.blocks,
            self.writing,
            self.pending,
        )
        return next((item.since_s for queue in queues for item in queue), None)

    @property
    def at_risk_s(self) -> float | None:
        """When the oldest record of a call was put that waits or is under way and does not stand on disk."""
        return next((item.since_s for item in self._unwritten()), None)

    def add(self, item: Waiting) -> None:
        """Queue a record behind all others. A TICK has no order: it goes ahead of what waits on disk."""
        if item.record.key is not None:
            self.taken += 1
            if self.spooling:
                self.pending.append(item)
                return
        self.push(item)

    def push(self, item: Waiting) -> None:
        """Queue a record behind those that wait to be sent."""
        self.waiting.append(item)
        self.waiting_bytes += item.cost_bytes

    def take(self, count: int) -> None:
        """Let the next records go under way."""
        self.flight = [self.waiting.popleft() for _ in range(count)]
        self.waiting_bytes -= cost_of(self.flight)

    def land(self) -> None:
        """Note that Kafka has acknowledged what was under way."""
        flight, self.flight = self.flight, []
        self.landed += len(flight)
        self.flowing = True
        if not (self.ticking or self.spooling or self.lossy):
            # the usual case: records with keys, and nobody asks for them one by one
            return
        for item in flight:
            item.landed = True
            self.landed += item.lost_behind
            if item.record.key is None:
                self.ticking = False
                self.landed -= 1

    def lose(self, records: int) -> None:
        """Note that the disk has lost the next records: they count as landed once all before them have."""
        self.lossy = True
        last = self.waiting[-1] if self.waiting else self.flight[-1] if self.flight else None
        if last is None:
            self.landed += records
        else:
            last.lost_behind += records

    def put_back(self) -> None:
        """Let what was under way wait again, before all others."""
        self.waiting.extendleft(reversed(self.flight))
        self.waiting_bytes += sum(item.cost_bytes for item in self.flight)
        self.flight = []
        self.flowing = False

    def begin_spooling(self) -> None:
        """From now on records go to the disk: those that wait too, and of those under way a copy."""
        self.spooling, self.flowing = True, False
        self.copies = [item for item in self.flight if item.block is None and item.record.key is not None]
        kept: deque[Waiting] = deque()
        unwritten: list[Waiting] = []
        for item in self.waiting:
            # one without a key has no order to keep, one with a block is on disk
            (kept if item.block is not None or item.record.key is None else unwritten).append(item)
        self.waiting = kept
        self.pending.extendleft(reversed(unwritten))
        self.waiting_bytes = sum(item.cost_bytes for item in kept)

    def end_spooling(self) -> list[Waiting]:
        """Return what still waits for the disk, which it need not: everything before it is on its way again."""
        self.spooling = False
        self.copies = []
        rest, self.pending = list(self.pending), deque()
        return rest

    def _unwritten(self) -> Iterator[Waiting]:
        return (item for item in chain(self.flight, self.waiting) if item.block is None and item.record.key is not None)
