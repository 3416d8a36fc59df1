"""Files through `callstream import` to calls.audio, calls.events and calls.audit of a real broker, and on to a sink."""

import asyncio
import json
import os
import signal
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest

from audio.frames import Frames, decode
from audio.session import SessionTable, Verdict
from audio.wav import WavFormat
from callstream.topics_command import apply_catalogue
from runtime.config import KafkaSettings, child_environment
from runtime.kafka import TopicPartition, start_consumer
from runtime.service import run
from schemas import topics
from schemas.codec import SchemaStore
from schemas.records import AuditEvent, CallEvent, RecordingEvent
from schemas.symbols import (
    AuditAction,
    AuditOutcome,
    CallEventKind,
    Channels,
    Codec,
    FrameKind,
    Reason,
    RecordingEventKind,
    Source,
)
from sinks.recording_sync.__main__ import start
from sinks.recording_sync.config import RecordingSyncSettings
from tests.captures.files import write_pcap, write_pcapng
from tests.captures.packets import Packet
from tests.captures.scenarios import OTHER_SSRC, SSRC, scenario

pytestmark = pytest.mark.kafka
PARTITIONS = 2
DEADLINE_S = 60
ROOT = Path(__file__).parents[2]
STORE = SchemaStore()
SOURCES, CODECS, CHANNELS, KINDS, REASONS = (list(kind) for kind in (Source, Codec, Channels, FrameKind, Reason))


@pytest.fixture
async def settings(kafka: str) -> KafkaSettings:
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex[:12]}.")
    await apply_catalogue(settings, PARTITIONS)
    return settings


class Command:
    """`callstream import` as a process of its own."""

    def __init__(self, settings: KafkaSettings, *arguments: object) -> None:
        self._environment = child_environment(
            {
                "PYTHONPATH": str(ROOT),
                "KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
                "TOPIC_PREFIX": settings.topic_prefix,
            }
        )
        self._arguments = [*map(str, arguments), "--json"]

    async def start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "callstream", "import", *self._arguments),
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self) -> tuple[int, dict[str, object], str]:
        return await ended(await self.start())


async def ended(process: asyncio.subprocess.Process) -> tuple[int, dict[str, object], str]:
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(out) if out else {}, err.decode()


async def read(settings: KafkaSettings, topic: str) -> list:
    name = f"{settings.topic_prefix}{topic}"
    consumer = await start_consumer(settings, client_id="check", auto_offset_reset="earliest")
    count = 1 if topic == topics.AUDIT.name else PARTITIONS
    partitions = [TopicPartition(name, number) for number in range(count)]
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    found = []
    for tp in partitions:
        consumer.seek(tp, 0)
        while await consumer.position(tp) < ends[tp]:
            found += (await consumer.getmany(tp, timeout_ms=200)).get(tp, [])
    await consumer.stop()
    return found


class Stored:
    """What calls.audio holds, TICKs apart."""

    def __init__(self, records: list) -> None:
        calls = [record for record in records if record.key is not None]
        self.keys = [record.key.decode() for record in calls]
        self.frames: Frames = decode([record.value for record in calls], STORE)
        assert not self.frames.errors
        verdicts = SessionTable().identify(self.frames, [record.key for record in calls], 0).verdicts
        assert not (verdicts & (Verdict.HOLE | Verdict.REPEAT)).any()

    @property
    def kinds(self) -> list[FrameKind]:
        return [KINDS[code] for code in self.frames.kind]

    @property
    def audio(self) -> list[int]:
        return [row for row, kind in enumerate(self.kinds) if kind is FrameKind.AUDIO]

    @property
    def payloads(self) -> list[bytes]:
        return [self.frames.payload(row) for row in self.audio]


async def stored(settings: KafkaSettings) -> Stored:
    return Stored(await read(settings, topics.AUDIO.name))


def in_samples(packets: tuple[Packet, ...], ssrc: int) -> list[int]:
    """Return where the packets of a stream lie: from its first arrival on by their timestamps."""
    own = [one for one in packets if one.ssrc == ssrc]
    base = round((own[0].arrival_us - packets[0].arrival_us) * 8 / 1000)
    return [base + one.timestamp - own[0].timestamp for one in own]


