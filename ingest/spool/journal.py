"""Which sessions are open and how far they are stored ↔ entries of a journal file. Pure.

A journal is a segment file whose blocks hold entries: the record's key is the kind of entry, its value the content.
`BEGIN` names the process's run and takes back what earlier files of the same run say; `OPEN` describes a session;
`STAND` says how far it is: its records before `sequence` and its events before `counter` are stored, all others lie at
or behind the offsets; `DONE` says that all of it is stored, CLOSED too.
"""

import json
import struct
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from ingest.spool.segments import Stored
from schemas.symbols import Source

BEGIN, OPEN, STAND, DONE = b"B", b"O", b"S", b"D"
_STAND = struct.Struct(">16sqqqqq")


@dataclass(frozen=True, slots=True)
class Standing:
    """Who a session is. `opened_s` is since the epoch."""

    session: UUID
    conversation_id: str
    source: Source
    sample_rate_hz: int
    opened_s: float = -1
    source_name: str = ""
    organisation: str | None = None
    queue: str | None = None
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a session is stored for certain, and where in the partitions the rest may lie (-1: not known)."""

    sequence: int = 0
    counter: int = 0
    position_samples: int = 0
    audio_offset: int = -1
    events_offset: int = -1


@dataclass(frozen=True, slots=True)
class Entry:
    """A session that a journal leaves open."""

    standing: Standing
    mark: Mark


def begin(run: UUID) -> Stored:
    """Return the first entry of a file."""
    return Stored(BEGIN, run.bytes)


def opened(standing: Standing) -> Stored:
    """Return the entry of a session that was opened."""
    fields = {**asdict(standing), "session": str(standing.session), "source": standing.source.value}
    return Stored(OPEN, json.dumps(fields, separators=(",", ":")).encode())


def stands(session: UUID, mark: Mark) -> Stored:
    """Return the entry of how far a session is."""
    numbers = (mark.sequence, mark.counter, mark.position_samples, mark.audio_offset, mark.events_offset)
    return Stored(STAND, _STAND.pack(session.bytes, *numbers))


def done(session: UUID) -> Stored:
    """Return the entry of a session of which everything is stored."""
    return Stored(DONE, session.bytes)


class Reading:
    """What the entries of journals say, taken in the order of their files."""

    def __init__(self) -> None:
        self._run = b""
        self._entries: dict[UUID, tuple[bytes, Entry]] = {}
        self.unreadable = 0

    @property
    def entries(self) -> dict[UUID, Entry]:
        """The sessions that are not done."""
        return {session: entry for session, (_, entry) in self._entries.items()}

    def take(self, records: Iterable[Stored]) -> None:
        """Take entries; one that cannot be read is counted."""
        for kind, value in records:
            try:
                self._take(kind, value)
            except (ValueError, KeyError, TypeError, struct.error):
                self.unreadable += 1

    def _take(self, kind: bytes | None, value: bytes) -> None:
        if kind == BEGIN:
            self._run = value
            self._entries = {session: found for session, found in self._entries.items() if found[0] != value}
        elif kind == OPEN:
            fields: dict[str, Any] = json.loads(value)
            session, source = UUID(fields["session"]), Source(fields["source"])
            standing = Standing(**{**fields, "session": session, "source": source})
            self._entries[session] = (self._run, Entry(standing, Mark()))
        elif kind == STAND:
            raw, *numbers = _STAND.unpack(value)
            session = UUID(bytes=raw)
            run, entry = self._entries[session]
            self._entries[session] = (run, Entry(entry.standing, Mark(*numbers)))
        elif kind == DONE:
            del self._entries[UUID(bytes=value)]
        else:
            raise ValueError
