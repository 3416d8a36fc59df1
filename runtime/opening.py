"""Opens assigned partitions and opens them anew after a failure, until it works or the partition is given away."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from runtime import metrics
from runtime.checkpoint import ChangelogReader
from runtime.errors import Fenced, StateCorrupted, Unavailable
from runtime.kafka import AIOKafkaConsumer, TopicPartition, in_group, translated
from runtime.log import Logger
from runtime.partition import PartitionHost
from runtime.restart_limit import RestartLimit

S = TypeVar("S")
ANSWER_S = 15.0
"""How long a question to the broker may take."""
_REASONS = {Fenced: "fenced", StateCorrupted: "state"}
_FIRST_BOUND_S = 0.2
_CAP_S = 5.0


class Opener(Generic[S]):
    """What brings a `PartitionHost` into service: fence, restore, seek, resume.

    `ours` says whether a host is still the one of its partition.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        reader: ChangelogReader,
        ours: Callable[[PartitionHost[S]], bool],
        log: Logger,
        limit: RestartLimit,
    ) -> None:
        self._limit = limit
        self._consumer = consumer
        self._reader = reader
        self._ours = ours
        self._log = log

    async def open(self, host: PartitionHost[S]) -> None:
        """Open a partition; after it was fenced, only when the group says that it is still ours.

        Retries while Kafka does not answer. Returns with the partition paused when the group gave it to somebody else:
        the assignment that follows makes a new host. Raises what time cannot heal, first of all `host.failure`, and
        `TooManyRestarts`.
        """
        if host.failure is not None:
            self._dropped(host, host.failure)
        bound_s = _FIRST_BOUND_S
        while self._ours(host):
            try:
                if isinstance(host.failure, Fenced) and not await self._still_ours(host):
                    host.refused = True
                    return
                position = await host.open(self._reader)
            except (Unavailable, Fenced) as error:
                self._log.warning("a partition cannot be opened yet", partition=host.tp.partition, error=str(error))
                if isinstance(error, Fenced) or not isinstance(host.failure, Fenced):
                    # a question the group has not answered stays open
                    host.failure = error
                await asyncio.sleep(random.uniform(0, bound_s))  # noqa: S311 - jitter, no secret
                bound_s = min(_CAP_S, bound_s * 2)
                continue
            if self._ours(host):
                self._consumer.seek(host.tp, position)
                self._consumer.resume(host.tp)
                host.held_back = False
                self._log.info("partition restored", partition=host.tp.partition, position=position)
            return

    def _dropped(self, host: PartitionHost[S], failure: Exception) -> None:
        with suppress(Exception):
            self._consumer.pause(host.tp)
        if host.fatal is not None:
            raise host.fatal
        reason = next((reason for kind, reason in _REASONS.items() if isinstance(failure, kind)), "unavailable")
        metrics.TASK_RESTARTS.labels(reason=reason).inc()
        if reason == "fenced":
            metrics.TASK_FENCED.inc()
        elif reason == "unavailable":
            metrics.TASK_UNAVAILABLE.inc()
        self._log.warning("a task was dropped", partition=host.tp.partition, cause=reason, error=str(failure))
        self._limit.restarted(host.tp, failure)

    async def _still_ours(self, host: PartitionHost[S]) -> bool:
        """Ask the group, by a commit, whether a partition is still assigned to us. Raises `Unavailable`.

        The broker fences a producer whose transaction timed out just as a new owner does: only the group knows. Only a
        member's commit says so: a group that has become empty takes one from anybody.
        """
        if not in_group(self._consumer):
            return False
        try:
            with translated():
                async with asyncio.timeout(ANSWER_S):
                    await self._consumer.commit({host.tp: host.committed_position})
        except Fenced:
            return False
        return in_group(self._consumer)


class GroupLog:
    """What the group's consumer says about its input partitions. See `InputLog`."""

    def __init__(self, consumer: Callable[[], Any]) -> None:
        self._consumer = consumer

    async def bounds(self, tp: TopicPartition) -> tuple[int, int]:
        """Return the first offset and the one behind the last record."""
        return await bounds(self._consumer(), tp)

    async def first_since(self, tp: TopicPartition, timestamp_ms: int) -> tuple[int, int] | None:
        """Return offset and timestamp of the first record that is not older; None where all are older."""
        with translated():
            async with asyncio.timeout(ANSWER_S):
                found = (await self._consumer().offsets_for_times({tp: timestamp_ms}))[tp]
        return None if found is None else (found.offset, found.timestamp)

    async def group_offset(self, tp: TopicPartition) -> int | None:
        """Return the offset the group committed for lag tools; None where it never did."""
        with translated():
            async with asyncio.timeout(ANSWER_S):
                offset: int | None = await self._consumer().committed(tp)
        return offset


async def bounds(consumer: Any, tp: TopicPartition) -> tuple[int, int]:
    """Return the first offset of a partition and the one behind its last record. Raises `Unavailable`."""
    with translated():
        async with asyncio.timeout(ANSWER_S):
            first = (await consumer.beginning_offsets([tp]))[tp]
            end = (await consumer.end_offsets([tp]))[tp]
    return first, end