async def test_the_two_directions_of_a_capture_are_one_session_byte_for_byte(
    settings: KafkaSettings, tmp_path: Path
) -> None:
    packets = scenario("two_ssrcs").packets
    path = write_pcap(tmp_path / "call.pcap", packets)
    code, found, _ = await Command(
        settings, path, "--external", f"{SSRC:#x}", "--internal", "192.0.2.2:5004", "--conversation", "conv-1"
    ).run()
    assert code == 0
    assert (found["sessions"], found["packets"], found["passed_over"]) == (1, len(packets), {})
    log = await stored(settings)
    frames, audio = log.frames, log.audio
    assert log.kinds == [FrameKind.OPENED, *[FrameKind.AUDIO] * len(packets), FrameKind.CLOSED]
    assert set(log.keys) == {"conv-1"}
    assert log.payloads == [one.payload for one in packets]
    assert np.array_equal(frames.sequence, np.arange(len(packets) + 2))
    assert [int(frames.captured_at_us[row]) for row in audio] == [one.arrival_us for one in packets]
    assert [int(frames.stream[row]) for row in audio] == [one.ssrc for one in packets]
    assert [int(frames.source_sequence[row]) for row in audio] == [one.sequence for one in packets]
    assert [int(frames.source_timestamp[row]) for row in audio] == [one.timestamp for one in packets]
    assert {(int(frames.source_sequence_bits[row]), int(frames.source_timestamp_bits[row])) for row in audio} == {
        (16, 32)
    }
    for ssrc, channels in ((SSRC, Channels.EXTERNAL), (OTHER_SSRC, Channels.INTERNAL)):
        rows = [row for row in audio if frames.stream[row] == ssrc]
        assert {CHANNELS[frames.channels[row]] for row in rows} == {channels}
        assert [int(frames.position_samples[row]) for row in rows] == in_samples(packets, ssrc)
    assert {(SOURCES[frames.source[row]], CODECS[frames.codec[row]]) for row in audio} == {(Source.CAPTURE, Codec.PCMU)}
    assert REASONS[frames.reason[len(frames) - 1]] is Reason.END
    events = [STORE.decode(record.value, CallEvent) for record in await read(settings, topics.EVENTS.name)]
    told = [(event.kind, event.conversation_id, event.source_name) for event in events if event.conversation_id]
    assert told == [(CallEventKind.OPENED, "conv-1", "capture"), (CallEventKind.CLOSED, "conv-1", "capture")]
    audit = [STORE.decode(record.value, AuditEvent) for record in await read(settings, topics.AUDIT.name)]
    assert [(event.action, event.object_kind, event.outcome) for event in audit] == [
        (AuditAction.OTHER, "import", AuditOutcome.UNKNOWN),
        (AuditAction.OTHER, "import", AuditOutcome.SUCCESS),
    ]
    assert {event.object_id for event in audit} == {found["import_id"]}
    assert audit[1].details["packets"] == str(len(packets))


async def test_each_import_of_a_file_makes_sessions_of_its_own(settings: KafkaSettings, tmp_path: Path) -> None:
    packets = scenario("restart").packets
    path = write_pcapng(tmp_path / "call.pcapng", packets, resolution=9)
    for _ in range(2):
        code, found, _ = await Command(settings, path).run()
        assert (code, found["sessions"]) == (0, 1)
    log = await stored(settings)
    assert set(log.keys) == {f"call-{SSRC:08x}"}
    assert log.payloads == [one.payload for one in packets] * 2
    assert log.kinds.count(FrameKind.GAP) == 4
    assert len({bytes(one) for one in log.frames.session_id}) == 2


async def test_a_damaged_capture_gives_what_stands_before_the_damage(settings: KafkaSettings, tmp_path: Path) -> None:
    packets = scenario("clean").packets[:50]
    path = write_pcapng(tmp_path / "call.pcapng", packets)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"\xff" * 500)
    code, found, errors = await Command(settings, path).run()
    assert code == 1
    assert found["damage"] == f"damaged at byte {size}: a block of 4294967295 bytes"
    assert errors.splitlines() == [f"the file is {found['damage']}; what stands before it is imported"]
    log = await stored(settings)
    assert log.payloads == [one.payload for one in packets]
    assert log.kinds[-2:] == [FrameKind.GAP, FrameKind.CLOSED]
    assert REASONS[log.frames.reason[len(log.frames) - 1]] is Reason.PEER_ERROR


