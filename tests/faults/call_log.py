"""The input of every fault schedule: one log of many calls, written once, and what an undisturbed run makes of it.

Marks, repeats, lost and dead-lettered records, records a processor raises on, calls that never close and a stretch in
which stream time runs on until those are closed as idle.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from audio.frames import FrameEncoder
from runtime.config import KafkaSettings
from runtime.kafka import NewTopic, Partitioner, start_admin, start_producer
from runtime.processor import Processor
from runtime.testing import Driver
from schemas.codec import SchemaStore
from schemas.records import AudioFrame, SessionInfo
from schemas.symbols import Channels, Codec, FrameKind, Reason, Source
from schemas.topics import changelog, dead_letters
from simulators.conversation import script
from tests.faults.processors_under_test import POISON

PARTITIONS = 4
CALLS = 80
FRAMES = 20_000
START_MS = 1_700_000_000_000
CREATE_TIME = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
RATE_HZ = 8000
BYTES_PER_SAMPLE = 2
OPEN_AT_ONCE = 24
IDLE_TICKS = 110
"""At ten seconds each: more than the quarter of an hour after which a call without records is closed."""
BATCH_BYTES = 8 * 1024
POLL = 200

Row = tuple[bytes | None, bytes, int]
"""Key, value, timestamp."""
Expected = dict[str, list[list[tuple[Any, ...]]]]
"""Topic → by partition: key, timestamp, value, headers."""


@dataclass(frozen=True)
class InputLog:
    """An input topic as it stands on the broker, and the undisturbed run over it."""

    topic: str
    kind: str
    """Which processor reads it."""
    ends: list[int]
    expected: Expected
    states: list[bytes]
    """The changelog value behind the last record, by partition."""


class _Call:
    """One session of one call, frame by frame."""

    def __init__(self, number: int, frames: int, encoder: FrameEncoder, store: SchemaStore) -> None:
        self.key = f"conversation-{number}".encode()
        self._number = number
        self._frames = frames
        self._encode = encoder.encode
        self._store = store
        self._chance = random.Random(number)
        self._sequence = 0
        self._position = 0

    def _record(self, kind: FrameKind, **values: Any) -> bytes:
        record = AudioFrame(
            kind=kind,
            source=Source.AUDIOHOOK,
            session_id=(self._number + 1).to_bytes(16, "big"),
            sample_rate_hz=RATE_HZ,
            sequence=self._sequence,
            position_samples=self._position,
            captured_at_s=1e9 + self._position / RATE_HZ,
        )
        self._sequence += 1
        return self._encode(replace(record, **values))

    def values(self) -> Iterator[bytes]:
        info = SessionInfo(
            conversation_id=self.key.decode(), organisation="org", queue=f"queue {self._number % 3}", language="en"
        )
        yield self._record(FrameKind.OPENED, payload=self._store.encode(info))
        shipped = script.load().payload
        at = BYTES_PER_SAMPLE * RATE_HZ * self._chance.randrange(30)
        for number in range(self._frames):
            samples = self._chance.choice((160, 160, 160, 160, 160, 80, 237))
            payload = shipped[at : at + BYTES_PER_SAMPLE * samples]
            at = (at + len(payload)) % (len(shipped) - 1000)
            if self._number % 25 == 3 and number == self._frames // 2:
                payload = POISON
            value = self._record(
                FrameKind.AUDIO,
                codec=Codec.PCMU,
                channels=Channels.EXTERNAL_INTERNAL,
                duration_samples=len(payload) // BYTES_PER_SAMPLE,
                payload=payload,
            )
            yield value
            self._position += len(payload) // BYTES_PER_SAMPLE
            yield from self._mishap(value)
        if self._number % 10:
            yield self._record(FrameKind.CLOSED, reason=Reason.END)

    def _mishap(self, last: bytes) -> Iterator[bytes]:
        happening = self._chance.random()
        if happening < 0.01:
            yield last
        elif happening < 0.014:
            yield self._record(FrameKind.DISCARDED, reason=Reason.SOURCE_DISCARD, duration_samples=4000)
            self._position += 4000
        elif happening < 0.018:
            yield self._record(FrameKind.PAUSED, reason=Reason.SECURE_PAUSE)
            yield self._record(FrameKind.RESUMED, reason=Reason.SECURE_PAUSE, duration_samples=16_000)
            self._position += 16_000
        elif happening < 0.02:
            self._sequence += 1


def rows(calls: int = CALLS, frames: int = FRAMES, partitions: int = PARTITIONS) -> list[list[Row]]:
    """The log, by partition; `frames` audio frames or a few more."""
    store = SchemaStore()
    encoder = FrameEncoder(store)
    chance = random.Random(7)
    partitioner = Partitioner(partitions)
    found: list[list[Row]] = [[] for _ in range(partitions)]
    now_ms = START_MS
    waiting = [_Call(number, -(-frames // calls), encoder, store) for number in range(calls)]
    open_calls: list[tuple[_Call, Iterator[bytes]]] = []
    tick = encoder.encode(AudioFrame(kind=FrameKind.TICK))
    idle_at = calls // 4
    while open_calls or waiting:
        while waiting and len(open_calls) < OPEN_AT_ONCE:
            call = waiting.pop(0)
            open_calls.append((call, call.values()))
        if len(waiting) == idle_at:
            idle_at = -1
            for _ in range(IDLE_TICKS):
                now_ms += 10_000
                for one in found:
                    one.append((None, tick, now_ms))
        chosen = chance.choice(open_calls)
        call, values = chosen
        for _ in range(chance.randint(1, 8)):
            value = next(values, None)
            if value is None:
                open_calls.remove(chosen)
                break
            now_ms += chance.choice((0, 0, 1, 1, 2, 5))
            stamp_ms = now_ms - 50 if chance.random() < 0.01 else now_ms
            found[partitioner.partition(call.key)].append((call.key, value, stamp_ms))
        if chance.random() < 0.01:
            found[chance.randrange(partitions)].append((b"nobody", chance.randbytes(chance.randrange(1, 200)), now_ms))
    return found


async def create_input(kafka: KafkaSettings, topic: str, partitions: int) -> None:
    """Create an input topic whose timestamps are the writer's."""
    admin = await start_admin(kafka, client_id="faults")
    await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=CREATE_TIME)])
    await admin.close()


