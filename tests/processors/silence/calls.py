"""Calls for the tests: frames in, records out, without a broker."""

import uuid
from collections.abc import Sequence

import numpy as np

from audio.frames import FrameEncoder, decode
from processors.silence.logic import SilenceProcessor
from processors.silence.tuning import Tuning
from runtime.processor import Batch
from schemas.codec import SchemaStore
from schemas.records import ActivityWindow, AudioFrame, SessionInfo, SilenceEvent
from schemas.symbols import ActivityKind, Channels, Codec, FrameKind, Source

STORE = SchemaStore()
ENCODER = FrameEncoder(STORE)
RATE_HZ = 8000
BY_LEVEL = Tuning(detector="level")
"""Tones and noise are speech by level only."""
BASE_S = 1_700_000_000.0


def session_id(number: int) -> bytes:
    return uuid.UUID(int=(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128).bytes


def sine(rms: float, samples: int, dtype: str = "<i2") -> bytes:
    """A 400-Hz tone with this RMS, 1 being full scale."""
    wave = rms * 2**0.5 * 32768 * np.sin(2 * np.pi * 400 * np.arange(samples) / RATE_HZ)
    return np.rint(wave).astype(dtype).tobytes()


class Call:
    """Writes one session's frames; position and sequence follow."""

    def __init__(self, number: int = 0, codec: Codec = Codec.L16_LE, channels: Channels = Channels.EXTERNAL, **fields):
        self.number = number
        self.key = f"conversation-{number}".encode()
        self.codec = codec
        self.channels = channels
        self.position = 0
        self.sequence = 0
        self.fields = fields
        self.frames: list[AudioFrame] = []

    @property
    def width(self) -> int:
        stereo = self.channels in (Channels.EXTERNAL_INTERNAL, Channels.INTERNAL_EXTERNAL)
        return (1 if self.codec in (Codec.PCMU, Codec.PCMA) else 2) * (2 if stereo else 1)

    def put(self, kind: FrameKind, **fields) -> AudioFrame:
        frame = AudioFrame(
            **{
                "kind": kind,
                "source": Source.AUDIOHOOK,
                "codec": self.codec,
                "channels": self.channels,
                "session_id": session_id(self.number),
                "sequence": self.sequence,
                "sample_rate_hz": RATE_HZ,
                "position_samples": self.position,
                "captured_at_s": BASE_S + self.position / RATE_HZ,
                **self.fields,
                **fields,
            }
        )
        self.sequence += 1
        self.frames.append(frame)
        return frame

    def open(self, **info) -> "Call":
        value = STORE.encode(SessionInfo(conversation_id=self.key.decode(), **info))
        self.put(FrameKind.OPENED if self.sequence == 0 else FrameKind.INFO, payload=value)
        return self

    def say(self, payload: bytes, frame_bytes: int = 320) -> "Call":
        for start in range(0, len(payload), frame_bytes):
            part = payload[start : start + frame_bytes]
            samples = len(part) // self.width
            self.put(FrameKind.AUDIO, payload=part, duration_samples=samples)
            self.position += samples
        return self

    def mark(self, kind: FrameKind, duration: int = -1, *, moves: bool = True, **fields) -> "Call":
        self.put(kind, duration_samples=duration, **fields)
        if moves and duration > 0:
            self.position += duration
        return self

    def close(self, **fields) -> "Call":
        self.put(FrameKind.CLOSED, **fields)
        return self


class Run:
    """Feeds a processor; `found` has (row of the log, record) in the order of the outputs."""

    def __init__(self, processor: SilenceProcessor | None = None) -> None:
        self.processor = processor or SilenceProcessor(BY_LEVEL)
        self.state = self.processor.new_state()
        self.found: list[tuple[int, SilenceEvent | ActivityWindow]] = []
        self.at = 0

    def feed(self, log: Sequence[tuple[bytes, AudioFrame | bytes]], poll: int = 1000) -> "Run":
        for start in range(0, len(log), poll):
            part = log[start : start + poll]
            values = [frame if isinstance(frame, bytes) else ENCODER.encode(frame) for _, frame in part]
            frames = decode(values, STORE)
            found: list[tuple[int, SilenceEvent | ActivityWindow]] = []
            batch = Batch(frames, tuple(key for key, _ in part), 1000)
            self.processor.process(batch, self.state, lambda row, record, found=found: found.append((row, record)))
            found.sort(key=lambda item: item[0])
            self.found += [(self.at + row, record) for row, record in found]
            self.at += len(part)
        return self

    def restart(self) -> "Run":
        snapshot = self.processor.snapshot(self.state)
        self.state = self.processor.restore(self.processor.state_version, snapshot)
        return self

    @property
    def events(self) -> list[SilenceEvent]:
        return [record for _, record in self.found if isinstance(record, SilenceEvent)]

    @property
    def windows(self) -> list[ActivityWindow]:
        return [r for _, r in self.found if isinstance(r, ActivityWindow) and r.kind is ActivityKind.WINDOW]

    @property
    def totals(self) -> list[ActivityWindow]:
        return [r for _, r in self.found if isinstance(r, ActivityWindow) and r.kind is ActivityKind.TOTAL]

    def spans(self, *kinds) -> list[tuple]:
        return [
            (e.kind.value, e.channel.value, e.start_samples, e.end_samples, e.ended_by.value)
            for e in self.events
            if not kinds or e.kind in kinds
        ]


def log_of(*calls: Call) -> list[tuple[bytes, AudioFrame]]:
    """The calls one after another."""
    return [(call.key, frame) for call in calls for frame in call.frames]


def run(*calls: Call, poll: int = 1000) -> Run:
    return Run().feed(log_of(*calls), poll)


FIVE_S = 40_000
LOUD = sine(0.1, FIVE_S)
QUIET = bytes(2 * FIVE_S)


def stereo(*parts: tuple[bytes, bytes]) -> bytes:
    """Interleave pairs of L16 channels."""
    joined = bytearray()
    for left, right in parts:
        for at in range(0, len(left), 2):
            joined += left[at : at + 2] + right[at : at + 2]
    return bytes(joined)
