"""What a process left: journal, stored records and spooled ones → what to append. Pure.

Of each session the last `sequence` and the last event's counter are known once the stored records were taken. Of what
was spooled, everything behind that is appended in its order; then a session that was not closed gets GAP and CLOSED,
reason INGEST_LOST, with the numbers that follow. What is read twice, here or there, counts once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from audio.frames import Frames, decode
from ingest.sequencer import Encoding, Outgoing
from ingest.spool.journal import Entry, Standing
from ingest.spool.segments import Stored
from schemas import topics
from schemas.codec import SchemaStore
from schemas.errors import InvalidRecord
from schemas.records import AudioFrame, CallEvent
from schemas.symbols import CallEventKind, ClosedBy, FrameKind, Reason, Source

_AUDIO, _EVENTS = topics.AUDIO.name, topics.EVENTS.name
_TICK, _CLOSED = FrameKind.TICK.code, FrameKind.CLOSED.code
_SOURCES, _REASONS = list(Source), list(Reason)


@dataclass(slots=True)
class _End:
    """How far a session is on one topic, and why it was closed there."""

    last: int = -1
    closed: Reason | None = None

    def take(self, number: int, closed: Reason | None) -> bool:
        """Note a record; tell whether it is a new one."""
        if number <= self.last:
            return False
        self.last, self.closed = number, closed
        return True


@dataclass(slots=True)
class _Session:
    standing: Standing
    position_samples: int = 0
    audio: _End = field(default_factory=_End)
    events: _End = field(default_factory=_End)


class Remains:
    """The sessions of processes that are gone. Take what Kafka holds first, then what was spooled, then `closings`."""

    def __init__(self, entries: Mapping[UUID, Entry], store: SchemaStore) -> None:
        self._store = store
        self._sessions = {
            session: _Session(
                entry.standing,
                entry.mark.position_samples,
                _End(entry.mark.sequence - 1),
                _End(entry.mark.counter - 1),
            )
            for session, entry in entries.items()
        }
        self.unreadable = 0

    @property
    def keys(self) -> set[bytes]:
        """The keys of the sessions in the journals."""
        return {session.standing.conversation_id.encode() for session in self._sessions.values()}

    def take_stored(self, topic: str, values: Sequence[bytes | None]) -> None:
        """Note what a partition holds, in its order. Only sessions of the journals count."""
        if topic == _AUDIO:
            frames = decode(values, self._store)
            for row in range(len(frames)):
                session = self._sessions.get(_session_id(frames, row))
                if session is not None and frames.ok[row]:
                    self._note_frame(session, frames, row)
            return
        for value in values:
            event = self._event(value)
            session = None if event is None else self._sessions.get(_uuid(event.session_id))
            if event is not None and session is not None:
                session.events.take(event.event_counter, _why_closed(event))

    def take_spooled(self, topic: str, records: Sequence[Stored]) -> list[Outgoing]:
        """Return those of the spooled records that are to be appended, in their order."""
        if topic == _EVENTS:
            return [Outgoing(topic, record.key, record.value) for record in records if self._is_new_event(record)]
        frames = decode([record.value for record in records], self._store)
        wanted = []
        for row, record in enumerate(records):
            if record.key is not None and self._is_new_frame(frames, row, record.key):
                wanted.append(Outgoing(topic, record.key, record.value))
        return wanted

    def closings(self, encoding: Encoding, wall_s: float) -> tuple[list[Outgoing], int]:
        """Return GAP and CLOSED of every session that was left open, and how many there are."""
        records: list[Outgoing] = []
        lost = 0
        for session in self._sessions.values():
            if session.audio.closed is None or session.events.closed is None:
                lost += 1
                records += _closing(session, encoding, wall_s)
        return records, lost

    def _is_new_frame(self, frames: Frames, row: int, key: bytes) -> bool:
        if not frames.ok[row]:
            # nobody can tell whose it is now; whoever reads the topic can, or puts it among the dead letters
            self.unreadable += 1
            return True
        if frames.kind[row] == _TICK:
            return False
        session_id = _session_id(frames, row)
        session = self._sessions.get(session_id)
        if session is None:
            rate_hz, source = int(frames.sample_rate_hz[row]), _SOURCES[int(frames.source[row])]
            session = self._known(Standing(session_id, key.decode(errors="replace"), source, rate_hz))
        return self._note_frame(session, frames, row)

    def _is_new_event(self, record: Stored) -> bool:
        event = self._event(record.value)
        if event is None:
            self.unreadable += 1
            return True
        if event.kind is CallEventKind.TICK:
            return False
        session_id = _uuid(event.session_id)
        session = self._sessions.get(session_id)
        if session is None:
            session = self._known(Standing(session_id, event.conversation_id, event.source, event.sample_rate_hz))
        if not session.standing.source_name:
            session.standing = Standing(
                session_id,
                event.conversation_id,
                event.source,
                event.sample_rate_hz,
                -1,
                event.source_name,
                event.organisation,
                event.queue,
                event.agent,
            )
        return session.events.take(event.event_counter, _why_closed(event))

    def _known(self, standing: Standing) -> _Session:
        return self._sessions.setdefault(standing.session, _Session(standing))

    @staticmethod
    def _note_frame(session: _Session, frames: Frames, row: int) -> bool:
        closed = _REASONS[int(frames.reason[row])] if frames.kind[row] == _CLOSED else None
        new = session.audio.take(int(frames.sequence[row]), closed)
        if new:
            # positions are in units of the record's own rate
            own_hz, rate_hz = int(frames.sample_rate_hz[row]), session.standing.sample_rate_hz
            end = int(frames.position_samples[row]) + max(0, int(frames.duration_samples[row]))
            if own_hz > 0 and rate_hz > 0:
                session.position_samples = max(session.position_samples, end * rate_hz // own_hz)
        return new

    def _event(self, value: bytes | None) -> CallEvent | None:
        try:
            return None if value is None else self._store.decode(value, CallEvent)
        except InvalidRecord:
            return None


def _closing(session: _Session, encoding: Encoding, wall_s: float) -> Iterable[Outgoing]:
    """Return the marks a session lacks on each topic; where one topic has its end, the other gets the same reason."""
    key = session.standing.conversation_id.encode()
    reason = session.audio.closed or session.events.closed or Reason.INGEST_LOST
    sequence, counter = session.audio.last + 1, session.events.last + 1
    for kind, why in ((FrameKind.GAP, Reason.INGEST_LOST), (FrameKind.CLOSED, reason)):
        if session.audio.closed is None:
            yield Outgoing(_AUDIO, key, encoding.frame(_frame(session, kind, why, sequence, wall_s)))
        if session.events.closed is None:
            yield Outgoing(_EVENTS, key, encoding.record(_call_event(session, kind, why, (counter, sequence), wall_s)))
            counter += 1
        if session.audio.closed is None:
            sequence += 1


def _frame(session: _Session, kind: FrameKind, reason: Reason, sequence: int, wall_s: float) -> AudioFrame:
    standing = session.standing
    return AudioFrame(
        kind=kind,
        reason=reason,
        source=standing.source,
        sample_rate_hz=standing.sample_rate_hz,
        session_id=standing.session.bytes,
        sequence=sequence,
        position_samples=session.position_samples,
        captured_at_s=wall_s,
    )


def _call_event(
    session: _Session, kind: FrameKind, reason: Reason, numbers: tuple[int, int], wall_s: float
) -> CallEvent:
    standing = session.standing
    return CallEvent(
        kind=CallEventKind[kind],
        conversation_id=standing.conversation_id,
        session_id=str(standing.session),
        organisation=standing.organisation,
        queue=standing.queue,
        agent=standing.agent,
        source=standing.source,
        source_name=standing.source_name,
        event_counter=numbers[0],
        audio_sequence=numbers[1],
        reason=reason,
        occurred_at_us=round(wall_s * 1e6),
        sample_rate_hz=standing.sample_rate_hz,
        position_samples=session.position_samples,
        closed_by=ClosedBy.LOCAL if kind is FrameKind.CLOSED else ClosedBy.UNKNOWN,
    )


def _why_closed(event: CallEvent) -> Reason | None:
    return event.reason if event.kind is CallEventKind.CLOSED else None


def _session_id(frames: Frames, row: int) -> UUID:
    return UUID(bytes=frames.session_id[row].tobytes())


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)
