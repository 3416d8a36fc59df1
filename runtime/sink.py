"""The interface of a sink: records of Kafka become entries in a store of its own, each once.

The host (`runtime.sink_host`) owns the consumer, retries, dead letters and shutdown; a sink owns what the records mean
(`plan`, pure) and its store (`write`, the only place that waits). The mark of each source partition, the offset to
read next, is stored together with the data in one atomic step: after a crash the host goes on where the store says,
never where Kafka says, so what was stored is not stored again and what was not stored is read again.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, NamedTuple, Protocol, TypeVar

from runtime.processor import InputRecord

Entry = TypeVar("Entry")
SourceRecord = InputRecord


class SourcePartition(NamedTuple):
    """One input partition. `topic` is the catalogue name."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class DeadRecord:
    """A record that cannot be used: its offset and the defect (never the content)."""

    offset: int
    error: str


@dataclass(frozen=True, slots=True)
class Plan(Generic[Entry]):
    """What consecutive records of one partition ask the store to do, in order, and those among them that are bad."""

    entries: tuple[Entry, ...]
    dead: tuple[DeadRecord, ...] = ()


class Sink(Protocol[Entry]):
    """What a component of `sinks/` hands to the host. The host calls one method at a time, never two at once.

    Life of a partition: `marks` → (`plan` → `write`) … → `release`. How to get it wrong: planning from what the clock
    says; storing the mark before the data, or in a second step that can be lost alone; forgetting that after a crash
    `write` is called again with records whose data, but not whose mark, was stored.
    """

    group: str
    """Component name, consumer group, and the prefix of its own topics."""

    async def marks(self, partitions: Collection[SourcePartition]) -> Mapping[SourcePartition, int]:
        """Take these partitions over and return the next offset of each that was ever read; absent: from the start.

        Also loads whatever `plan` needs to go on. Raises `Unavailable` while the store does not answer or another
        process still holds a partition (the host tries again), `ConfigError` when only an operator can help.
        """

    def plan(self, partition: SourcePartition, records: Sequence[SourceRecord]) -> Plan[Entry]:
        """Turn records into entries. Pure: no I/O, no clock. May keep state in memory.

        Called exactly once for each record read since `marks`; a failed `write` is repeated with the same entries.
        """

    async def write(self, entries: Sequence[Entry], marks: Mapping[SourcePartition, int]) -> None:
        """Store entries (each partition's in order) and the marks behind them, atomically.

        May be called with no entries: then only the marks move on. Raises `Unavailable` to be called again with the
        same arguments after a wait; anything else ends the process. Must be idempotent up to the mark.
        """

    async def release(self, partitions: Collection[SourcePartition]) -> None:
        """Forget these partitions and let other processes have them. Their last `write` is over."""


class Membership(Enum):
    """How a sink comes to its partitions."""

    GROUP = "group"
    """Shared between the processes of the consumer group; Range assignor."""
    ALL = "all"
    """All partitions of the topics, in one process; the sink's `marks` must keep a second process out."""


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """How the host runs a sink.

    `topics` are catalogue names. A write starts at most every `interval_s`. While one is in flight at most
    `waiting_records` or `waiting_bytes` of later records are held in memory, then the partitions are paused. Of
    partitions never read, reading starts at the earliest record.
    """

    topics: tuple[str, ...]
    membership: Membership
    interval_s: float = 0.5
    waiting_records: int = 20_000
    waiting_bytes: int = 16 * 2**20
    revoke_budget_s: float = 10.0


Polled = Mapping[SourcePartition, Sequence[SourceRecord]]


class Feed(Protocol):
    """Where records come from, and where what is told back goes: Kafka, or a test's own log."""

    async def poll(self) -> Polled:
        """Return what is there now, after a short wait at most. Raises `Unavailable` or `ConfigError`."""

    async def bounds(self, partitions: Collection[SourcePartition]) -> Mapping[SourcePartition, tuple[int, int]]:
        """Return the first offset still held and the offset behind the last, of each partition."""

    def start(self, partition: SourcePartition, offset: int) -> None:
        """Go on at an offset; the partition was paused until now."""

    def pause(self, partitions: Collection[SourcePartition]) -> None:
        """Deliver nothing of these partitions."""

    def resume(self, partitions: Collection[SourcePartition]) -> None:
        """Deliver again."""

    async def dead_letter(self, partition: SourcePartition, record: SourceRecord, dead: DeadRecord) -> None:
        """Write a dead letter and wait until it is stored. Raises `Unavailable`."""

    async def commit(self, marks: Mapping[SourcePartition, int]) -> None:
        """Tell tools that show lag how far we are; failing does not matter."""

    def behind(self, partition: SourcePartition, offset: int) -> int:
        """Return how many records lie between an offset and the partition's end, as far as known."""
