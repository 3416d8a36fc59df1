"""What the demo's topics and files hold about its calls, gathered for the checks. Pure: told record by record."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from audio.frames import Frames
from audio.session import SessionTable, Verdict
from schemas.records import ActivityWindow, BotTurn, CallEvent, LossReport, RecordingEvent, SilenceEvent
from schemas.symbols import FrameKind, Reason, Source


@dataclass(frozen=True, slots=True)
class StoredGap:
    """A GAP mark: why, where in samples, and for how many (-1: not knowable)."""

    reason: str
    position_samples: int
    duration_samples: int


@dataclass(slots=True)
class Stored:
    """The records of one session on calls.audio after the identity function."""

    frames: int = 0
    payload_bytes: int = 0
    frame_sizes: list[list[int]] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    gaps: list[StoredGap] = field(default_factory=list)
    closed: str = ""
    records: int = 0
    repeats: int = 0
    holes: int = 0
    last_sequence: int = -1
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def frame(self, payload: bytes) -> None:
        """Note one frame: its bytes, and its size as a run of equal ones."""
        self.frames += 1
        self.payload_bytes += len(payload)
        self.digest.update(payload)
        if self.frame_sizes and self.frame_sizes[-1][0] == len(payload):
            self.frame_sizes[-1][1] += 1
        else:
            self.frame_sizes.append([len(payload), 1])


@dataclass(frozen=True, slots=True)
class Withheld:
    """How many frames, and how many keys and texts, ingest met in a pause and kept back."""

    frames: int = 0
    events: int = 0


class Evidence:
    """Everything found, by conversation id; of audio and loss only what `source` delivered.

    `stored` is the last session of a conversation, `earlier` are those before it.
    """

    def __init__(self, source: Source = Source.AUDIOHOOK) -> None:
        self.source = source
        self.stored: dict[str, Stored] = {}
        self.earlier: dict[str, list[Stored]] = {}
        self.silence: dict[str, list[SilenceEvent]] = {}
        self.activity: dict[str, list[ActivityWindow]] = {}
        self.events: dict[str, list[CallEvent]] = {}
        self.losses: dict[str, list[LossReport]] = {}
        self.turns: dict[str, list[BotTurn]] = {}
        self.recordings: dict[str, list[RecordingEvent]] = {}
        self.withheld = Withheld()
        self.bad_frames = 0
        self._tables: dict[int, SessionTable] = {}
        self._sessions: dict[tuple[int, int], Stored] = {}

    def frames(self, partition: int, frames: Frames, keys: list[bytes | None]) -> None:
        """Take a poll of calls.audio."""
        table = self._tables.setdefault(partition, SessionTable())
        identity = table.identify(frames, keys, 0)
        self.bad_frames += int(np.count_nonzero(~frames.ok))
        for row, slot in enumerate(identity.slots.tolist()):
            if slot < 0 or frames.source[row] != self.source.code:
                continue
            call = self._session(partition, slot, table.conversations[slot])
            verdict = int(identity.verdicts[row])
            call.repeats += bool(verdict & Verdict.REPEAT)
            call.holes += int(identity.missing[row])
            if not verdict & Verdict.ACCEPTED:
                continue
            call.records += 1
            call.last_sequence = int(frames.sequence[row])
            call.kinds[_KINDS[int(frames.kind[row])]] += 1
            if frames.kind[row] == FrameKind.AUDIO.code:
                call.frame(frames.payload(row))
            elif frames.kind[row] == FrameKind.GAP.code:
                place = int(frames.position_samples[row]), int(frames.duration_samples[row])
                call.gaps.append(StoredGap(_REASONS[int(frames.reason[row])], *place))
            elif frames.kind[row] == FrameKind.CLOSED.code:
                call.closed = _REASONS[int(frames.reason[row])]

    def _session(self, partition: int, slot: int, conversation: str) -> Stored:
        """Return what is stored of a session; a new one of a conversation takes the place of the last."""
        found = self._sessions.get((partition, slot))
        if found is None:
            found = self._sessions[partition, slot] = Stored()
            if conversation in self.stored:
                self.earlier.setdefault(conversation, []).append(self.stored[conversation])
            self.stored[conversation] = found
        return found

    def record(self, record: object) -> None:
        """Take a record of another topic."""
        if isinstance(record, SilenceEvent):
            self.silence.setdefault(record.conversation_id, []).append(record)
        elif isinstance(record, ActivityWindow):
            self.activity.setdefault(record.conversation_id, []).append(record)
        elif isinstance(record, CallEvent):
            self.events.setdefault(record.conversation_id, []).append(record)
        elif isinstance(record, BotTurn):
            self.turns.setdefault(record.conversation_id, []).append(record)
        elif isinstance(record, LossReport) and record.source is self.source:
            self.losses.setdefault(record.conversation_id, []).append(record)
        elif isinstance(record, RecordingEvent):
            self.recordings.setdefault(record.conversation_id, []).append(record)


_KINDS = [kind.value for kind in FrameKind]
_REASONS = [reason.value for reason in Reason]
