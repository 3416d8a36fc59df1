"""Calls for the speech processor, what came of them, and what should have by a second pass over all spans."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from audio.frames import decode
from processors.silence.logic import SilenceProcessor
from processors.silence.media import SIDES_OF
from processors.speech.logic import SpeechProcessor
from processors.speech.spans import micros
from processors.speech.tuning import SpeechTuning
from runtime.processor import Batch, Copy
from schemas.records import AudioFrame, SilenceEvent
from schemas.symbols import Channels, Codec, FrameKind, SilenceEventKind
from tests.processors.silence.calls import BY_LEVEL, ENCODER, RATE_HZ, STORE, Call, sine

LEVEL = SpeechTuning(BY_LEVEL)
Entry = tuple[bytes, AudioFrame | bytes]


def value_of(frame: AudioFrame | bytes) -> bytes:
    return frame if isinstance(frame, bytes) else ENCODER.encode(frame)


@dataclass(frozen=True)
class Passed:
    """A copy, with what the shared tests of processors ask of a record."""

    session_id: bytes
    copy: Copy


class Run:
    """Feeds a processor; `found` has (row of the log, copy) in the order of the outputs."""

    def __init__(self, processor: SpeechProcessor | None = None) -> None:
        self.processor = processor or SpeechProcessor(LEVEL)
        self.state = self.processor.new_state()
        self.found: list[tuple[int, Passed]] = []
        self.at = 0

    def feed(self, log: Sequence[Entry], poll: int = 1000) -> "Run":
        for start in range(0, len(log), poll):
            part = log[start : start + poll]
            values = [value_of(frame) for _, frame in part]
            found: list[tuple[int, Passed]] = []
            batch = Batch(decode(values, STORE), tuple(key for key, _ in part), 1000, values)
            self.processor.process(batch, self.state, lambda row, copy, found=found: found.append((row, passed(copy))))
            found.sort(key=lambda item: item[0])
            self.found += [(self.at + row, copy) for row, copy in found]
            self.at += len(part)
        return self

    def restart(self) -> "Run":
        snapshot = self.processor.snapshot(self.state)
        self.state = self.processor.restore(self.processor.state_version, snapshot)
        return self

    def expire(self, stream_time_ms: int) -> list[Copy]:
        found: list[Copy] = []
        self.processor.expire(stream_time_ms, self.state, found.append)
        return found

    @property
    def values(self) -> list[bytes]:
        return [found.copy.value for _, found in self.found]


def passed(copy: Copy) -> Passed:
    return Passed(STORE.decode(copy.value, AudioFrame).session_id, copy)


class Spoken:
    """All spans of speech of a log, as calls.silence has them, and what they touch."""

    def __init__(self, log: Sequence[Entry], tuning: SpeechTuning = LEVEL) -> None:
        processor = SilenceProcessor(tuning.silence)
        state = processor.new_state()
        self.accepted: list[bool] = []
        self.spans: dict[tuple[str, str], list[tuple[int, int]]] = {}
        self._margin_us = tuning.margin_ms * 1000
        values = [value_of(frame) for _, frame in log]

        def found(_row: int, record: object) -> None:
            if isinstance(record, SilenceEvent) and record.kind in (
                SilenceEventKind.SPEECH,
                SilenceEventKind.SPEECH_STARTED,
            ):
                start, end = (micros(at, record.sample_rate_hz) for at in (record.start_samples, record.end_samples))
                own = self.spans.setdefault((record.session_id.replace("-", ""), record.channel.value), [])
                if record.kind is SilenceEventKind.SPEECH:
                    own[:] = [span for span in own if span != (start, 1 << 60)]
                    own.append((start, end))
                else:
                    own.append((start, 1 << 60))

        processor.process(Batch(decode(values, STORE), tuple(key for key, _ in log), 1000), state, found)

    def touches(self, frame: AudioFrame) -> bool:
        """Tell whether a decodable frame lies within the margin of a span of one of its channels."""
        width = {Codec.PCMU: 1, Codec.PCMA: 1, Codec.L16_LE: 2, Codec.L16_BE: 2}[frame.codec]
        stereo = frame.channels in (Channels.EXTERNAL_INTERNAL, Channels.INTERNAL_EXTERNAL)
        samples = len(frame.payload) // (width * (1 + stereo))
        start = micros(frame.position_samples, frame.sample_rate_hz)
        end = micros(frame.position_samples + samples, frame.sample_rate_hz)
        swapped = frame.channels is Channels.INTERNAL_EXTERNAL
        layout = Channels.EXTERNAL_INTERNAL if swapped else frame.channels
        return any(
            start < last + self._margin_us and end > first - self._margin_us
            for side in SIDES_OF[layout.code]
            for first, last in self.spans.get((frame.session_id.hex(), side.value), ())
        )


def known(frame: AudioFrame) -> bool:
    return frame.codec in (Codec.PCMU, Codec.PCMA, Codec.L16_LE, Codec.L16_BE)


def expected(log: Sequence[Entry], tuning: SpeechTuning = LEVEL) -> list[bytes]:
    """The values that must pass of a log without repeats: what touches a span, what is no audio, what is not known."""
    spoken = Spoken(log, tuning)
    return [
        value_of(frame)
        for _, frame in log
        if not isinstance(frame, bytes)
        and (frame.kind is not FrameKind.AUDIO or not known(frame) or spoken.touches(frame))
    ]


def babble(dice: random.Random, seconds: float) -> bytes:
    """Tones and silence by turns, of lengths around the minimums."""
    parts, left = [], round(seconds * RATE_HZ)
    while left > 0:
        samples = min(left, dice.choice((40, 160, 480, 800, 1000, 1600, 2100, 4000, 9000, 20_000)))
        parts.append(sine(dice.choice((0.0, 0.0, 0.002, 0.1, 0.3)), samples))
        left -= samples
    return b"".join(parts)


def stereo_babble(dice: random.Random, seconds: float) -> bytes:
    sides = [np.frombuffer(babble(dice, seconds), "<i2") for _ in range(2)]
    return np.stack(sides, axis=1).tobytes()


def packets(number: int, payload: bytes, *, lost: Iterable[int] = (), **fields) -> Call:
    """A call of numbered packets of 20 ms."""
    call = Call(number, source_sequence_bits=16, stream=7, **fields).open()
    gone = set(lost)
    for index, at in enumerate(range(0, len(payload), 320)):
        part = payload[at : at + 320]
        if index not in gone:
            call.put(
                FrameKind.AUDIO, payload=part, duration_samples=len(part) // 2, source_sequence=65_500 + index & 65_535
            )
        call.position += len(part) // 2
    return call


def reordered(dice: random.Random, call: Call) -> Call:
    """Its packets out of order by up to three places, as they came."""
    order = sorted(range(len(call.frames)), key=lambda at: (at > 0) * (at + dice.choice((0, 0, 0, 0, 2, 3))))
    call.frames[:] = [replace(call.frames[at], sequence=number) for number, at in enumerate(order)]
    return call