async def write(kafka: KafkaSettings, topic: str, log: Sequence[Sequence[Row]]) -> None:
    """Create the topic and write the log to it, in small batches: a worker that is slow on purpose fetches little."""
    await create_input(kafka, topic, len(log))
    producer = await start_producer(kafka, client_id="faults", max_batch_size=BATCH_BYTES)
    for partition, records in enumerate(log):
        for key, value, timestamp_ms in records:
            await producer.send(topic, key=key, value=value, partition=partition, timestamp_ms=timestamp_ms)
    await producer.stop()


async def create_outputs(kafka: KafkaSettings, topics: Sequence[str], partitions: int = PARTITIONS) -> None:
    """Create what one application writes to, under its prefix."""
    admin = await start_admin(kafka, client_id="faults")
    state = changelog("silence").broker_config()
    letters = {**dead_letters("silence").broker_config(), "retention.ms": "-1"}
    wanted = [NewTopic(kafka.topic_prefix + topic, partitions, 1, topic_configs=CREATE_TIME) for topic in topics]
    wanted.append(
        NewTopic(kafka.topic_prefix + changelog("silence").name, partitions, 1, topic_configs=state),
    )
    wanted.append(NewTopic(kafka.topic_prefix + dead_letters("silence").name, partitions, 1, topic_configs=letters))
    await admin.create_topics(wanted)
    await admin.close()


def undisturbed(topic: str, kind: str, processor: Processor[Any], log: Sequence[Sequence[Row]]) -> InputLog:
    """What the shipped driver makes of the log."""
    expected: Expected = {}
    states = []
    for partition, records in enumerate(log):
        driver = Driver(processor, partition=partition)
        for key, value, timestamp_ms in records:
            driver.send_value(value, key=key, timestamp_ms=timestamp_ms)
        frozen = driver.commit()
        while driver.step(POLL):
            # a record that raises throws the task back to the last commit
            frozen = driver.commit()
        states.append(frozen.state_value)
        for output in driver.outputs:
            by_partition = expected.setdefault(output.topic, [[] for _ in log])
            by_partition[partition].append((output.key, output.timestamp_ms, output.value, output.headers))
    return InputLog(topic, kind, [len(records) for records in log], expected, states)
