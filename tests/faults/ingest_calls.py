"""AudioHook calls whose every frame is known, and what calls.audio holds of them afterwards.

A few calls share one audio: noise, no frame of which looks like another. What is stored is judged as a consumer does
it: repeats are told by their numbers and do not count, what is missing in front of a record shows.
"""

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from audio.frames import Frames, decode
from audio.session import SessionTable, Verdict
from runtime.config import KafkaSettings
from runtime.kafka import TopicPartition, partition_counts, start_consumer
from schemas.codec import SchemaStore
from schemas.symbols import FrameKind, Reason, Symbol
from schemas.topics import AUDIO
from simulators.audiohook.call import Call
from simulators.audiohook.client import Options, run_call
from simulators.audiohook.media import Audio
from simulators.audiohook.report import CallReport
from simulators.audiohook.scenario import SAMPLES_PER_MS, Scenario
from simulators.audiohook.signature import Credentials

KEY, SECRET = "b3V0YWdlLWtleQ", "b3V0YWdlLXNlY3JldC1vdXRhZ2Utc2VjcmV0"
STEREO = 2
CONTENTS = 8
STAGGER_S = 0.02
_AGAIN_S = 0.1
_TRIES = 50
S = TypeVar("S", bound=Symbol)


@dataclass
class Placed:
    """A call, where it was placed, and how it goes."""

    call: Call
    url: str
    report: CallReport | None = None
    """The report fills while the call lives; None before it begins."""
    refused: int = 0
    """How often it was turned away before it began, as by a server that stops."""

    @property
    def conversation_id(self) -> str:
        """What its records have for a key."""
        return self.call.stated_conversation_id()

    @property
    def sent(self) -> int:
        """Frames handed to the socket."""
        return 0 if self.report is None else self.report.frames_sent

    @property
    def went_well(self) -> bool:
        """True for a call that has ended as the protocol wants it, after audio."""
        return self.report is not None and self.report.ok and self.sent > 0

    def why(self) -> str:
        """Say how it went."""
        report = self.report
        return "never began" if report is None else f"{report.outcome} {report.detail} {report.faults}"


class Calls:
    """Calls placed over time, each where `url` leads when its turn comes."""

    def __init__(self, url: str, frame_ms: int, longest_s: float) -> None:
        self.url = url
        self.frame_ms = frame_ms
        self.all: list[Placed] = []
        self._frame_bytes = STEREO * SAMPLES_PER_MS * frame_ms
        frames = round(longest_s * 1000 / frame_ms) + CONTENTS
        self._noise = random.Random(7).randbytes(frames * self._frame_bytes)

    async def place(self, count: int, seconds: float) -> list[Placed]:
        """Place calls of that length one after the other and return when all are over."""
        scenarios = [self._scenario(content, seconds) for content in range(CONTENTS)]
        placed: list[Placed] = []
        async with asyncio.TaskGroup() as tasks:
            for number in range(count):
                placed.append(Placed(Call(scenario=scenarios[number % CONTENTS]), self.url))
                self.all.append(placed[-1])
                tasks.create_task(self._run(placed[-1]))
                await asyncio.sleep(STAGGER_S)
        return placed

    def sent(self) -> dict[str, int]:
        """Frames handed to the sockets so far."""
        return {placed.conversation_id: placed.sent for placed in self.all}

    def _scenario(self, content: int, seconds: float) -> Scenario:
        begin = content * self._frame_bytes
        size = round(seconds * 1000 / self.frame_ms) * self._frame_bytes
        return Scenario(f"noise {content}", Audio(self._noise[begin : begin + size]), frame_ms=self.frame_ms)

    async def _run(self, placed: Placed) -> None:
        def begun(report: CallReport) -> None:
            placed.report = report

        options = Options(credentials=Credentials(KEY, SECRET), on_start=begun)
        for _ in range(_TRIES):
            report = await run_call(placed.url, placed.call, options)
            if report.outcome not in {"refused", "unreachable"}:
                return
            placed.refused += 1
            await asyncio.sleep(_AGAIN_S)
            placed.url = self.url


@dataclass
class Stored:
    """What calls.audio holds of one conversation."""

    frames: int = 0
    displaced: int = 0
    """Frames with other bytes, or elsewhere, than the one that was sent in their place, and records missing."""
    repeats: int = 0
    end_samples: int = 0
    marks: list[str] = field(default_factory=list)
    """Records that are no audio, in order: kind and reason."""
    gap_samples: int | None = None
    """Where the first GAP stands."""


class Audit:
    """Reads all of calls.audio and compares it with what was sent."""

    def __init__(self, placed: Iterable[Placed]) -> None:
        self.stored = {one.conversation_id: Stored() for one in placed}
        self.unknown = 0
        self._expected = {one.conversation_id: list(one.call.scenario.frames()) for one in placed}

    async def read(self, kafka: KafkaSettings) -> None:
        """Read the topic from its beginning to its end."""
        topic = kafka.topic_prefix + AUDIO.name
        count = (await partition_counts(kafka, [topic]))[topic]
        partitions = [TopicPartition(topic, number) for number in range(count)]
        tables = {tp: SessionTable() for tp in partitions}
        store = SchemaStore()
        consumer = await start_consumer(kafka, client_id="audit", auto_offset_reset="earliest")
        try:
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            await consumer.seek_to_beginning()
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for tp, records in (await consumer.getmany(timeout_ms=200, max_records=2000)).items():
                    frames = decode([record.value for record in records], store)
                    self.take(frames, [record.key for record in records], tables[tp])
        finally:
            await consumer.stop()

    def take(self, frames: Frames, keys: list[bytes | None], table: SessionTable) -> None:
        """Take a poll of one partition."""
        identity = table.identify(frames, keys, 0)
        for row, key in enumerate(keys):
            if frames.kind[row] == FrameKind.TICK.code:
                continue
            one = self.stored.get((key or b"").decode())
            if one is None or row in frames.errors:
                self.unknown += 1
            elif not identity.verdicts[row] & Verdict.ACCEPTED:
                one.repeats += 1
            else:
                one.displaced += int(identity.missing[row])
                self._take(one, self._expected[(key or b"").decode()], frames, row)

    def _take(self, one: Stored, expected: list[bytes], frames: Frames, row: int) -> None:
        position, kind = int(frames.position_samples[row]), _symbol(FrameKind, frames.kind[row])
        if kind is FrameKind.AUDIO:
            right = one.frames < len(expected) and frames.payload(row) == expected[one.frames]
            one.displaced += not right or position != one.end_samples
            one.frames += 1
            one.end_samples = position + int(frames.duration_samples[row])
        elif kind is not FrameKind.ALIVE:
            reason = _symbol(Reason, frames.reason[row])
            one.marks.append(kind.value if kind is FrameKind.OPENED else f"{kind.value} {reason.value}")
            if kind is FrameKind.GAP and one.gap_samples is None:
                one.gap_samples = position


def _symbol(kind: type[S], code: int) -> S:
    return list(kind)[int(code)]
