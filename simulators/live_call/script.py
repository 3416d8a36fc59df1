"""What a call sends and when: chunks of audio and disturbances, worked out before anything is sent. Pure."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from simulators.conversation import script as conversation

RATE_HZ: Final = 8000
CHUNK_MS: Final = 20
NORMAL_CLOSURE: Final = 1000


@dataclass(frozen=True, slots=True)
class Cut:
    """The server cuts the TCP connection: clients see 1006."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Close:
    """The server closes the connection."""

    at_ms: int
    code: int = NORMAL_CLOSURE
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Say:
    """The server sends something else, exactly as it is: no JSON, the wrong kind of message, anything."""

    at_ms: int
    content: str | bytes


@dataclass(frozen=True, slots=True)
class Dead:
    """The connection stays open and brings nothing; the audio of that time is gone."""

    at_ms: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Stall:
    """The connection stays open and brings nothing; the audio of that time comes at once at its end."""

    at_ms: int
    duration_ms: int


Action = Cut | Close | Say | Dead | Stall


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of audio. `send_at_ms` counts from the call's start, `start_samples` is where it lies in the call."""

    send_at_ms: int
    start_samples: int
    payload: bytes
    samples: int

    @property
    def end_samples(self) -> int:
        """Where the next chunk's audio lies."""
        return self.start_samples + self.samples


Step = Chunk | Cut | Close | Say


@dataclass(frozen=True, slots=True)
class Plan:
    """A call: `chunks` are all of its audio in its order, `steps` what the server does and when.

    backlog_ms: audio that was due while nobody listened, and no longer ago than this, comes at once to the next who
    listens.
    """

    chunks: tuple[Chunk, ...]
    steps: tuple[tuple[int, Step], ...]
    duration_ms: int
    backlog_ms: int = 0

    def missing(self, sent: Sequence[Chunk]) -> tuple[tuple[int, int], ...]:
        """Return what lies between the first and the last sample sent and was not sent: [start, end) in samples."""
        places = {chunk.start_samples for chunk in sent}
        first, last = min(places, default=0), max(places, default=-1)
        spans: list[tuple[int, int]] = []
        for chunk in self.chunks:
            if first < chunk.start_samples < last and chunk.start_samples not in places:
                begins = spans.pop()[0] if spans and spans[-1][1] == chunk.start_samples else chunk.start_samples
                spans.append((begins, chunk.end_samples))
        return tuple(spans)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A call and its disturbances.

    audio: any bytes, `sample_bytes` a sample of 8 kHz; cut into chunks of `chunk_ms`. reordered: chunks that change
    places with the next one. duplicates: chunks that come twice, one after the other. `plan` raises ValueError for more
    of them than there is room for, and for lengths that are not positive.
    """

    audio: bytes
    sample_bytes: int = 1
    chunk_ms: int = CHUNK_MS
    reordered: int = 0
    duplicates: int = 0
    seed: int = 0
    backlog_ms: int = 0
    actions: tuple[Action, ...] = ()

    def plan(self) -> Plan:
        """Work out everything."""
        if self.sample_bytes <= 0 or self.chunk_ms <= 0:
            message = "a sample and a chunk have a positive length"
            raise ValueError(message)
        chunks = tuple(self._chunks())
        draw = random.Random(self.seed)
        kept = self._disturbed([chunk for chunk in chunks if not self._is_gone(chunk.send_at_ms)], draw)
        steps: list[tuple[int, Step]] = [(one.at_ms, one) for one in self.actions if isinstance(one, Cut | Close | Say)]
        steps += [(chunk.send_at_ms, chunk) for chunk in kept]
        samples = len(self.audio) // self.sample_bytes
        return Plan(chunks, tuple(sorted(steps, key=lambda step: step[0])), _ms(samples), self.backlog_ms)

    def _chunks(self) -> Iterator[Chunk]:
        size_bytes = self.chunk_ms * RATE_HZ // 1000 * self.sample_bytes
        for at in range(0, len(self.audio), size_bytes):
            payload, start = self.audio[at : at + size_bytes], at // self.sample_bytes
            yield Chunk(self._sent_ms(start), start, payload, len(payload) // self.sample_bytes)

    def _sent_ms(self, start_samples: int) -> int:
        due_ms = start_samples * 1000 // RATE_HZ
        ends = [one.at_ms + one.duration_ms for one in self.actions if isinstance(one, Stall) and _holds(one, due_ms)]
        return max([due_ms, *ends])

    def _is_gone(self, due_ms: int) -> bool:
        return any(isinstance(one, Dead) and _holds(one, due_ms) for one in self.actions)

    def _disturbed(self, chunks: list[Chunk], draw: random.Random) -> list[Chunk]:
        """Let chunks change places and come twice; those next to each other are left alone after one of both."""
        room = list(range(1, len(chunks) - 1, 2))
        if self.reordered + self.duplicates > len(room):
            message = f"there is room for {len(room)} chunks that are late or come twice"
            raise ValueError(message)
        chosen = draw.sample(room, self.reordered + self.duplicates)
        swapped, copied = set(chosen[: self.reordered]), set(chosen[self.reordered :])
        for at in swapped:
            one, other = chunks[at], chunks[at + 1]
            chunks[at] = replace(other, send_at_ms=one.send_at_ms)
            chunks[at + 1] = replace(one, send_at_ms=other.send_at_ms)
        return [chunk for at, chunk in enumerate(chunks) for _ in range(2 if at in copied else 1)]


def disturbed(
    name: str, *, cuts_s: Iterable[float] = (), backlog_s: float = 0.0, reordered: int = 0, duplicates: int = 0
) -> Plan:
    """Return a channel of the shipped conversation with what a command line can ask for. Raises ValueError."""
    actions = tuple(Cut(round(at_s * 1000)) for at_s in sorted(cuts_s))
    return Script(
        audio=channel(name),
        actions=actions,
        backlog_ms=round(backlog_s * 1000),
        reordered=reordered,
        duplicates=duplicates,
    ).plan()


def channel(name: str) -> bytes:
    """Return one channel of the shipped conversation, `external` or `internal`: mu-law at 8 kHz. Raises ValueError."""
    shipped = conversation.load()
    return shipped.payload[shipped.channels.index(name) :: len(shipped.channels)]


def _holds(span: Dead | Stall, at_ms: int) -> bool:
    return span.at_ms <= at_ms < span.at_ms + span.duration_ms


def _ms(samples: int) -> int:
    return -(-samples * 1000 // RATE_HZ)
