"""The interface between the Forwarder and what it hosts: records in, jobs out, one job at a time per key.

A component that talks to the outside (a bot, a recognizer) implements `Forward`. `plan` is pure and sees the records of
a partition in order; `carry` does one job and may wait as long as it likes: other keys go on meanwhile. The host
(`runtime.forwarder`) owns the group, the order, the commits and the turns topic, and lends its `Hands` to each job.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from schemas.records import Origin, Record, TurnEntry
from schemas.symbols import TurnState

W = TypeVar("W")
W_contra = TypeVar("W_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Received:
    """One record of the input topic, decoded. `topic` is the catalogue name; `timestamp_ms` the broker's."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    record: Record

    def origin(self, index: int) -> Origin:
        """Return what the `index`-th output caused by this record carries."""
        return Origin(topic=self.topic, partition=self.partition, offset=self.offset, index=index)


@dataclass(frozen=True, slots=True)
class Job(Generic[W]):
    """Work for one key. Jobs of a key are carried one after another, in the order they were planned."""

    key: bytes
    work: W


@dataclass(frozen=True, slots=True)
class Letter:
    """Why a record becomes a dead letter. `reason` is a fixed word, `error` a text that quotes nothing of it.

    `attempts` counts what was tried for it; the times are epoch milliseconds, -1 where nothing was tried.
    """

    reason: str
    error: str
    attempts: int = 0
    first_attempt_ms: int = -1
    last_attempt_ms: int = -1


class Hands(Protocol):
    """What the host does for a job. Every method raises `Fenced` once the partition was taken away: let it pass."""

    @property
    def received(self) -> Received:
        """The record that caused the job."""

    async def write(self, records: Sequence[Record]) -> None:
        """Write records to their topics, with the job's key and the input's partition and timestamp.

        Returns once they are stored; waits for as long as Kafka does not answer.
        """

    def turn(self, turn_id: str) -> TurnState | None:
        """Return how far a turn has come: SENDING for an intent without a result, None where there is neither."""

    async def announce(self, entry: TurnEntry) -> None:
        """Clear a turn for sending. Once this returns, and before anything else is awaited, bytes may leave.

        The intent is stored on the turns topic, then a commit that the group has checked against our membership has
        succeeded, and the partition is still held under the assignment under which the record was read.
        """

    async def conclude(self, entry: TurnEntry) -> None:
        """Store the result of a turn on the turns topic."""

    async def bury(self, letter: Letter) -> None:
        """Keep the job's record, as received, among the dead letters: it was understood and led to nothing."""


class Forward(Protocol[W]):
    """A component hosted by the Forwarder.

    `outputs` are catalogue names. `first_start` says where a group without a commit begins. With `keeps_turns` the
    group has a turns topic. `lookback_ms` is how much of the log before the committed offset is planned again when a
    partition is taken over, to learn what its state depends on: those jobs are not carried.
    """

    group: str
    input_topic: str
    outputs: tuple[str, ...]
    first_start: Literal["earliest", "latest"]
    keeps_turns: bool
    lookback_ms: int

    def begin(self, partition: int) -> None:
        """A partition is taken over: whatever was known about it is forgotten."""

    def plan(self, received: Received) -> list[Job[W]]:
        """Return the jobs of a record. Pure. Raises `InvalidRecord` for one that must become a dead letter."""

    async def carry(self, job: Job[W], hands: Hands) -> None:
        """Do a job. Returns when the record may count as done.

        `InvalidRecord` makes the job's record a dead letter (the broker refused an output); any other error that is
        not `Fenced` ends the process.
        """


class Companion(Protocol):
    """What a component asks of its host beside its records; the host calls it from its own loop."""

    topic: str | None
    """Catalogue name of a topic it also reads: of the partitions it holds, from their ends. Nothing is committed."""

    @property
    def holds_back(self) -> bool:
        """Whether no more inputs should be read: what they need is not to be had now."""

    def took(self, partition: int, hands: Callable[[Received, bytes], Hands]) -> None:
        """A partition was taken over. `hands` makes those with which something is written of a record without a job.

        They may `write`, and nothing else. Returns at once.
        """

    def heard(self, partition: int, values: Sequence[bytes | None], keys: Sequence[bytes | None]) -> None:
        """Take the next records of `topic`, each partition's in order. Returns at once."""

    def gone(self, partition: int) -> None:
        """A partition was given away or taken away: what is open for it is to be closed. Returns at once."""
