"""A compacted topic shared by the members of a group: each holds the newest value of each key of its partitions.

A partition is read from its beginning to its end before it counts, then followed live; no offsets are committed. It is
read once more with each assignment, and only what differs is told: a topic may have been made anew meanwhile. A
change of the members moves as few partitions as it can (`runtime.sticky`), and what a member keeps it keeps without a
break. While Kafka does not answer, what is held stays held: nobody else can take it over either. A member that was away
for longer than the session timeout learns with its next assignment what others have taken.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from runtime.config import KafkaSettings
from runtime.errors import ConfigError, Fenced, InvalidRecord, Unavailable
from runtime.kafka import (
    AIOKafkaConsumer,
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
    ConsumerRecord,
    RebalanceListener,
    TopicPartition,
    connect_with_retry,
    generation,
    partition_counts,
    start_consumer,
    stop_quietly,
    translated,
)
from runtime.membership import GroupLost, poll
from runtime.sticky import Claim, claim_of, share
from runtime.table_rows import PartitionRows, Row

T = TypeVar("T")

_POLL_MS = 50
_MAX_RECORDS = 1000
_ANSWER_S = 10.0
_POLL_S = 30.0
"""A poll takes as long as a rebalance; one that takes longer is of a member that has come to nothing."""
_HEARTBEATS = 6
_LEAVE_S = 3.0


class TableListener(Protocol):
    """Who is told of the table, one call after the other."""

    async def took(self, rows: Sequence[Row]) -> None:
        """Take what newly assigned partitions hold, all that were read to their end together.

        A row without a value is a key that was lost with the place in the log.
        """

    async def changed(self, row: Row) -> None:
        """Take the new value of a key; None: the key is gone."""

    async def revoked(self, keys: Sequence[bytes]) -> None:
        """Let go of these keys: another member has their partitions now."""


@dataclass(frozen=True, slots=True)
class TableOptions:
    """The topic (with prefix), the group, and how long a member may be silent before its partitions are taken over."""

    topic: str
    group: str
    session_timeout_ms: int = 6_000


class GroupTable(RebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """One member of the group. `report` is told whether it is a member now, and why not."""

    def __init__(
        self, kafka: KafkaSettings, options: TableOptions, listener: TableListener, report: Callable[[bool, str], None]
    ) -> None:
        self._kafka = kafka
        self._options = options
        self._listener = listener
        self._report = report
        self._held: dict[int, PartitionRows] = {}
        self._generation = -1
        self._assigned: set[int] | None = None
        self._consumer: AIOKafkaConsumer | None = None

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions that count here, in order."""
        return tuple(sorted(number for number, partition in self._held.items() if partition.counts))

    async def run(self, stopping: asyncio.Event) -> None:
        """Be a member until told to stop, then leave: the others take over at once."""
        while not stopping.is_set():
            consumer = await connect_with_retry(self._open, stopping=stopping, on_wait=self._waits, cut=False)
            try:
                if consumer is not None:
                    self._report(True, "")
                    await self._follow(consumer, stopping)
            except (Unavailable, GroupLost, Fenced, ConfigError, InvalidRecord) as error:
                self._report(False, str(error))
            finally:
                self._consumer = None
                await stop_quietly(consumer, _LEAVE_S)

    # --- membership ----------------------------------------------------------------------------------------------

    async def _open(self) -> AIOKafkaConsumer:
        """Return a consumer that is a member. Raises `Unavailable` where it cannot be, whatever the reason."""
        options = self._options
        self._assigned = None
        try:
            if options.topic not in await self._within(partition_counts(self._kafka, [options.topic], options.group)):
                message = f"topic is missing: {options.topic}; `callstream topics apply` creates it"
                raise Unavailable(message)
            consumer = await self._within(
                start_consumer(
                    self._kafka,
                    client_id=options.group,
                    group=options.group,
                    listener=self,
                    topics=[options.topic],
                    partition_assignment_strategy=(_Assignor(self._claim),),
                    session_timeout_ms=options.session_timeout_ms,
                    heartbeat_interval_ms=max(100, options.session_timeout_ms // _HEARTBEATS),
                    # whoever lives answers within a heartbeat; a dead member holds a rebalance up no longer than that
                    rebalance_timeout_ms=options.session_timeout_ms,
                ),
                _POLL_S,
            )
        except (ConfigError, InvalidRecord) as error:
            # the process has other work, which goes on; the operator reads the reason
            raise Unavailable(str(error), retry_after_s=_ANSWER_S) from error
        self._consumer = consumer
        self._generation = generation(consumer)
        consumer.pause(*consumer.assignment())
        return consumer

    def _waits(self, error: Unavailable) -> None:
        self._report(False, str(error))

    def on_partitions_revoked(self, _: Iterable[TopicPartition]) -> None:
        """Keep what is held: the eager protocol takes everything away, and gives most of it back."""

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Pause first, before anything is fetched; `_settle` seeks and resumes."""
        partitions = list(assigned)
        if self._consumer is not None:
            self._consumer.pause(*partitions)
            self._generation = generation(self._consumer)
        self._assigned = {tp.partition for tp in partitions}

    def _claim(self) -> Claim:
        return Claim(self._generation, {number: len(partition.rows) for number, partition in self._held.items()})

    # --- reading -------------------------------------------------------------------------------------------------

    async def _follow(self, consumer: AIOKafkaConsumer, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            if self._assigned is not None:
                await self._settle(consumer)
                continue
            polled = await self._within(poll(consumer, _POLL_MS, _MAX_RECORDS), _POLL_S)
            if self._assigned is None:
                for tp, records in polled.items():
                    await self._take(tp.partition, records)
                await self._count(consumer)

    async def _settle(self, consumer: AIOKafkaConsumer) -> None:
        """Take over the newest assignment: let go of what is gone, read what stayed and what is new."""
        assigned, self._assigned = self._assigned or set(), None
        gone = [self._held.pop(number) for number in sorted(set(self._held) - assigned)]
        keys = [key for partition in gone for key in partition.rows]
        if keys:
            await self._listener.revoked(keys)
        wanted = {number: TopicPartition(self._options.topic, number) for number in sorted(assigned)}
        first, end = await self._bounds(consumer, list(wanted.values()))
        if self._assigned is not None:
            return
        for number, tp in wanted.items():
            partition = self._held.setdefault(number, PartitionRows())
            partition.begin(first[tp], end[tp])
            with translated():
                consumer.seek(tp, first[tp])
                consumer.resume(tp)
        await self._count(consumer)

    async def _bounds(
        self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]
    ) -> tuple[Mapping[TopicPartition, int], Mapping[TopicPartition, int]]:
        if not partitions:
            return {}, {}
        with translated():
            first = await self._within(consumer.beginning_offsets(partitions))
            return first, await self._within(consumer.end_offsets(partitions))

    async def _take(self, number: int, records: Sequence[ConsumerRecord]) -> None:
        partition = self._held.get(number)
        if partition is None:
            return
        for record in records:
            if record.key is not None:
                row = Row(record.key, record.value, number, record.offset, record.timestamp)
                if partition.take(row):
                    await self._listener.changed(row)

    async def _count(self, consumer: AIOKafkaConsumer) -> None:
        """Let the partitions count that were read to their end by now."""
        rows: list[Row] = []
        for number, partition in self._held.items():
            if not partition.counts and self._assigned is None:
                with translated():
                    position = await self._within(consumer.position(TopicPartition(self._options.topic, number)))
                rows += partition.reached(position) or ()
        if rows:
            await self._listener.took(rows)

    async def _within(self, waiting: Awaitable[T], limit_s: float = _ANSWER_S) -> T:
        """Wait for Kafka with a deadline of our own. Raises `Unavailable`."""
        try:
            async with asyncio.timeout(limit_s):
                return await waiting
        except TimeoutError as error:
            message = f"Kafka did not answer within {limit_s:.0f} s"
            raise Unavailable(message) from error


class _Assignor:
    """The assignor of one member, as aiokafka calls it: it says what it holds, and shares out what all hold."""

    name = "callstream-sticky"

    def __init__(self, claim: Callable[[], Claim]) -> None:
        self._claim = claim

    def metadata(self, topics: Iterable[str]) -> Any:
        """Return what goes with a request to join."""
        return ConsumerProtocolMemberMetadata(0, list(topics), self._claim().to_bytes())

    def assign(self, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
        """Return member → its assignment, in the member that leads."""
        claims: dict[str, dict[str, Claim]] = {}
        for member, metadata in members.items():
            for topic in metadata.subscription:
                claims.setdefault(topic, {})[member] = claim_of(metadata.user_data)
        shares: dict[str, list[tuple[str, list[int]]]] = {member: [] for member in members}
        for topic, claimed in sorted(claims.items()):
            # of a topic that is away all keep what they hold: nobody else can have it
            known = cluster.partitions_for_topic(topic) or {number for one in claimed.values() for number in one.held}
            for member, numbers in share(known, claimed).items():
                shares[member].append((topic, numbers))
        return {member: ConsumerProtocolMemberAssignment(0, given, b"") for member, given in shares.items()}

    def on_assignment(self, _: Any) -> None:
        """Take nothing from it: the table hears of its partitions."""
