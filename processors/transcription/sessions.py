"""The sessions of one partition of calls.events: which record is new, repeated or too late, and when one is over.

The rules are those of `audio.session`, with `event_counter` in place of the sequence. Times are stream time, and only
their differences count.
"""

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from audio.session import IDLE_MS
from schemas.errors import InvalidRecord
from schemas.records import CallEvent, SessionInfo
from schemas.symbols import CallEventKind, Reason


class Noticed(StrEnum):
    """What is noticed about events and is no utterance."""

    REPEAT = "repeat"
    HOLE = "hole"
    AFTER_CLOSED = "after closed"
    INTERIM = "interim"
    BLANK = "blank text"
    NO_DIGIT = "no digit"


@dataclass(slots=True)
class Session:
    """What is known about one session. `closed` is None while it is open; `announced` says its OPENED was given."""

    session_id: str
    conversation_id: str
    last: int = -1
    touched_ms: int = 0
    closed: Reason | None = None
    partial: bool = True
    announced: bool = False
    info: SessionInfo | None = None
    organisation: str | None = None
    queue: str | None = None
    agent: str | None = None


class Accepted(NamedTuple):
    """The session of an event that counts, None for one that does not, and what was noticed."""

    session: Session | None
    noticed: Noticed | None


class Sessions:
    """The sessions by id, least recently touched first."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def check(self, event: CallEvent) -> None:
        """Raise `InvalidRecord` for an event that says its session belongs to another conversation than before."""
        session = self._sessions.get(event.session_id)
        if session is not None and session.conversation_id != event.conversation_id:
            message = "conversation_id is not that of the session's earlier records"
            raise InvalidRecord(message)

    def accept(self, event: CallEvent, now_ms: int) -> Accepted:
        """Judge an event and move its session on."""
        session = self._sessions.get(event.session_id)
        noticed = None
        if session is None:
            session = self._sessions[event.session_id] = Session(event.session_id, event.conversation_id)
        elif event.event_counter <= session.last:
            return Accepted(None, Noticed.REPEAT)
        elif session.closed not in (None, Reason.IDLE):
            return Accepted(None, Noticed.AFTER_CLOSED)
        elif event.event_counter > session.last + 1:
            noticed = Noticed.HOLE
        if session.closed is not None:
            session.closed, session.partial, session.announced = None, True, False
        session.last = event.event_counter
        session.organisation, session.queue, session.agent = event.organisation, event.queue, event.agent
        if event.session_info is not None:
            session.info, session.partial = event.session_info, False
        if event.kind is CallEventKind.CLOSED:
            session.closed = event.reason
        self._touch(session, now_ms)
        return Accepted(session, noticed)

    def expire(self, now_ms: int) -> list[Session]:
        """Close what has been idle for 15 minutes, forget what was closed so long ago.

        Returns the sessions closed now, by session id. They stay for another 15 minutes, so that a return reopens them.
        """
        closed = []
        while self._sessions:
            session = next(iter(self._sessions.values()))
            if now_ms - session.touched_ms < IDLE_MS:
                break
            if session.closed is None:
                session.closed = Reason.IDLE
                self._touch(session, now_ms)
                closed.append(session)
            else:
                del self._sessions[session.session_id]
        return sorted(closed, key=lambda session: session.session_id)

    def _touch(self, session: Session, now_ms: int) -> None:
        session.touched_ms = now_ms
        self._sessions.move_to_end(session.session_id)
