"""Watches what an application has committed, partition by partition, and for how long one got nowhere."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

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
    clock starts anew at each fault that takes workers away.
    """

    def __init__(self, kafka: KafkaSettings, ends: list[int], excused: Callable[[], bool]) -> None:
        self._kafka = kafka
        self._ends = ends
        self._excused = excused
        self._topic = kafka.topic_prefix + changelog("silence").name
        self._store = SchemaStore()
        self._next = [0] * len(ends)
        now_s = asyncio.get_running_loop().time()
        self._since_s = [now_s] * len(ends)
        self._moved_s = [now_s] * len(ends)
        self.positions = [0] * len(ends)
        self.orphaned_s = 0.0

    def fault(self) -> None:
        """Workers were taken away: what was orphaned until now is counted, and the clock starts anew."""
        self._since_s = [asyncio.get_running_loop().time()] * len(self._ends)

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
        """Count how long partitions are orphaned, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_S)
            now_s = loop.time()
            excused = self._excused()
            for number, end in enumerate(self._ends):
                if excused or self.positions[number] >= end:
                    self._since_s[number] = now_s
                self.orphaned_s = max(self.orphaned_s, now_s - self._since_s[number])

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
                        self._take(tp.partition, record.offset, record.value)
        finally:
            await stop_quietly(consumer, 1)

    def _take(self, number: int, offset: int, value: bytes) -> None:
        self._next[number] = offset + 1
        self.positions[number] = self._store.decode(value, ChangelogEntry).position
        self._since_s[number] = self._moved_s[number] = asyncio.get_running_loop().time()
