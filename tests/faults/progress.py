"""Watches what an application has committed, partition by partition, and for how long one got nowhere."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

from runtime.clock import SystemClock
from runtime.config import KafkaSettings
from runtime.errors import CallstreamError
from runtime.kafka import TopicPartition, start_consumer, stop_quietly, translated
from schemas.codec import SchemaStore
from schemas.records import ChangelogEntry
from schemas.topics import changelog

SILENT_S = 4.0
"""After this long without a record the reader is replaced: its own trouble must not look like the workers'."""
LOOK_S = 0.1


class Progress:
    """Positions of committed changelog records as readers of committed records see them.

    A partition is orphaned while input remains, a worker is up, the broker is up, and nothing of it is committed; the
    clock starts anew at each fault that takes workers away. When something was committed is what the broker wrote down:
    this reader has its own trouble with outages.
    """

    def __init__(self, kafka: KafkaSettings, ends: list[int], excused: Callable[[], bool]) -> None:
        self._kafka = kafka
        self._ends = ends
        self._excused = excused
        self._topic = kafka.topic_prefix + changelog("silence").name
        self._store = SchemaStore()
        self._next = [0] * len(ends)
        self._clock = SystemClock()
        self._committed_s = [self._clock.wall_s()] * len(ends)
        self._moved_s = [asyncio.get_running_loop().time()] * len(ends)
        self._anew_s: list[float] = []
        self.positions = [0] * len(ends)
        self.orphaned_s = 0.0

    def fault(self) -> None:
        """Workers were taken away: the clock starts anew."""
        self._anew_s.append(self._clock.wall_s())

    @property
    def least_left(self) -> int:
        """How many records are left in the partition that is furthest ahead."""
        return min(end - position for position, end in zip(self.positions, self._ends, strict=True))

    @property
    def finished(self) -> bool:
        return self.positions == self._ends

    async def all_move(self, deadline_s: float) -> None:
        """Wait until every partition has committed something after this call, or is through. Raises TimeoutError."""
        start_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(deadline_s):
                while self._standing(start_s):
                    await asyncio.sleep(LOOK_S / 2)
        except TimeoutError:
            message = f"partitions {self._standing(start_s)} stand still at {self.positions}"
            raise TimeoutError(message) from None

    def _standing(self, since_s: float) -> list[int]:
        return [
            number
            for number, end in enumerate(self._ends)
            if self.positions[number] < end and self._moved_s[number] <= since_s
        ]

    async def watch(self) -> None:
        """Note when nothing can be committed, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._excused():
                self.fault()

    async def read(self) -> None:
        """Follow the changelog until cancelled."""
        while True:
            with suppress(CallstreamError, TimeoutError), translated():
                await self._read_while_it_answers()
            await asyncio.sleep(LOOK_S)

    async def _read_while_it_answers(self) -> None:
        consumer = await start_consumer(self._kafka, client_id="progress")
        partitions = [TopicPartition(self._topic, number) for number in range(len(self._ends))]
        try:
            consumer.assign(partitions)
            for tp in partitions:
                consumer.seek(tp, self._next[tp.partition])
            loop = asyncio.get_running_loop()
            heard_s = loop.time()
            while loop.time() - heard_s < SILENT_S:
                async with asyncio.timeout(SILENT_S):
                    batches = await consumer.getmany(*partitions, timeout_ms=200)
                for tp, records in batches.items():
                    heard_s = loop.time()
                    for record in records:
                        self._take(tp.partition, record)
        finally:
            await stop_quietly(consumer, 1)

    def _take(self, number: int, record: Any) -> None:
        self._next[number] = record.offset + 1
        self.positions[number] = self._store.decode(record.value, ChangelogEntry).position
        self._moved_s[number] = asyncio.get_running_loop().time()
        before_s, committed_s = self._committed_s[number], record.timestamp / 1000
        anew_s = [at_s for at_s in self._anew_s if before_s < at_s < committed_s]
        self._committed_s[number] = committed_s
        self.orphaned_s = max(self.orphaned_s, longest([before_s, *anew_s, committed_s]))


def longest(times_s: list[float]) -> float:
    """Return the longest time between neighbours."""
    return max(later - earlier for earlier, later in pairwise(times_s))
