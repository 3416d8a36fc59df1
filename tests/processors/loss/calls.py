"""Calls for the tests: frames in, records out, without a broker."""

import uuid
from collections.abc import Sequence

from audio.frames import FrameEncoder, decode
from processors.loss.logic import LossProcessor
from runtime.processor import Batch
from schemas.codec import SchemaStore
from schemas.records import AudioFrame, LossReport, SessionInfo
from schemas.symbols import Channel, Channels, Codec, FrameKind, LossReportKind, Reason, Source

STORE = SchemaStore()
ENCODER = FrameEncoder(STORE)
RATE_HZ = 8000
SECOND = RATE_HZ
BASE_S = 1_700_000_000.0
NEVER_WRAPS = 53


def session_id(number: int) -> bytes:
    return uuid.UUID(int=(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128).bytes


class Call:
    """Writes one session's frames; position, sequence and arrival follow."""

    def __init__(self, number: int = 0, channels: Channels = Channels.EXTERNAL_INTERNAL, **fields) -> None:
        self.number = number
        self.key = f"conversation-{number}".encode()
        self.channels = channels
        self.position = 0
        self.sequence = 0
        self.late_s = 0.0
        self.next_number = 65_500
        self.fields = fields
        self.frames: list[AudioFrame] = []

    @property
    def width(self) -> int:
        return 2 if self.channels in (Channels.EXTERNAL_INTERNAL, Channels.INTERNAL_EXTERNAL) else 1

    def put(self, kind: FrameKind, **fields) -> "Call":
        frame = AudioFrame(
            **{
                "kind": kind,
                "source": Source.AUDIOHOOK,
                "codec": Codec.PCMU,
                "channels": self.channels,
                "session_id": session_id(self.number),
                "sequence": self.sequence,
                "sample_rate_hz": RATE_HZ,
                "position_samples": self.position,
                "captured_at_s": BASE_S + self.position / RATE_HZ + self.late_s,
                **self.fields,
                **fields,
            }
        )
        self.sequence += 1
        self.frames.append(frame)
        return self

    def open(self, **info) -> "Call":
        value = STORE.encode(SessionInfo(conversation_id=self.key.decode(), **info))
        return self.put(FrameKind.OPENED if self.sequence == 0 else FrameKind.INFO, payload=value)

    def say(self, seconds: float, frame_samples: int = 1600, **fields) -> "Call":
        left = round(seconds * RATE_HZ)
        while left > 0:
            samples = min(left, frame_samples)
            self.put(FrameKind.AUDIO, payload=b"\xff" * samples * self.width, duration_samples=samples, **fields)
            self.position += samples
            left -= samples
        return self

    def packet(self, number: int, place: int | None = None, *, bits: int = 16, **fields) -> "Call":
        """A packet of 20 ms with this number, at the place in the timeline that belongs to it or to `place`."""
        at = 160 * (number if place is None else place)
        stated = {"source": Source.RTP, "channels": Channels.EXTERNAL, "position_samples": at, "stream": 7}
        stated |= {"source_sequence": number, "source_sequence_bits": bits, "captured_at_s": BASE_S + at / RATE_HZ}
        stated |= {"payload": b"\xff" * 160, "duration_samples": 160}
        self.put(FrameKind.AUDIO, **{**stated, **fields})
        self.position = max(self.position, at + 160)
        return self

    def mark(self, kind: FrameKind, seconds: float = -1, reason: Reason = Reason.UNKNOWN, **fields) -> "Call":
        duration = round(seconds * RATE_HZ) if seconds >= 0 else -1
        self.put(kind, duration_samples=duration, reason=reason, **fields)
        self.position += max(duration, 0)
        return self

    def state_position(self, kind: FrameKind, stated: int, **fields) -> "Call":
        return self.put(kind, source_timestamp=stated, source_timestamp_bits=NEVER_WRAPS, **fields)

    def close(self, reason: Reason = Reason.END, **fields) -> "Call":
        return self.put(FrameKind.CLOSED, reason=reason, **fields)


class Run:
    """Feeds a processor; `found` has (row of the log, record) in the order of the outputs."""

    def __init__(self, processor: LossProcessor | None = None, min_round: int = 2) -> None:
        self.processor = processor or LossProcessor(min_round=min_round)
        self.state = self.processor.new_state()
        self.found: list[tuple[int, LossReport]] = []
        self.at = 0

    def feed(self, log: Sequence[tuple[bytes, AudioFrame | bytes]], poll: int = 1000) -> "Run":
        for start in range(0, len(log), poll):
            part = log[start : start + poll]
            values = [frame if isinstance(frame, bytes) else ENCODER.encode(frame) for _, frame in part]
            frames = decode(values, STORE)
            found: list[tuple[int, LossReport]] = []
            batch = Batch(frames, tuple(key for key, _ in part), 1000)
            self.processor.process(batch, self.state, lambda row, record, found=found: found.append((row, record)))
            found.sort(key=lambda item: item[0])
            self.found += [(self.at + row, record) for row, record in found]
            self.at += len(part)
        return self

    def expire(self, stream_time_ms: int) -> list[LossReport]:
        emitted: list[LossReport] = []
        self.processor.expire(stream_time_ms, self.state, emitted.append)
        return emitted

    def restart(self) -> "Run":
        snapshot = self.processor.snapshot(self.state)
        self.state = self.processor.restore(self.processor.state_version, snapshot)
        return self

    def of(self, kind: LossReportKind, channel: Channel = Channel.ALL) -> list[LossReport]:
        return [record for _, record in self.found if record.kind is kind and record.channel is channel]

    @property
    def windows(self) -> list[LossReport]:
        return self.of(LossReportKind.WINDOW)

    @property
    def final(self) -> LossReport:
        (record,) = self.of(LossReportKind.FINAL)
        return record

    @property
    def alarms(self) -> list[tuple[str, str, str]]:
        kinds = (LossReportKind.ALARM_RAISED, LossReportKind.ALARM_CLEARED)
        return [(r.kind.value, r.alarm.value, r.channel.value) for _, r in self.found if r.kind in kinds]


def log_of(*calls: Call) -> list[tuple[bytes, AudioFrame]]:
    """The calls one after another."""
    return [(call.key, frame) for call in calls for frame in call.frames]


def run(*calls: Call, poll: int = 1000) -> Run:
    return Run().feed(log_of(*calls), poll)


def gaps_of(report: LossReport) -> list[tuple[str, int, int]]:
    return [(gap.reason.value, gap.start_samples, gap.duration_samples) for gap in report.gaps]
