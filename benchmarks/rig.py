"""What benchmarks share: a broker with the catalogue's topics, and a topic full of frames."""

import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from audio.frames import FrameEncoder
from callstream.embedded_kafka import EmbeddedKafka
from callstream.topics_command import apply_catalogue
from runtime.config import KafkaSettings
from runtime.kafka import NewTopic, Partitioner, admin_client, start_producer
from schemas.codec import SchemaStore
from schemas.records import AudioFrame, SessionInfo
from schemas.symbols import Channels, Codec, FrameKind, Source
from schemas.topics import Topic, changelog, dead_letters

PARTITIONS = 4
RATE_HZ = 8000
STEREO = 2


@asynccontextmanager
async def broker() -> AsyncIterator[KafkaSettings]:
    """Yield the settings of an embedded broker that holds the catalogue's topics and is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="callstream-bench-") as folder:
        async with EmbeddedKafka(Path(folder) / "kafka", report=print) as kafka:
            settings = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)
            await apply_catalogue(settings, PARTITIONS, None, force=False)
            yield settings


async def create_application(kafka: KafkaSettings, group: str, outputs: Iterable[Topic], partitions: int) -> None:
    """Create, under the prefix, only what one processor writes: a whole catalogue for each keeps a broker busy."""
    topics = [
        NewTopic(
            kafka.topic_prefix + topic.name,
            partitions,
            1,
            topic_configs={**topic.broker_config(), "retention.ms": "-1"},
        )
        for topic in (*outputs, changelog(group), dead_letters(group))
    ]
    async with admin_client(kafka, "bench") as admin:
        await admin.create_topics(topics)


class Calls:
    """PCMU calls of noise and silence in turn, as encoded records: one channel, or two interleaved.

    `numbered`: as packets of a source that numbers them, none of them missing.
    """

    def __init__(self, calls: int, frame_ms: int, channels: int = 2, seed: int = 1, *, numbered: bool = False) -> None:
        kind = "numbered" if numbered else "unnumbered"
        self.what = f"{calls} calls, {channels} channels, {kind} {frame_ms}-ms frames"
        self.store = SchemaStore()
        self._source = Source.RTP if numbered else Source.AUDIOHOOK
        self._number_bits = 16 if numbered else 0
        self._encode = FrameEncoder(self.store).encode
        self._samples = RATE_HZ * frame_ms // 1000
        chance = np.random.default_rng(seed)
        size = channels * self._samples
        self._channels = Channels.EXTERNAL_INTERNAL if channels == STEREO else Channels.EXTERNAL
        self._loud = [chance.integers(0x00, 0x30, size, np.uint8).tobytes() for _ in range(50)]
        self._quiet = [chance.integers(0xF8, 0x100, size, np.uint8).tobytes() for _ in range(50)]
        self._sessions = [chance.bytes(16) for _ in range(calls)]
        self.keys = [f"conversation-{number}".encode() for number in range(calls)]
        partitioner = Partitioner(PARTITIONS)
        self.partitions = [partitioner.partition(key) for key in self.keys]

    def opened(self, call: int, captured_at_s: float) -> bytes:
        """Return the OPENED record of a call."""
        info = SessionInfo(conversation_id=self.keys[call].decode())
        frame = AudioFrame(
            kind=FrameKind.OPENED,
            source=self._source,
            session_id=self._sessions[call],
            sequence=0,
            sample_rate_hz=RATE_HZ,
            captured_at_s=captured_at_s,
            payload=self.store.encode(info),
        )
        return self._encode(frame)

    def audio(self, call: int, number: int, captured_at_s: float) -> bytes:
        """Return frame `number` of a call: two seconds loud, two seconds quiet, each call at another phase."""
        phase = (number * self._samples // RATE_HZ + call) // 2 % 2
        payloads = self._quiet if phase else self._loud
        bits = self._number_bits
        return self._encode(
            AudioFrame(
                kind=FrameKind.AUDIO,
                source=self._source,
                codec=Codec.PCMU,
                channels=self._channels,
                sample_rate_hz=RATE_HZ,
                source_sequence_bits=bits,
                session_id=self._sessions[call],
                stream=call if bits else -1,
                sequence=number + 1,
                source_sequence=number % 2**bits if bits else -1,
                position_samples=number * self._samples,
                duration_samples=self._samples,
                captured_at_s=captured_at_s,
                payload=payloads[(number + call) % len(payloads)],
            )
        )

    def log(self, frames_per_call: int) -> Iterator[tuple[int, bytes, bytes]]:
        """Return (partition, key, value) of whole calls, all calls advancing together."""
        for call, key in enumerate(self.keys):
            yield self.partitions[call], key, self.opened(call, 1.0)
        for number in range(frames_per_call):
            for call, key in enumerate(self.keys):
                yield self.partitions[call], key, self.audio(call, number, 1.0 + number * self._samples / RATE_HZ)


async def fill(kafka: KafkaSettings, topic: str, records: Iterator[tuple[int, bytes, bytes]]) -> int:
    """Append records in large batches; return how many."""
    producer = await start_producer(kafka, client_id="bench", max_batch_size=256 * 1024)
    batches = {number: producer.create_batch() for number in range(PARTITIONS)}
    count = 0
    for partition, key, value in records:
        count += 1
        if batches[partition].append(key=key, value=value, timestamp=None, headers=[]) is None:
            await producer.send_batch(batches[partition], topic, partition=partition)
            batches[partition] = producer.create_batch()
            batches[partition].append(key=key, value=value, timestamp=None, headers=[])
    for partition, batch in batches.items():
        if batch.record_count():
            await producer.send_batch(batch, topic, partition=partition)
    await producer.flush()
    await producer.stop()
    return count


def result(name: str, **values: float | str) -> None:
    """Print the last line of a benchmark."""
    fields = " ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items()
    )
    print(f"RESULT {name} {fields}")
