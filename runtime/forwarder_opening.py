"""Takes an assigned partition over: where to go on, which turns were begun, what the component must have seen.

The turns topic is read to its end after the assignment and before the first record is planned: whatever a former owner
could prove to be its own was stored before the group gave the partition to us.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from audio.frames import unknown_ids
from runtime import metrics
from runtime.asking import ask
from runtime.checkpoint import Application
from runtime.errors import ConfigError, Fenced, InvalidRecord, Unavailable
from runtime.forwarder_partition import Held
from runtime.forwarder_reader import LogReader
from runtime.forwarding import Forward, Received
from runtime.kafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition, translated
from runtime.lanes import Lanes
from runtime.service import Service
from runtime.tuning import ForwarderTuning
from runtime.turn_log import REMEMBERED_MS
from schemas.records import Record, TurnEntry
from schemas.symbols import TurnState
from schemas.topics import turns

W = TypeVar("W")
ANSWER_S = 15.0
_FIRST_BOUND_S = 0.2
_CAP_S = 5.0


class Decoder:
    """Values of the input topic as records."""

    def __init__(self, service: Service[Any], topic: str, record_type: type[Record]) -> None:
        self._service = service
        self.topic = topic
        self.record_type = record_type

    def unknown(self, records: Sequence[ConsumerRecord], asked: set[int]) -> set[int]:
        """Return schema ids the registry must be asked for before these records can be decoded."""
        if not self._service.registry.configured:
            return set()
        return unknown_ids([record.value for record in records], self._service.store) - asked

    def decode(self, raw: ConsumerRecord) -> Received:
        """Return a record as components see it. Raises `InvalidRecord`."""
        record: Record = self._service.store.decode(raw.value, self.record_type)
        return Received(self.topic, raw.partition, raw.offset, raw.timestamp, raw.key, record)


class TakeOver(Generic[W]):
    """What brings an assigned partition into service. `ours` says whether an assignment still stands."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a take-over needs from its worker
        self,
        service: Service[Any],
        forward: Forward[W],
        application: Application,
        decoder: Decoder,
        reader: LogReader,
        ours: Callable[[Held[W]], bool],
    ) -> None:
        self._service = service
        self._tuning: ForwarderTuning = service.settings.forwarder
        self._forward = forward
        self._application = application
        self._decoder = decoder
        self._reader = reader
        self._ours = ours

    async def open(self, held: Held[W], consumer: AIOKafkaConsumer) -> None:
        """Take a partition over and start reading it; retry while Kafka does not answer.

        Returns with the partition paused when the group gave it to somebody else: another assignment will follow.
        Raises `ConfigError` when the log no longer holds the offset to go on from.
        """
        started_s = self._service.clock.monotonic_s()
        bound_s = _FIRST_BOUND_S
        while self._ours(held):
            try:
                start = await self._prepare(held, consumer)
            except Fenced as error:
                self._note(held, error)
                held.cut_off()
                return
            except Unavailable as error:
                self._note(held, error)
                metrics.FORWARD_UNAVAILABLE.inc()
                await asyncio.sleep(random.uniform(0, bound_s))  # noqa: S311 - jitter, no secret
                bound_s = min(_CAP_S, bound_s * 2)
                continue
            if self._ours(held):
                tuning = self._tuning
                held.lanes = Lanes(start, max_waiting=tuning.max_waiting_records, max_ahead=tuning.max_ahead_records)
                held.last_committed = start
                consumer.seek(held.tp, start)
                consumer.resume(held.tp)
                metrics.FORWARD_TAKE_OVER_SECONDS.observe(self._service.clock.monotonic_s() - started_s)
                self._service.log.info("partition taken over", partition=held.tp.partition, position=start)
            return

    def _note(self, held: Held[W], error: Exception) -> None:
        self._service.log.warning("a partition cannot be taken over yet", partition=held.tp.partition, error=str(error))

    async def _prepare(self, held: Held[W], consumer: AIOKafkaConsumer) -> int:
        """Return the offset to go on from, after everything before it that matters was read."""
        first, end = await self._reader.bounds(held.tp)
        with translated():
            async with asyncio.timeout(ANSWER_S):
                committed = await consumer.committed(held.tp)
        if committed is None:
            if held.begin < 0:
                held.begin = first if self._forward.first_start == "earliest" else end
            start = held.begin
            with translated():
                async with asyncio.timeout(ANSWER_S):
                    # a group that has begun goes on where it began, however often it dies before its first commit
                    await consumer.commit({held.tp: start})
        else:
            start = int(committed)
            self._check_position(held.tp, start, first, end)
        self._forward.begin(held.tp.partition)
        last = await self._reader.last_before(held.tp, first, start)
        if self._forward.keeps_turns:
            await self._read_turns(held, last)
        if self._forward.lookback_ms and last is not None:
            since = await self._reader.offset_at(held.tp, last.timestamp - self._forward.lookback_ms)
            await self._reader.read(
                held.tp, last.offset if since is None else since, start, partial(self._look_at, held)
            )
        return start

    def _check_position(self, tp: TopicPartition, position: int, first: int, end: int) -> None:
        if first <= position <= end:
            return
        servers = self._service.settings.kafka.bootstrap_servers
        what = "was deleted by retention" if position < first else "was never written: a new topic?"
        message = (
            f"{tp.topic}/{tp.partition}: forwarding stands at offset {position}, which {what} "
            f"(the log holds {first} to {end}). Nothing was skipped. To go on from the log's beginning, stop all "
            f"workers and run kafka-consumer-groups.sh --bootstrap-server {servers} "
            f"--group {self._application.application_id} --topic {tp.topic}:{tp.partition} "
            "--reset-offsets --to-earliest --execute"
        )
        raise ConfigError([message])

    async def _read_turns(self, held: Held[W], last: ConsumerRecord | None) -> None:
        """Read the turns that may concern what comes behind `last`, to the topic's end."""
        topic = self._application.topic(turns(self._application.group).name)
        tp = TopicPartition(topic, held.tp.partition)
        first, end = await self._reader.bounds(tp)
        since = None if last is None else await self._reader.offset_at(tp, last.timestamp - REMEMBERED_MS)
        if last is not None:
            first = end if since is None else since
        await self._reader.read(tp, first, end, partial(self._note_turns, held))

    async def _note_turns(self, held: Held[W], records: Sequence[ConsumerRecord]) -> None:
        if missing := self._decoder.unknown(records, held.asked):
            await ask(self._service, missing, held.asked)
        for raw in records:
            try:
                state = self._service.store.decode(raw.value, TurnEntry).state
            except InvalidRecord:
                # the key tells that it was begun, or that it came to some end
                state = TurnState.UNKNOWN
            held.turns.note(raw.key, state, raw.timestamp)

    async def _look_at(self, held: Held[W], records: Sequence[ConsumerRecord]) -> None:
        """Let the component see records whose jobs were done by a former owner."""
        if missing := self._decoder.unknown(records, held.asked):
            await ask(self._service, missing, held.asked)
        for raw in records:
            try:
                self._forward.plan(self._decoder.decode(raw))
            except InvalidRecord:
                continue  # a dead letter since then
        await asyncio.sleep(0)
