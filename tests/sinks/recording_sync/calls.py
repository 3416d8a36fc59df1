"""Scripted calls as a partition's log, and stores that can be looked into."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from audio.frames import FrameEncoder
from runtime.errors import Unavailable
from runtime.sink import SourcePartition
from runtime.testing import LogRecord
from schemas.codec import SchemaStore
from schemas.records import AudioFrame, RecordingEvent, SessionInfo
from schemas.symbols import Channels, Codec, FrameKind, Reason, Source
from sinks.recording_sync.logic import Rules
from sinks.recording_sync.objects import Objects
from sinks.recording_sync.writer import RecordingSink

STORE = SchemaStore()
ENCODER = FrameEncoder(STORE)
PARTITION = SourcePartition("calls.audio", 3)
START_MS = 1_700_000_000_000
START_S = START_MS / 1000
RATE = 8000
SAMPLES = 160
SESSION = bytes(range(16))
OTHER = bytes(range(16, 32))


def sound(index: int, size: int = 2 * SAMPLES) -> bytes:
    """Stereo bytes that differ from frame to frame and are never silence."""
    return bytes((index * 7 + offset * 3) % 255 for offset in range(size))


class Call:
    """Writes one session's records to a log."""

    def __init__(self, log: list[LogRecord], session: bytes = SESSION, conversation: str = "conversation") -> None:
        self.log = log
        self.session = session
        self.key = conversation.encode()
        self.sequence = 0
        self.position = 0
        self.frames = 0
        self.truth = bytearray()
        self.at_ms = START_MS

    def put(self, kind: FrameKind, *, at_ms: int | None = None, **fields) -> LogRecord:
        self.at_ms = self.at_ms if at_ms is None else at_ms
        frame = AudioFrame(
            **{
                "kind": kind,
                "source": Source.AUDIOHOOK,
                "codec": Codec.PCMU,
                "channels": Channels.EXTERNAL_INTERNAL,
                "sample_rate_hz": RATE,
                "session_id": self.session,
                "sequence": self.sequence,
                "captured_at_s": self.at_ms / 1000,
                **fields,
            }
        )
        self.sequence = int(frame.sequence) + 1
        record = LogRecord(len(self.log), self.at_ms, self.key, ENCODER.encode(frame))
        self.log.append(record)
        return record

    def open(self, **info) -> "Call":
        given = SessionInfo(conversation_id=self.key.decode(), source_name="audiohook", **info)
        self.put(FrameKind.OPENED, payload=STORE.encode(given))
        return self

    def audio(self, count: int = 1, *, late_ms: int = 0, **fields) -> "Call":
        for _ in range(count):
            payload = fields.get("payload", sound(self.frames))
            samples = len(payload) // 2
            self.put(
                FrameKind.AUDIO,
                at_ms=START_MS + (self.position + samples) * 1000 // RATE + late_ms,
                **{
                    "payload": payload,
                    "position_samples": self.position,
                    "duration_samples": samples,
                    **fields,
                },
            )
            self.truth[2 * self.position :] = b"\xff" * (2 * self.position - len(self.truth)) + payload
            self.position += samples
            self.frames += 1
        return self

    def skip(self, kind: FrameKind, reason: Reason, samples: int) -> "Call":
        self.put(kind, reason=reason, position_samples=self.position, duration_samples=samples)
        self.position += samples
        return self

    def pause(self, samples: int) -> "Call":
        self.put(FrameKind.PAUSED, reason=Reason.SECURE_PAUSE, position_samples=self.position, duration_samples=-1)
        return self.skip(FrameKind.RESUMED, Reason.SECURE_PAUSE, samples)

    def close(self, reason: Reason = Reason.END) -> "Call":
        self.put(FrameKind.CLOSED, reason=reason, position_samples=self.position)
        return self


def tick(log: list[LogRecord], at_ms: int) -> None:
    frame = AudioFrame(kind=FrameKind.TICK, captured_at_s=at_ms / 1000)
    log.append(LogRecord(len(log), at_ms, None, ENCODER.encode(frame)))


@dataclass
class Events:
    """Stands for calls.recordings."""

    written: list[tuple[RecordingEvent, int, int]] = field(default_factory=list)
    failures: int = 0

    async def announce(self, event: RecordingEvent, partition: int, timestamp_ms: int) -> None:
        if self.failures:
            self.failures -= 1
            message = "no broker"
            raise Unavailable(message)
        self.written.append((event, partition, timestamp_ms))

    @property
    def ids(self) -> list[str]:
        return [event.event_id for event, _, _ in self.written]


class Crash(Exception):
    """The process ended here."""


@dataclass
class Desk:
    """A sink over real folders, and what an operator would find there."""

    root: Path
    events: Events = field(default_factory=Events)
    rules: Rules = field(default_factory=lambda: Rules(settings_hash="abc", software_version="1"))

    def sink(self, before_step=lambda _: None, **options) -> RecordingSink:
        objects = Objects.open(str(self.root / "store"))
        return RecordingSink(
            self.root / "work",
            objects,
            self.events.announce,
            store=STORE,
            rules=self.rules,
            before_step=before_step,
            **options,
        )

    async def run(self, log: list[LogRecord], size: int = 7, before_step=lambda _: None, **options) -> None:
        """Feed the log from the stored mark to its end, `size` records a step; the way a process ends is `Crash`."""
        sink = self.sink(before_step, **options)
        try:
            marks = await sink.marks([PARTITION])
            for start in range(marks.get(PARTITION, 0), len(log), size):
                records = log[start : start + size]
                plan = sink.plan(PARTITION, records)
                await sink.write(plan.entries, {PARTITION: records[-1].offset + 1})
        finally:
            await sink.release([PARTITION])

    def found(self) -> dict[str, bytes]:
        """Every object of the store by key."""
        store = self.root / "store"
        return {path.relative_to(store).as_posix(): path.read_bytes() for path in store.rglob("*") if path.is_file()}

    def sidecar(self, session: bytes = SESSION, suffix: str = "") -> dict:
        return json.loads(self._one(session, suffix, "json"))

    def samples(self, session: bytes = SESSION, suffix: str = "") -> bytes:
        """The bytes behind the header, without padding."""
        wav = self._one(session, suffix, "wav")
        return wav[58 : 58 + int.from_bytes(wav[54:58], "little")]

    def _one(self, session: bytes, suffix: str, extension: str) -> bytes:
        stem = str(UUID(bytes=session)) + (f"-{suffix}" if suffix else "")
        (key,) = (key for key in self.found() if key.endswith(f"/{stem}.{extension}"))
        return self.found()[key]


async def record(root: Path, log: list[LogRecord], size: int = 1000, **options) -> Desk:
    """Record a log in one go."""
    desk = Desk(root, **options)
    await desk.run(log, size)
    return desk
