"""Who followed a call before us: the end of calls.audio → the session to go on from, and when it last wrote anything.

A live session writes ALIVE at least every 60 s, so what a process held until it died stands not far from the end. Most
of it stands in the last seconds: those are read first, and the rest only for calls that were not found there. Every
process writes TICKs; where none stand, nobody wrote: Kafka was away, or all processes were. Then the end is where that
silence began.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from audio.frames import Frames, decode, unknown_ids
from ingest.identity import Predecessor
from ingest.sequencer import QUIET_S
from runtime.clock import Clock
from runtime.config import KafkaSettings
from runtime.errors import CallstreamError, Unavailable
from runtime.kafka import AIOKafkaConsumer, TopicPartition, start_consumer, stop_quietly, translated
from runtime.registry import Registry
from schemas import topics
from schemas.codec import SchemaStore
from schemas.symbols import FrameKind, Reason, Source

_SLACK_S = 3.0
"""For the clocks of brokers and processes, and the time between two records of a call."""
LONGEST_SILENCE_S = 900.0
"""Consumers close a session of which they heard nothing for longer."""
_BISECT_TO_MS = 1000
_DEADLINE_S = 4.0
_POLL_MS = 100
_MAX_RECORDS = 1000
_TICK, _CLOSED = FrameKind.TICK.code, FrameKind.CLOSED.code
_HANDED_OVER = frozenset({Reason.DRAIN.code, Reason.TAKEOVER.code, Reason.INGEST_LOST.code})
"""A session that was closed for these ended before its media did."""


class Sought(NamedTuple):
    """A call that was taken over, and the partition of its records. Source UNKNOWN: whatever source had it."""

    conversation_id: str
    source: Source
    partition: int


class Looks(NamedTuple):
    """How far back the first look goes and the second; and how long a log is silent only where nobody writes to it."""

    first_s: float
    second_s: float
    silence_s: float


def looks_of(missed_s: float, tick_s: float) -> Looks:
    """Return the looks that find what a dead process held.

    It is missed after `missed_s`. It may have died in the middle of a rebalance, which waits as long for it once more;
    and its session may have been quiet for as long as one may be, looked at every `tick_s`.
    """
    return Looks(missed_s + _SLACK_S, QUIET_S + tick_s + 2 * missed_s + _SLACK_S, 2 * tick_s + _SLACK_S)


@dataclass(slots=True)
class _Session:
    last_us: int
    closed: int | None = None


class Findings:
    """What was read of the calls that are sought. Pure."""

    def __init__(self, sought: Iterable[Sought]) -> None:
        self._sought: dict[bytes, list[Sought]] = {}
        for one in sought:
            self._sought.setdefault(one.conversation_id.encode(), []).append(one)
        self._sessions: dict[Sought, dict[bytes, _Session]] = {}

    def concerns(self, key: bytes | None) -> bool:
        """Tell whether records of this key say anything here."""
        return key in self._sought

    def take(self, keys: Sequence[bytes | None], frames: Frames) -> None:
        """Take records in the order of their partition."""
        for row, key in enumerate(keys):
            if frames.ok[row] and frames.kind[row] != _TICK and key is not None:
                source = frames.source[row]
                for one in self._sought.get(key, ()):
                    if one.source is Source.UNKNOWN or one.source.code == source:
                        self._note(self._sessions.setdefault(one, {}), frames, row)

    def missing(self) -> list[Sought]:
        """Return the calls of which nothing was read."""
        return [one for same in self._sought.values() for one in same if one not in self._sessions]

    def found(self) -> dict[Sought, Predecessor]:
        """Return the newest session of each call of which anything was read: ids sort by time."""
        return {one: _predecessor(*max(sessions.items())) for one, sessions in self._sessions.items()}

    @staticmethod
    def _note(sessions: dict[bytes, _Session], frames: Frames, row: int) -> None:
        session = sessions.setdefault(frames.session_id[row].tobytes(), _Session(-1))
        session.last_us = max(session.last_us, int(frames.captured_at_us[row]))
        if frames.kind[row] == _CLOSED:
            session.closed = int(frames.reason[row])


def _predecessor(session_id: bytes, session: _Session) -> Predecessor:
    ended = session.closed is not None and session.closed not in _HANDED_OVER
    known = session.last_us >= 0 and not ended
    return Predecessor(str(UUID(bytes=session_id)), session.last_us / 1e6 if known else None)


class Tail:
    """The end of calls.audio. Reading it takes as long as its deadline at most; what was found by then counts."""

    def __init__(  # noqa: PLR0913 - where, with what, and how far
        self,
        kafka: KafkaSettings,
        registry: Registry,
        store: SchemaStore,
        clock: Clock,
        name: str,
        *,
        looks: Looks,
    ) -> None:
        self._kafka = kafka
        self._registry = registry
        self._store = store
        self._clock = clock
        self._client_id = f"{name}-predecessors"
        self._looks = looks

    async def predecessors(self, sought: Collection[Sought]) -> Mapping[Sought, Predecessor]:
        """Return who had the calls before. Raises `Unavailable` where the topic could not be read."""
        findings = Findings(sought)
        try:
            async with asyncio.timeout(_DEADLINE_S):
                await self._read(findings)
        except TimeoutError as error:
            if not findings.found():
                message = f"calls.audio could not be read within {_DEADLINE_S:.0f} s"
                raise Unavailable(message) from error
        return findings.found()

    async def _read(self, findings: Findings) -> None:
        consumer = await start_consumer(self._kafka, client_id=self._client_id)
        try:
            now_ms = round(self._clock.wall_s() * 1000)
            wanted = self._partitions(findings.missing())
            with translated():
                end: Mapping[TopicPartition, int] = await consumer.end_offsets(wanted)
            await self._look(consumer, dict.fromkeys(wanted, now_ms), end, findings)
            wanted = self._partitions(findings.missing())
            fell_ms, spoke = await _silences(consumer, wanted, now_ms, self._looks)
            await self._look(consumer, fell_ms, {**end, **spoke}, findings)
        finally:
            await stop_quietly(consumer, 1.0)

    async def _look(
        self,
        consumer: AIOKafkaConsumer,
        ends_ms: Mapping[TopicPartition, int],
        end: Mapping[TopicPartition, int],
        findings: Findings,
    ) -> None:
        """Look back from a time in each partition, and no further than for what is missing."""
        for back_s in (self._looks.first_s, self._looks.second_s):
            wanted = [tp for tp in self._partitions(findings.missing()) if tp in ends_ms]
            first = await _first_since(consumer, {tp: ends_ms[tp] - round(back_s * 1000) for tp in wanted})
            await self._between(consumer, first, end, findings)
            # what was read is not read again
            end = {**end, **first}

    def _partitions(self, sought: Iterable[Sought]) -> list[TopicPartition]:
        topic = f"{self._kafka.topic_prefix}{topics.AUDIO.name}"
        return sorted({TopicPartition(topic, one.partition) for one in sought})

    async def _between(
        self,
        consumer: AIOKafkaConsumer,
        first: Mapping[TopicPartition, int],
        end: Mapping[TopicPartition, int],
        findings: Findings,
    ) -> None:
        reading = {tp: offset for tp, offset in first.items() if offset < end[tp]}
        if not reading:
            return
        with translated():
            consumer.assign(list(reading))
            for tp, offset in reading.items():
                consumer.seek(tp, offset)
            while reading:
                polled = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_MAX_RECORDS)
                for tp, records in polled.items():
                    wanted = [one for one in records if one.offset < end[tp] and findings.concerns(one.key)]
                    await self._take(findings, [one.key for one in wanted], [one.value for one in wanted])
                reading = {tp: 0 for tp in reading if await consumer.position(tp) < end[tp]}

    async def _take(self, findings: Findings, keys: Sequence[bytes], values: Sequence[bytes | None]) -> None:
        if not values:
            return
        with suppress(CallstreamError):
            # records nobody can decode now are as good as absent
            await self._registry.resolve(unknown_ids(values, self._store), self._store)
        findings.take(keys, decode(values, self._store))


async def _first_since(consumer: AIOKafkaConsumer, since_ms: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
    """Return where the records since a time begin; partitions without any are left out."""
    if not since_ms:
        return {}
    with translated():
        found = await consumer.offsets_for_times(dict(since_ms))
    return {tp: place.offset for tp, place in found.items() if place is not None}


async def _silences(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], now_ms: int, looks: Looks
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    """Return when the silence began that a look ends in, and where it ended, for partitions in which it does."""
    late_ms = now_ms - round(looks.second_s * 1000)
    spoke = await _first_since(consumer, dict.fromkeys(partitions, late_ms))

    async def same(since_ms: Mapping[TopicPartition, int]) -> set[TopicPartition]:
        found = await _first_since(consumer, since_ms)
        return {tp for tp in since_ms if found.get(tp) == spoke.get(tp)}

    silent = await same(dict.fromkeys(partitions, late_ms - round(looks.silence_s * 1000)))
    silent -= await same(dict.fromkeys(silent, now_ms - round(LONGEST_SILENCE_S * 1000)))
    low = dict.fromkeys(silent, now_ms - round(LONGEST_SILENCE_S * 1000))
    high = dict.fromkeys(silent, late_ms)
    while any(high[tp] - low[tp] > _BISECT_TO_MS for tp in silent):
        middle = {tp: (low[tp] + high[tp]) // 2 for tp in silent}
        still = await same(middle)
        for tp in silent:
            (high if tp in still else low)[tp] = middle[tp]
    return high, {tp: offset for tp, offset in spoke.items() if tp in silent}
