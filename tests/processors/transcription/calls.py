"""Call events for the tests, as ingest writes them, and a reader of what became of them."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from processors.transcription.forward import Transcription
from runtime.forwarding import Job, Received
from schemas.errors import InvalidRecord
from schemas.records import CallEvent, SessionInfo, Utterance
from schemas.symbols import CallEventKind, Channel, Reason, UtteranceKind
from schemas.topics import EVENTS

BASE_MS = 1_700_000_000_000
MINUTE_MS = 60_000
RATE_HZ = 8000
NOBODY = str(uuid.UUID(int=0))


def session_id(number: int) -> str:
    return str(uuid.UUID(int=(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128))


class Call:
    """Writes one session's events; the counter follows."""

    def __init__(self, number: int = 0, language: str | None = None) -> None:
        self.session = session_id(number)
        self.conversation = f"conversation-{number}"
        self.counter = 0
        self.info = SessionInfo(conversation_id=self.conversation, language=language)

    def event(self, kind: CallEventKind, **fields) -> CallEvent:
        event = CallEvent(
            **{
                "kind": kind,
                "conversation_id": self.conversation,
                "session_id": self.session,
                "event_counter": self.counter,
                "organisation": "org",
                "queue": "billing",
                "agent": "agent-1",
                "sample_rate_hz": RATE_HZ,
                "occurred_at_us": BASE_MS * 1000 + self.counter,
                **fields,
            }
        )
        self.counter += 1
        return event

    def opened(self, **fields) -> CallEvent:
        return self.event(CallEventKind.OPENED, **{"session_info": self.info, **fields})

    def told(self, **fields) -> CallEvent:
        """An INFO."""
        return self.event(CallEventKind.INFO, **{"session_info": self.info, **fields})

    def text(self, text: str | None = "hello", **fields) -> CallEvent:
        given = {"channel": Channel.EXTERNAL, "is_final": True, "text": text, **fields}
        return self.event(CallEventKind.TRANSCRIPT, **given)

    def digit(self, digit: str | None = "5", **fields) -> CallEvent:
        return self.event(CallEventKind.DTMF, channel=Channel.EXTERNAL, digit=digit, **fields)

    def alive(self, **fields) -> CallEvent:
        return self.event(CallEventKind.ALIVE, **fields)

    def closed(self, reason: Reason = Reason.END, **fields) -> CallEvent:
        return self.event(CallEventKind.CLOSED, reason=reason, **fields)


def tick() -> CallEvent:
    return CallEvent(kind=CallEventKind.TICK, conversation_id="", session_id=NOBODY)


def key_of(event: CallEvent) -> bytes | None:
    return None if event.kind is CallEventKind.TICK else event.conversation_id.encode()


@dataclass
class Run:
    """One partition on the component, its timestamps in ms since the first record. `jobs` are by offset."""

    transcription: Transcription
    partition: int = 3

    def __init__(self, transcription: Transcription | None = None) -> None:
        self.transcription = transcription or Transcription()
        self.transcription.begin(self.partition)
        self.jobs: dict[int, list[Job]] = {}
        self.now_ms = 0
        self.offset = 0

    def feed(self, *events: CallEvent) -> list[Utterance]:
        """Plan events of this moment; return the utterances."""
        first = self.offset
        for event in events:
            self.plan(event, key_of(event))
        return [found for offset in range(first, self.offset) for found in self.at(offset)]

    def plan(self, event: CallEvent, key: bytes | None) -> list[Job]:
        received = Received(EVENTS.name, self.partition, self.offset, BASE_MS + self.now_ms, key, event)
        self.jobs[self.offset] = []
        self.offset += 1
        self.jobs[received.offset] = self.transcription.plan(received)
        return self.jobs[received.offset]

    def refused(self, event: CallEvent, key: bytes | None) -> str:
        """Plan an event that must be refused; return why it was."""
        try:
            self.plan(event, key)
        except InvalidRecord as error:
            return str(error)
        return ""

    def wait(self, minutes: float, *, ticking: bool = True) -> list[Utterance]:
        """Let time pass with a tick every 5 s, or without one."""
        found = []
        if ticking:
            for _ in range(round(minutes * 12)):
                self.now_ms += 5000
                found += self.feed(tick())
        else:
            self.now_ms += round(minutes * MINUTE_MS)
        return found

    def at(self, offset: int) -> list[Utterance]:
        return [utterance for job in self.jobs[offset] for utterance in job.work]


def kinds(utterances: Iterable[Utterance]) -> list[UtteranceKind]:
    return [utterance.kind for utterance in utterances]