async def test_a_stream_that_is_not_there_is_named(settings: KafkaSettings, tmp_path: Path) -> None:
    path = write_pcap(tmp_path / "call.pcap", scenario("clean").packets)
    code, found, errors = await Command(settings, path, "--external", "0x1").run()
    assert (code, found["sessions"], found["passed_over"]) == (1, 0, {"not_chosen": 500})
    assert errors == "00000001: no packet of the file is from there\n"


async def test_interrupted_in_real_time_it_ends_its_sessions(settings: KafkaSettings, tmp_path: Path) -> None:
    path = write_pcap(tmp_path / "call.pcap", scenario("clean").packets)
    process = await Command(settings, path, "--real-time").start()
    async with asyncio.timeout(DEADLINE_S):
        while not (await stored(settings)).audio:
            await asyncio.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    code, _, errors = await ended(process)
    assert code == 130
    assert "interrupted: the sessions are ended, behind a gap" in errors
    log = await stored(settings)
    assert log.kinds[-2:] == [FrameKind.GAP, FrameKind.CLOSED]
    assert log.payloads == [one.payload for one in scenario("clean").packets[: len(log.audio)]]
    assert 0 < len(log.audio) < 500
    assert {REASONS[code] for code in log.frames.reason[-2:]} == {Reason.DRAIN}


async def test_a_recording_can_be_imported_and_is_recorded_the_same(settings: KafkaSettings, tmp_path: Path) -> None:
    form = WavFormat(Codec.PCMA, Channels.EXTERNAL_INTERNAL, 8000)
    samples = bytes((index * 7 + index // 251) % 255 for index in range(2 * 12_345))
    path = tmp_path / "recording.wav"
    path.write_bytes(form.header(12_345) + samples + form.padding(12_345))
    code, found, _ = await Command(
        settings, path, "--conversation", "conv-2", "--started-at", "2026-03-01T10:00:00+00:00"
    ).run()
    assert (code, found["sessions"], found["audio_bytes"]) == (0, 1, len(samples))
    log = await stored(settings)
    frames, audio = log.frames, log.audio
    assert b"".join(log.payloads) == samples
    assert [int(frames.position_samples[row]) for row in audio] == list(range(0, 12_345, 800))
    assert {(SOURCES[frames.source[row]], CODECS[frames.codec[row]]) for row in audio} == {(Source.WAV, Codec.PCMA)}
    assert int(frames.captured_at_us[audio[0]]) == 1_772_359_200_000_000 + 100_000
    assert await recorded(settings, tmp_path) == path.read_bytes()


async def recorded(settings: KafkaSettings, folder: Path) -> bytes:
    """Run recording_sync until it sealed what is on the topic; return the file it wrote."""
    own = RecordingSyncSettings(
        kafka=settings,
        store_url=(folder / "store").as_uri(),
        work_folder=folder / "work",
        write_interval_s=0.05,
    )
    (folder / "store").mkdir()
    begun: asyncio.Future = asyncio.get_running_loop().create_future()

    async def begin(service) -> None:
        begun.set_result(service)
        await start(service, f"{settings.topic_prefix}{topics.AUDIO.name}")

    async def sealed() -> list[RecordingEvent]:
        events = [STORE.decode(record.value, RecordingEvent) for record in await read(settings, topics.RECORDINGS.name)]
        return [event for event in events if event.kind is RecordingEventKind.SEGMENT_SEALED]

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(run("recording_sync", own, begin, signals=False))
        service = await begun
        async with asyncio.timeout(DEADLINE_S):
            while not await sealed():
                await asyncio.sleep(0.1)
        service.stopping.set()
        assert await running == 0
    (file,) = (folder / "store").rglob("*.wav")
    return file.read_bytes()


async def test_without_topics_nothing_is_done(kafka: str, tmp_path: Path) -> None:
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{uuid.uuid4().hex[:12]}.")
    code, found, errors = await Command(settings, write_pcap(tmp_path / "a.pcap", scenario("clean").packets)).run()
    assert (code, found) == (2, {})
    assert "run `callstream topics apply`" in errors.splitlines()[-1]
