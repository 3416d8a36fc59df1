"""Facts of a connection's sessions → framed records of calls.audio and calls.events, numbered. Pure.

Each session gets an id of its own, a `sequence` over its records on calls.audio and an `event_counter` over those on
calls.events. Audio for which there is no room gets no sequence; a GAP mark (reason OVERFLOW) with the exact length
stands before the session's next record instead. A session that goes on from another process's begins with a GAP mark
(reason TAKEOVER): its media clock starts where the other's audio ended, so that all its positions lie behind the gap.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple
from uuid import UUID

from audio.frames import FrameEncoder
from ingest.identity import Lineage
from ingest.protocol import (
    AudioReceived,
    EventReceived,
    Fact,
    Mark,
    SessionClosed,
    SessionInfoChanged,
    SessionOpened,
)
from ingest.roll import Roll
from ingest.takeover import Takeover
from runtime.errors import UsageError
from schemas import topics
from schemas.codec import SchemaStore
from schemas.records import AudioFrame, CallEvent, SessionInfo
from schemas.symbols import CallEventKind, FrameKind, Reason, Source

QUIET_S = 60.0
"""A live session that wrote nothing for so long writes ALIVE."""
_NEVER_WRAPS = 53
_NOBODY = UUID(int=0)
_AUDIO_TOPIC = topics.AUDIO.name


class Moment(NamedTuple):
    """One instant on both clocks: since the epoch, and one that never steps."""

    wall_s: float
    monotonic_s: float


class Outgoing(NamedTuple):
    """One record for Kafka. `topic` is a catalogue name; without a key the partition is explicit."""

    topic: str
    key: bytes | None
    value: bytes
    partition: int = -1


class Encoding:
    """Records → framed bytes with the ids the store writes with now."""

    def __init__(self, store: SchemaStore) -> None:
        self._store = store
        self._frame_id = store.write_id("audio_frame")
        self._frames = FrameEncoder(store)

    def frame(self, frame: AudioFrame) -> bytes:
        """Return an AudioFrame as framed bytes."""
        schema_id = self._store.write_id("audio_frame")
        if schema_id != self._frame_id:
            self._frame_id, self._frames = schema_id, FrameEncoder(self._store)
        return self._frames.encode(frame)

    def audio(self, audio: AudioReceived, source: Source, session_id: bytes, sequence: int, wall_s: float) -> bytes:
        """Return a message of audio as framed bytes."""
        schema_id = self._store.write_id("audio_frame")
        if schema_id != self._frame_id:
            self._frame_id, self._frames = schema_id, FrameEncoder(self._store)
        return self._frames.encode_audio(audio, source, session_id, sequence, wall_s)

    def record(self, record: CallEvent | SessionInfo) -> bytes:
        """Return any other record as framed bytes."""
        return self._store.encode(record)

    def tick(self, topic: str, wall_s: float) -> bytes:
        """Return the TICK of a topic."""
        if topic == topics.AUDIO.name:
            return self.frame(AudioFrame(kind=FrameKind.TICK, captured_at_s=wall_s))
        return self.record(
            CallEvent(
                kind=CallEventKind.TICK,
                conversation_id="",
                session_id=str(_NOBODY),
                occurred_at_us=round(wall_s * 1e6),
            )
        )


@dataclass(slots=True)
class _Dropped:
    """Audio that found no room, not announced yet."""

    position_samples: int
    duration_samples: int
    sample_rate_hz: int


@dataclass(slots=True)
class _Session:
    id: UUID
    key: bytes
    info: SessionInfo
    source: Source
    sample_rate_hz: int
    opened: Moment
    sequence: int = 0
    counter: int = 0
    position_samples: int = 0
    takeover: Takeover | None = None
    last_frame_s: float = -1
    audio_written_s: float = -1
    event_written_s: float = -1
    dropped: _Dropped | None = None


class Sequencer:
    """The sessions of one connection. `new_id` draws a session id; `roll` hears which are open."""

    def __init__(
        self, encoding: Encoding, new_id: Callable[[], UUID], lineage: Lineage, roll: Roll | None = None
    ) -> None:
        self._roll = roll or Roll()
        self._encoding = encoding
        self._new_id = new_id
        self._lineage = lineage
        self._sessions: dict[str, _Session] = {}

    def session_id(self, key: str) -> str | None:
        """Return the id of a live session, or None."""
        session = self._sessions.get(key)
        return None if session is None else str(session.id)

    def take(self, fact: Fact, at: Moment, *, room: bool = True) -> list[Outgoing]:
        """Return the records of a fact, in order. Without `room` audio is noted as dropped; marks are written anyway.

        Raises `UsageError` for a fact of a session that is not open.
        """
        if isinstance(fact, SessionOpened):
            return self._open(fact, at)
        session = self._sessions.get(fact.key)
        if session is None:
            message = f"{type(fact).__name__} for a session that is not open"
            raise UsageError(message)
        taken_over: list[Outgoing] = []
        if session.takeover is not None:
            taken_over = self._announce_takeover(session, session.takeover.gap_before(fact, at.wall_s), at)
            fact = session.takeover.shifted(fact)
        if isinstance(fact, AudioReceived):
            records = self._audio(session, fact, at, room=room)
            return taken_over + records if taken_over else records
        records = taken_over + self._announce_dropped(session, at)
        if isinstance(fact, Mark):
            return records + self._mark(session, fact, at)
        if isinstance(fact, EventReceived):
            return [*records, self._event(session, fact.event, at)]
        if isinstance(fact, SessionInfoChanged):
            return records + self._info(session, fact, at)
        return records + self._close(session, fact, at)

    def keep_alive(self, at: Moment) -> list[Outgoing]:
        """Return ALIVE records for the sessions that wrote nothing for a minute, per topic."""
        records = []
        for session in self._sessions.values():
            audio_quiet_s = at.monotonic_s - session.audio_written_s
            event_quiet_s = at.monotonic_s - session.event_written_s
            if max(audio_quiet_s, event_quiet_s) < QUIET_S:
                continue
            alive = AudioFrame(kind=FrameKind.ALIVE, position_samples=session.position_samples)
            if audio_quiet_s >= QUIET_S:
                records.append(self._frame(session, alive, at))
            if event_quiet_s >= QUIET_S:
                records.append(self._stand(session, CallEventKind.ALIVE, alive, at))
        return records

    def _open(self, fact: SessionOpened, at: Moment) -> list[Outgoing]:
        if fact.key in self._sessions:
            return []
        # a key that comes back is a return: the source need not say so
        lineage, source = self._lineage, fact.source
        before = lineage.find(source, fact.info.continued_from) or lineage.earlier(source, fact.key)
        info = replace(fact.info, continued_from=before)
        left_s = lineage.left_s(source, fact.key)
        session = _Session(
            id=self._new_id(),
            key=info.conversation_id.encode(),
            info=info,
            source=fact.source,
            sample_rate_hz=fact.sample_rate_hz,
            opened=at,
            takeover=None if left_s is None else Takeover(left_s, fact.sample_rate_hz),
        )
        self._sessions[fact.key] = session
        lineage.note(source, fact.key, str(session.id))
        self._roll.on_opened(session)
        opened = AudioFrame(
            kind=FrameKind.OPENED,
            codec=fact.codec,
            channels=fact.channels,
            position_samples=0,
            payload=self._encoding.record(info),
        )
        return self._both(session, CallEventKind.OPENED, opened, at)

    def _audio(self, session: _Session, fact: AudioReceived, at: Moment, *, room: bool) -> list[Outgoing]:
        session.last_frame_s = at.monotonic_s
        end = fact.position_samples + max(0, fact.duration_samples)
        if fact.sample_rate_hz != session.sample_rate_hz:
            # a stream of a capture may have a rate of its own; the session's marks count at the session's
            end = end * session.sample_rate_hz // fact.sample_rate_hz
        session.position_samples = max(session.position_samples, end)
        if not room:
            return self._drop(session, fact, at)
        records = self._announce_dropped(session, at)
        # not by way of an AudioFrame: this runs for every message of audio
        value = self._encoding.audio(fact, session.source, session.id.bytes, session.sequence, at.wall_s)
        session.sequence += 1
        session.audio_written_s = at.monotonic_s
        records.append(Outgoing(_AUDIO_TOPIC, session.key, value))
        return records

    def _drop(self, session: _Session, fact: AudioReceived, at: Moment) -> list[Outgoing]:
        dropped = session.dropped
        if dropped is not None and dropped.duration_samples < 0 and fact.duration_samples < 0:
            # its end is not known, so what follows is of the same gap; a mark for each would need room as audio does
            return []
        if dropped is not None and (
            dropped.sample_rate_hz != fact.sample_rate_hz
            or dropped.position_samples + dropped.duration_samples != fact.position_samples
        ):
            records = self._announce_dropped(session, at)
            session.dropped = _Dropped(fact.position_samples, fact.duration_samples, fact.sample_rate_hz)
            return records
        if dropped is None:
            session.dropped = _Dropped(fact.position_samples, fact.duration_samples, fact.sample_rate_hz)
        else:
            dropped.duration_samples += fact.duration_samples
        return []

    def _announce_takeover(self, session: _Session, gap_samples: int | None, at: Moment) -> list[Outgoing]:
        if gap_samples is None:
            return []
        session.position_samples = max(0, gap_samples)
        gap = AudioFrame(kind=FrameKind.GAP, reason=Reason.TAKEOVER, position_samples=0, duration_samples=gap_samples)
        return self._both(session, CallEventKind.GAP, gap, at, estimated=True)

    def _announce_dropped(self, session: _Session, at: Moment) -> list[Outgoing]:
        dropped, session.dropped = session.dropped, None
        if dropped is None:
            return []
        gap = AudioFrame(
            kind=FrameKind.GAP,
            reason=Reason.OVERFLOW,
            sample_rate_hz=dropped.sample_rate_hz,
            position_samples=dropped.position_samples,
            duration_samples=dropped.duration_samples,
        )
        return self._both(session, CallEventKind.GAP, gap, at)

    def _mark(self, session: _Session, fact: Mark, at: Moment) -> list[Outgoing]:
        stated = fact.stated_position_samples >= 0
        frame = AudioFrame(
            kind=fact.kind,
            reason=fact.reason,
            source_clock_hz=session.sample_rate_hz if stated else -1,
            source_timestamp_bits=_NEVER_WRAPS if stated else 0,
            source_timestamp=fact.stated_position_samples,
            position_samples=fact.position_samples,
            duration_samples=fact.duration_samples,
        )
        if fact.position_samples >= 0:
            session.position_samples = fact.position_samples + max(fact.duration_samples, 0)
        if fact.kind is FrameKind.ALIVE:
            return [self._frame(session, frame, at)]
        return self._both(session, CallEventKind[fact.kind], frame, at, estimated=fact.estimated)

    def _info(self, session: _Session, fact: SessionInfoChanged, at: Moment) -> list[Outgoing]:
        session.info = replace(fact.info, continued_from=session.info.continued_from)
        frame = AudioFrame(
            kind=FrameKind.INFO,
            position_samples=session.position_samples,
            payload=self._encoding.record(session.info),
        )
        return self._both(session, CallEventKind.INFO, frame, at)

    def _close(self, session: _Session, fact: SessionClosed, at: Moment) -> list[Outgoing]:
        del self._sessions[fact.key]
        position = fact.position_samples if fact.position_samples >= 0 else session.position_samples
        frame = AudioFrame(kind=FrameKind.CLOSED, reason=fact.reason, position_samples=position)
        heard = session.last_frame_s >= 0
        self._roll.on_closed(session)
        return self._both(
            session,
            CallEventKind.CLOSED,
            frame,
            at,
            closed_by=fact.closed_by,
            code=fact.code,
            message=fact.message,
            connection_age_ms=round((at.monotonic_s - session.opened.monotonic_s) * 1000),
            last_frame_age_ms=round((at.monotonic_s - session.last_frame_s) * 1000) if heard else -1,
        )

    def _both(
        self, session: _Session, kind: CallEventKind, frame: AudioFrame, at: Moment, **details: object
    ) -> list[Outgoing]:
        """Return a mark on calls.audio and the event that repeats it."""
        event = self._stand(session, kind, frame, at, **details)
        return [self._frame(session, frame, at), event]

    def _frame(self, session: _Session, frame: AudioFrame, at: Moment) -> Outgoing:
        """Return a mark as the session's next record on calls.audio."""
        numbered = replace(
            frame,
            source=session.source,
            sample_rate_hz=frame.sample_rate_hz if frame.sample_rate_hz > 0 else session.sample_rate_hz,
            session_id=session.id.bytes,
            sequence=session.sequence,
            captured_at_s=at.wall_s,
        )
        session.sequence += 1
        session.audio_written_s = at.monotonic_s
        return Outgoing(topics.AUDIO.name, session.key, self._encoding.frame(numbered))

    def _stand(
        self, session: _Session, kind: CallEventKind, frame: AudioFrame, at: Moment, **details: object
    ) -> Outgoing:
        """Return the event that says on calls.events what a mark says on calls.audio."""
        with_info = kind in (CallEventKind.OPENED, CallEventKind.INFO)
        event = CallEvent(
            kind=kind,
            conversation_id="",
            session_id="",
            reason=frame.reason,
            sample_rate_hz=round(frame.sample_rate_hz),
            position_samples=round(frame.position_samples),
            duration_samples=round(frame.duration_samples),
            session_info=session.info if with_info else None,
        )
        return self._event(session, replace(event, **details), at)  # type: ignore[arg-type]  # names are fields

    def _event(self, session: _Session, event: CallEvent, at: Moment) -> Outgoing:
        info = session.info
        numbered = replace(
            event,
            conversation_id=info.conversation_id,
            session_id=str(session.id),
            organisation=info.organisation,
            queue=info.queue,
            agent=info.agent,
            source=session.source,
            source_name=info.source_name,
            event_counter=session.counter,
            audio_sequence=session.sequence,
            occurred_at_us=round(at.wall_s * 1e6),
            sample_rate_hz=event.sample_rate_hz if event.sample_rate_hz > 0 else session.sample_rate_hz,
            position_samples=event.position_samples if event.position_samples >= 0 else session.position_samples,
        )
        session.counter += 1
        session.event_written_s = at.monotonic_s
        return Outgoing(topics.EVENTS.name, session.key, self._encoding.record(numbered))
