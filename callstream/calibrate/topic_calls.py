"""calls.audio → the records of some calls: of a queue, of an organisation, or of all, up to so many seconds of audio.

It reads as a consumer without a group and disturbs nobody. Which queue a call belongs to says its SessionInfo, which
stands at its beginning; a call that had begun before the first record that is read is passed over where that matters.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from audio.frames import decode
from callstream.replay.log_reader import LogReader, log_reader
from runtime.config import KafkaSettings, RegistrySettings
from runtime.errors import ConfigError
from runtime.kafka import ConsumerRecord, TopicPartition, partition_counts
from runtime.registry import Registry
from schemas.codec import SchemaStore
from schemas.records import SessionInfo
from schemas.symbols import FrameKind
from schemas.topics import AUDIO

CLIENT_ID: Final = "callstream-calibrate"
_AUDIO: Final = FrameKind.AUDIO.code
_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class WantedCalls:
    """Which calls, None: all; from which time on (ms since the epoch by the broker's clock); seconds of their audio."""

    queue: str | None
    organisation: str | None
    from_ms: int | None
    seconds: float

    def __str__(self) -> str:
        named = (("queue", self.queue), ("organisation", self.organisation))
        return ", ".join(f"{name} {value}" for name, value in named if value is not None) or "all calls"

    def takes(self, info: SessionInfo | None) -> bool:
        """Tell whether a call is one of them; where nothing is known of it, only if nothing is asked of it."""
        if info is None:
            return self.queue is None and self.organisation is None
        return self.queue in {None, info.queue} and self.organisation in {None, info.organisation}


@dataclass(slots=True)
class Collected:
    """Records of the wanted calls, in the order of their partitions; `store` knows their schemas.

    `heard_us` is the length of their audio in µs, `queues` says how many sessions of which queue came by, `unknown` how
    many sessions nothing was known of.
    """

    store: SchemaStore
    keys: list[bytes | None] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    heard_us: int = 0
    queues: Counter[str] = field(default_factory=Counter)
    unknown: int = 0

    @property
    def seconds(self) -> float:
        """The length of their audio."""
        return self.heard_us / _US


async def calls_of(kafka: KafkaSettings, registry: RegistrySettings, wanted: WantedCalls) -> Collected:
    """Read until there is enough, or up to where the topic ended at the start.

    Raises `ConfigError` where there is no topic, `Unavailable`.
    """
    topic = f"{kafka.topic_prefix}{AUDIO.name}"
    counts = await partition_counts(kafka, [topic], client_id=CLIENT_ID)
    if topic not in counts:
        raise ConfigError([f"{topic}: missing; run `callstream topics apply`"])
    client = Registry(registry)
    collector = Collector(wanted, SchemaStore())
    try:
        async with log_reader(kafka, client, collector.found.store) as reader:
            partitions = [TopicPartition(topic, number) for number in range(counts[topic])]
            await _read(reader, partitions, collector)
    finally:
        await client.close()
    return collector.found


async def _read(reader: LogReader, partitions: Sequence[TopicPartition], collector: "Collector") -> None:
    stretches = await reader.bounds(partitions)
    from_ms = collector.wanted.from_ms
    if from_ms is not None:
        starts: Mapping[TopicPartition, int] = await reader.offsets(dict.fromkeys(partitions, from_ms))
        stretches = {tp: (starts.get(tp, end), end) for tp, (_, end) in stretches.items()}

    async def take(tp: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        if not collector.take([record.key for record in records], [record.value for record in records]):
            raise _Enough(tp.partition)

    try:
        await reader.read(stretches, take)
    except _Enough:
        return


class _Enough(Exception):
    """There is as much audio as was asked for."""


class Collector:
    """Keeps the records of the wanted calls. Pure."""

    def __init__(self, wanted: WantedCalls, store: SchemaStore) -> None:
        self.wanted = wanted
        self.found = Collected(store)
        self._takes: dict[bytes, bool] = {}

    def take(self, keys: Sequence[bytes | None], values: Sequence[bytes | None]) -> bool:
        """Take a poll of one partition; return False once there is enough, and keep no more from then on."""
        found, wanted = self.found, self.wanted
        frames = decode(values, found.store)
        usable = frames.identified & frames.ok & (frames.kind != FrameKind.TICK.code)
        for row in np.flatnonzero(usable).tolist():
            session = bytes(frames.session_id[row])
            info = frames.infos.get(row)
            if info is not None:
                self._learn(session, info)
            takes = self._takes.get(session)
            if takes is None:
                found.unknown += 1
                takes = self._takes[session] = wanted.takes(None)
            if not takes:
                continue
            if found.seconds >= wanted.seconds:
                return False
            found.keys.append(keys[row])
            found.values.append(values[row] or b"")
            if frames.kind[row] == _AUDIO:
                found.heard_us += max(0, int(frames.duration_samples[row])) * _US // int(frames.sample_rate_hz[row])
        return found.seconds < wanted.seconds

    def _learn(self, session: bytes, info: SessionInfo) -> None:
        if session not in self._takes and info.queue is not None:
            self.found.queues[info.queue] += 1
        self._takes[session] = self.wanted.takes(info)
