"""Logs in memory for the tests of replay: random calls with all that happens to them, and a reader over them."""

import random
import uuid
from dataclasses import dataclass

from audio.frames import FrameEncoder
from runtime.kafka import TopicPartition
from schemas.codec import SchemaStore
from schemas.records import AudioFrame, CallEvent, SessionInfo
from schemas.symbols import CallEventKind, Channel, Channels, Codec, FrameKind, Reason, Source

STORE = SchemaStore()
ENCODER = FrameEncoder(STORE)
START_MS = 1_700_000_000_123
STEPS_MS = (0, 0, 20, 20, 200, 1_500, 9_000, 12_000, 70_000, 400_000, -300)
QUIET = (3, 30, 60, 95, 110)
"""Numbers of ticks 9 s apart: stream time knows no larger steps than 10 s, and forgets after 15 minutes."""


@dataclass(frozen=True)
class LogRecord:
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple = ()


class FakeReader:
    """`LogReader` over lists; a list may begin behind offset 0."""

    def __init__(self, logs: dict[TopicPartition, list[LogRecord]], poll: int = 50) -> None:
        self.logs = logs
        self.poll = poll
        self.read_records = 0

    async def bounds(self, partitions):
        return {tp: self._bounds(tp) for tp in partitions}

    def _bounds(self, tp):
        log = self.logs[tp]
        return (log[0].offset, log[-1].offset + 1) if log else (0, 0)

    async def offsets(self, times_ms):
        found = {}
        for tp, time_ms in times_ms.items():
            later = [record.offset for record in self.logs[tp] if record.timestamp >= time_ms]
            if later:
                found[tp] = later[0]
        return found

    async def first_records(self, stretches):
        return {
            tp: next(record for record in self.logs[tp] if record.offset >= first)
            for tp, (first, end) in stretches.items()
            if first < end
        }

    async def read(self, stretches, take):
        for tp, (first, end) in stretches.items():
            wanted = [record for record in self.logs[tp] if first <= record.offset < end]
            self.read_records += len(wanted)
            for start in range(0, len(wanted), self.poll):
                await take(tp, wanted[start : start + self.poll])


class Calls:
    """Random calls: opened, heard, marked, closed, idle, coming back, repeated, with garbage and ticks between."""

    def __init__(self, seed: int, size: int = 800) -> None:
        self.chance = random.Random(seed)
        self.log: list[LogRecord] = []
        self.at_ms = START_MS
        self.sessions: dict[int, list[int]] = {}
        self.sent: dict[int, list[bytes]] = {}
        while len(self.log) < size:
            self._happen()

    def _happen(self) -> None:
        chance = self.chance
        self.at_ms += chance.choice(STEPS_MS)
        number = chance.choice([*self.sessions][-3:]) if self.sessions else None
        what = chance.random()
        if number is None or what < 0.1:
            self._open(len(self.sessions))
        elif what < 0.14:
            self._put(number, FrameKind.CLOSED, reason=chance.choice([Reason.END, Reason.IDLE]))
        elif what < 0.17:
            self._append(chance.choice([b"garbage", None, b"\x00\x40"]), b"nobody")
        elif what < 0.22:
            self._append(chance.choice(self.sent[number]), self._key(number))
        elif what < 0.26:
            self.sessions[number][0] += 2
        elif what < 0.32:
            kind = chance.choice([FrameKind.PAUSED, FrameKind.RESUMED, FrameKind.GAP, FrameKind.DISCARDED])
            self._put(number, kind, duration_samples=800)
        elif what < 0.4:
            for _ in range(chance.choice(QUIET)):
                self._append(ENCODER.encode(AudioFrame(kind=FrameKind.TICK)), None)
                self.at_ms += 9_000
        else:
            for _ in range(chance.randint(1, 6)):
                self._audio(number)

    def _open(self, number: int) -> None:
        self.sessions[number] = [0, 0]
        self.sent[number] = []
        if self.chance.random() < 0.02:
            self.sessions[number] = [3, 0]
        info = SessionInfo(conversation_id=self._key(number).decode(), queue=f"queue {number % 2}")
        self._put(number, FrameKind.OPENED, payload=STORE.encode(info))

    def _audio(self, number: int) -> None:
        samples = self.chance.choice([160, 800, 4000])
        self._put(
            number,
            FrameKind.AUDIO,
            payload=self.chance.choice([b"\xff", b"\x80", b"\x10"]) * (2 * samples),
            duration_samples=samples,
        )
        self.sessions[number][1] += samples

    def _put(self, number: int, kind: FrameKind, **fields) -> None:
        sequence, position = self.sessions[number]
        value = ENCODER.encode(
            AudioFrame(
                **{
                    "kind": kind,
                    "source": Source.AUDIOHOOK,
                    "codec": Codec.PCMU,
                    "channels": Channels.EXTERNAL_INTERNAL,
                    "sample_rate_hz": 8000,
                    "session_id": session(number),
                    "sequence": sequence,
                    "position_samples": position,
                    "captured_at_s": self.at_ms / 1000,
                    **fields,
                }
            )
        )
        self.sessions[number][0] += 1
        self.sent[number].append(value)
        self._append(value, self._key(number))

    def _append(self, value: bytes | None, key: bytes | None) -> None:
        self.log.append(LogRecord(len(self.log), self.at_ms, key, value))

    @staticmethod
    def _key(number: int) -> bytes:
        return f"conversation-{number}".encode()


class Events:
    """Random calls on `calls.events`."""

    def __init__(self, seed: int, size: int = 800) -> None:
        self.chance = random.Random(seed)
        self.log: list[LogRecord] = []
        self.at_ms = START_MS
        self.counters: dict[int, int] = {}
        while len(self.log) < size:
            self._happen()

    def _happen(self) -> None:
        chance = self.chance
        self.at_ms += chance.choice(STEPS_MS)
        number = len(self.counters) - chance.choice([0, 1, 1, 1, 1, 1, 2, 2, 2, 3])
        number = max(0, number)
        if number not in self.counters:
            self.counters[number] = 0
            info = SessionInfo(conversation_id=f"conversation-{number}")
            self._put(number, CallEventKind.OPENED, session_info=info)
        elif (what := chance.random()) < 0.1:
            self._put(number, CallEventKind.CLOSED, reason=chance.choice([Reason.END, Reason.IDLE]))
        elif what < 0.2:
            self.log.append(LogRecord(len(self.log), self.at_ms, b"x", b"garbage"))
        elif what < 0.3:
            self.counters[number] = max(0, self.counters[number] + chance.choice([-1, 2]))
        elif what < 0.4:
            tick = STORE.encode(CallEvent(kind=CallEventKind.TICK, conversation_id="", session_id=""))
            for _ in range(chance.choice(QUIET)):
                self.log.append(LogRecord(len(self.log), self.at_ms, None, tick))
                self.at_ms += 9_000
        else:
            self._put(number, CallEventKind.DTMF, digit=chance.choice("0123"), channel=Channel.EXTERNAL)

    def _put(self, number: int, kind: CallEventKind, **fields) -> None:
        event = CallEvent(
            kind=kind,
            conversation_id=f"conversation-{number}",
            session_id=str(uuid.UUID(bytes=session(number))),
            event_counter=self.counters[number],
            occurred_at_us=self.at_ms * 1000,
            **fields,
        )
        self.counters[number] += 1
        key = event.conversation_id.encode()
        self.log.append(LogRecord(len(self.log), self.at_ms, key, STORE.encode(event)))


def session(number: int) -> bytes:
    return uuid.UUID(int=(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128).bytes
