"""Call events of one partition → utterances, one event at a time. Pure; `Transcription` hosts it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import numpy as np

from audio.stream_time import StreamTime
from processors.transcription.identity import utterance_id
from processors.transcription.sessions import Noticed, Session, Sessions
from runtime.forwarding import Job, Received
from schemas.errors import InvalidRecord
from schemas.records import CallEvent, Origin, Utterance
from schemas.symbols import CallEventKind, Channel, Reason, UtteranceInput, UtteranceKind

Work = tuple[Utterance, ...]
"""Utterances of one session that one record caused, in order."""

_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Tuning:
    """What shapes the outputs, with its digest. `language` is that of texts for which nobody states one."""

    language: str | None = None
    settings_hash: str = ""


class Planned(NamedTuple):
    """The jobs of a record, and what was noticed about it."""

    jobs: list[Job[Work]]
    noticed: tuple[Noticed, ...]


class Partition:
    """What is known of one partition. Nothing of it is stored: the log tells it again."""

    def __init__(self, tuning: Tuning) -> None:
        self._tuning = tuning
        self._time = StreamTime()
        self._sessions = Sessions()

    def plan(self, received: Received, event: CallEvent) -> Planned:
        """Return what follows from the partition's next record.

        First come the sessions that were idle for too long when it arrived, by session id, then what it says itself.
        Raises `InvalidRecord` for an event that names no session or conversation, or the wrong one; then nothing was
        changed, not even stream time.
        """
        tick = event.kind is CallEventKind.TICK
        if not tick:
            check(received.key, event)
            self._sessions.check(event)
        advance = self._time.advance(np.array([received.timestamp_ms], np.int64))
        writer = _Writer(received, self._tuning)
        jobs = []
        if advance.cuts:
            expired = self._sessions.expire(self._time.now_ms)
            jobs = [_job(session, writer.closed_idle(session)) for session in expired]
        if tick:
            return Planned(jobs, ())
        session, noticed = self._sessions.accept(event, self._time.now_ms)
        remarks = [] if noticed is None else [noticed]
        if session is not None:
            said = _said(event)
            if isinstance(said, Noticed):
                remarks.append(said)
            if utterances := tuple(writer.of_event(session, event, said)):
                jobs.append(_job(session, utterances))
        return Planned(jobs, tuple(remarks))


def check(key: bytes | None, event: CallEvent) -> None:
    """Raise `InvalidRecord`, which names the field, where session and conversation cannot be right."""
    defect = None
    if not event.session_id:
        defect = "session_id is empty"
    elif not _is_session(event.session_id):
        defect = "session_id is not the UUID of a session"
    elif event.event_counter < 0:
        defect = "event_counter is negative"
    elif not event.conversation_id:
        defect = "conversation_id is empty"
    elif key != event.conversation_id.encode():
        defect = "the key is not conversation_id"
    elif event.session_info is not None and event.session_info.conversation_id != event.conversation_id:
        defect = "session_info.conversation_id is not conversation_id"
    if defect is not None:
        raise InvalidRecord(defect)


def _is_session(text: str) -> bool:
    try:
        found = UUID(text)
    except ValueError:
        return False
    return str(found) == text and found != _NOBODY


def _said(event: CallEvent) -> UtteranceKind | Noticed | None:
    """Return what kind of utterance an event makes, why it makes none though it could, or None."""
    match event.kind:
        case CallEventKind.OPENED:
            return UtteranceKind.OPENED
        case CallEventKind.CLOSED:
            return UtteranceKind.CLOSED
        case CallEventKind.DTMF:
            return UtteranceKind.TEXT if event.digit else Noticed.NO_DIGIT
        case CallEventKind.TRANSCRIPT if not event.is_final:
            return Noticed.INTERIM
        case CallEventKind.TRANSCRIPT:
            return UtteranceKind.TEXT if (event.text or "").strip() else Noticed.BLANK
        case _:
            return None


def _job(session: Session, utterances: Work) -> Job[Work]:
    return Job(session.conversation_id.encode(), utterances)


class _Writer:
    """Makes the utterances of one record and counts them."""

    def __init__(self, received: Received, tuning: Tuning) -> None:
        self._received = received
        self._tuning = tuning
        self._index = 0

    def closed_idle(self, session: Session) -> Work:
        """Return the end of a session without records."""
        return (self._closed(session, Reason.IDLE, -1),)

    def of_event(self, session: Session, event: CallEvent, said: UtteranceKind | Noticed | None) -> Iterator[Utterance]:
        """Return the utterances of an event, before all others the OPENED of a session seen for the first time."""
        yield from self._opened(session, event.occurred_at_us)
        if said is UtteranceKind.TEXT:
            yield self._text(session, event)
        elif said is UtteranceKind.CLOSED:
            yield self._closed(session, event.reason, event.occurred_at_us)

    def _opened(self, session: Session, occurred_at_us: int) -> Iterator[Utterance]:
        if session.announced:
            return
        session.announced = True
        yield self._boundary(session, UtteranceKind.OPENED, occurred_at_us)

    def _closed(self, session: Session, reason: Reason, occurred_at_us: int) -> Utterance:
        return self._boundary(session, UtteranceKind.CLOSED, occurred_at_us, reason)

    def _boundary(
        self, session: Session, kind: UtteranceKind, occurred_at_us: int, reason: Reason = Reason.UNKNOWN
    ) -> Utterance:
        return Utterance(
            kind=kind,
            conversation_id=session.conversation_id,
            session_id=session.session_id,
            organisation=session.organisation,
            queue=session.queue,
            agent=session.agent,
            channel=Channel.ALL,
            utterance_id=utterance_id(session.session_id, kind, Channel.ALL, session.last),
            language=_language(session, None, self._tuning),
            event_counter=session.last,
            occurred_at_us=occurred_at_us,
            session_info=session.info if kind is UtteranceKind.OPENED else None,
            reason=reason,
            origin=self._origin(),
            settings_hash=self._tuning.settings_hash,
            partial=session.partial,
        )

    def _text(self, session: Session, event: CallEvent) -> Utterance:
        pressed = event.kind is CallEventKind.DTMF
        source = UtteranceInput.DTMF if pressed else UtteranceInput.PLATFORM
        return Utterance(
            kind=UtteranceKind.TEXT,
            conversation_id=session.conversation_id,
            session_id=session.session_id,
            organisation=session.organisation,
            queue=session.queue,
            agent=session.agent,
            channel=event.channel,
            utterance_id=utterance_id(session.session_id, source, event.channel, event.event_counter),
            input=source,
            text=event.digit if pressed else event.text,
            language=_language(session, event.language, self._tuning),
            confidence=event.confidence,
            sample_rate_hz=event.sample_rate_hz,
            start_samples=event.start_samples,
            end_samples=event.end_samples,
            event_counter=event.event_counter,
            occurred_at_us=event.occurred_at_us,
            origin=self._origin(),
            settings_hash=self._tuning.settings_hash,
            partial=session.partial,
        )

    def _origin(self) -> Origin:
        origin = self._received.origin(self._index)
        self._index += 1
        return origin


def _language(session: Session, stated: str | None, tuning: Tuning) -> str | None:
    known = None if session.info is None else session.info.language
    return stated or known or tuning.language
