"""Books each row of a session: its audio, what is missing under its cause, its packets, and what arrived late.

The timeline of a session has one head, behind its last sample, and it only moves forward. A window ends where the head
passes a multiple of its length; what lies on both sides of the edge is split there, records count where they begin.
Whole windows that one record passes at once are reported as one.
"""

from collections.abc import Iterable
from typing import Final

from audio.arrival import ArrivalWatch
from audio.numbers import NEVER_WRAPS
from processors.loss import former
from processors.loss.alarms import Alarms
from processors.loss.ends import Ends
from processors.loss.marks import ESTIMATED, IN_TRANSIT, POSITIONED, booked_as, cause_column, stated, with_origin
from processors.loss.report import Cause, Report
from processors.loss.rows import AUDIBLE, CHANNEL_OF, MAX_POSITION, MAX_RATE_HZ, MIN_RATE_HZ, Row
from processors.loss.session import Counts, Session
from processors.loss.state import LossState
from processors.loss.streams import MAX_GAPS, Gap, Stream
from processors.loss.tuning import Tuning
from schemas.symbols import FrameKind, Reason, Source

US: Final = 1_000_000
_AUDIO, _CLOSED = FrameKind.AUDIO.code, FrameKind.CLOSED.code
_PAUSED, _RESUMED, _ALIVE = FrameKind.PAUSED.code, FrameKind.RESUMED.code, FrameKind.ALIVE.code
_BEGINS: Final = POSITIONED | {FrameKind.OPENED.code, FrameKind.INFO.code, _AUDIO}
_IDLE, _RESTART = Reason.IDLE.code, Reason.RESTART.code
_RECONNECT_ESTIMATED: Final = Reason.RECONNECT.code | ESTIMATED
_REASONS: Final = tuple(Reason)
_DUE_AT_ONCE: Final = frozenset({Source.AUDIOHOOK.code})
"""Sources that open a session to send audio; of others none is due before the first one came."""


class Ledger:
    """Takes the rows of one poll into the state. `now_ms` is its stream time."""

    def __init__(self, state: LossState, tuning: Tuning, report: Report, now_ms: int) -> None:
        self._state = state
        self._tuning = tuning
        self._now_ms = now_ms
        self._alarms = Alarms(tuning, report)
        self._ends = Ends(state, tuning, report, self._alarms)

    def take(self, slot: int, rows: Iterable[Row]) -> None:
        """Book accepted rows of one session, in order."""
        session = self._state.open(slot)
        for row in rows:
            session = self._take(session, row)
        if session is not None:
            self._state.close(slot, session)

    def expire(self, slot: int) -> None:
        """End a session that has lost its ingest; it may return."""
        session = self._state.open(slot)
        if session is not None:
            self._ends.session(slot, session, Cause(-1, closed=Reason.IDLE), may_return=True)

    def missing_audio(self, slot: int) -> None:
        """Raise the alarm on a session of which no audio has come for too long."""
        session = self._state.open(slot)
        if session is not None:
            self._alarms.no_audio(slot, session, Cause(-1), self._now_ms)
            self._state.close(slot, session)

    def _take(self, session: Session | None, row: Row) -> Session | None:
        if session is None or (row.kind == _AUDIO and row.rate_hz != session.rate_hz):
            session = self._begin(row, session)
            if session is None:
                return None
        if row.captured_us >= 0:
            session.last_us = row.captured_us
            if session.first_us < 0:
                session.first_us = session.window_us = row.captured_us
        if row.kind == _AUDIO:
            if row.position < MAX_POSITION:
                self._audio(session, row)
        elif row.kind in POSITIONED:
            self._mark(session, row)
        elif row.kind == _CLOSED:
            start, _ = stated(session, row)
            self._skip(session, row, start)
            self._note_unknown(session)
            return self._finish(session, row, row.reason, may_return=row.reason == _IDLE)
        return session

    def _finish(self, session: Session, row: Row, reason: int, *, may_return: bool) -> Session | None:
        self._ends.session(row.slot, session, Cause(row.row, row.captured_us, _REASONS[reason]), may_return=may_return)
        return session if may_return else None

    def _begin(self, row: Row, session: Session | None) -> Session | None:
        placed = MIN_RATE_HZ <= row.rate_hz <= MAX_RATE_HZ and 0 <= row.position < MAX_POSITION
        if not placed or row.kind not in _BEGINS:
            return session
        if session is not None:
            if session.total != Counts() or session.window != Counts():
                self._finish(session, row, _RESTART, may_return=False)
            else:
                self._state.drop(row.slot)
        session = Session(
            rate_hz=row.rate_hz,
            head=row.position,
            begin=row.position,
            window_start=row.position,
            source=row.source,
            audio_ms=self._now_ms if row.source in _DUE_AT_ONCE else -1,
            watch=ArrivalWatch(threshold_us=self._tuning.stall_ms * 1000),
        )
        self._state.add(row.slot, session)
        return session

    def _audio(self, session: Session, row: Row) -> None:
        if row.position > session.head:
            self._skip(session, row, row.position, numbered=row.numbered > 0)
        if session.cause:
            self._note_unknown(session)
        session.paused = 0
        if session.empty:
            session.window.longest_gap = max(session.window.longest_gap, session.empty)
            session.empty = 0
        self._alarms.audio(row.slot, session, _cause(row), self._now_ms, came=True)
        session.audio_ms = self._now_ms
        session.window.frames += 1
        session.window.payload_bytes += row.payload_bytes
        audible = row.codec in AUDIBLE
        if audible:
            session.codec = row.codec
        stop = row.position + row.samples
        if row.captured_us >= 0:
            if session.anchor_us < 0:
                session.anchor_us = row.captured_us - row.position * US // session.rate_hz
            stall = session.watch.frame(row.position, stop * US // session.rate_hz, row.captured_us)
            if stall is not None or session.watch.since_us >= 0:
                self._alarms.stall(row.slot, session, _cause(row), stall)
        if row.numbered:
            self._packet(session, row)
        else:
            session.arrivals.message(row)
        if stop > session.head:
            self._move(session, row, stop, "audio" if audible else "")

    def _packet(self, session: Session, row: Row) -> None:
        key = (CHANNEL_OF.get(row.channels, 0), row.stream)
        stream = session.streams.get(key)
        if stream is None:
            stream = self._state.add_stream(row.slot, session, key)
        if not stream.numbering.bits:
            _prove(session, stream, row)
        if former.take(session, key, stream, row):
            return
        if stream.numbering.begins_anew(row.number, row.number_bits):
            self._ends.segment(row.slot, session, _cause(row), key)
            stream.begin_segment(row)
        else:
            stream.packet(row, self._tuning.reorder_ms * session.rate_hz // 1000)

    def _mark(self, session: Session, row: Row) -> None:
        if row.stated >= 0 and row.stated_bits == NEVER_WRAPS and (not session.paused or row.kind == _RESUMED):
            own = row.position + max(row.duration, 0) if row.position >= 0 else session.head
            session.drift, session.stated = row.stated - own, 1
            self._alarms.drift(row.slot, session, _cause(row))
        if row.kind == _ALIVE:
            return
        start, duration = stated(session, row)
        self._skip(session, row, start)
        if row.reason not in IN_TRANSIT:
            self._cut(session, row)
        if row.kind in {_PAUSED, _RESUMED} or booked_as(row) == "reconnect":
            self._alarms.stall(row.slot, session, _cause(row), session.watch.restart())
            session.arrivals.end_run(session.head)
        if row.kind == _PAUSED:
            self._note_unknown(session)
            session.paused, session.cause = 1, row.reason
            self._alarms.audio(row.slot, session, _cause(row), self._now_ms, came=False)
        elif row.kind == _RESUMED:
            session.audio_ms = self._now_ms if session.audio_ms >= 0 else -1
        if duration >= 0 and row.kind != _PAUSED:
            self._known(session, row, start, duration)
        elif row.kind not in {_PAUSED, _RESUMED} and not session.paused:
            self._note_unknown(session)
            session.cause = row.reason

    def _cut(self, session: Session, row: Row) -> None:
        """End the runs of numbers: what a mark explains is not missing by its number."""
        for key, stream in sorted(session.streams.items()):
            if row.reason == _RESTART:
                self._ends.segment(row.slot, session, _cause(row), key)
                stream.numbering.restarts += 1
                stream.segment_mark = stream.counted()
            stream.cut(session.head)

    def _known(self, session: Session, row: Row, start: int, duration: int) -> None:
        """Book a stretch whose length a mark states, as far as it lies in front of the head."""
        stop = start + duration
        reason = row.reason
        if row.kind == _RESUMED:
            reason = reason or session.cause
            session.paused = session.cause = 0
        reason = with_origin(reason, numbered=bool(session.streams))
        gap = (reason, session.head, max(0, stop - session.head))
        if stop > session.head:
            self._move(session, row, stop, booked_as(row), gap)
        elif row.kind == _RESUMED:
            _note(session, gap)

    def _skip(self, session: Session, row: Row, to: int, *, numbered: bool = False) -> None:
        """Move the head on over what no mark explains. Where packets are numbered, the numbers tell what is lost."""
        if to <= session.head:
            return
        cause, session.cause = session.cause, 0
        gap = (with_origin(cause, numbered=bool(session.streams)), session.head, to - session.head)
        if session.paused:
            self._move(session, row, to, "paused", gap)
        elif cause:
            self._move(session, row, to, cause_column(cause), gap)
        elif numbered or session.streams:
            self._move(session, row, to, "")
        else:
            self._move(session, row, to, "lost", gap)
        if row.kind != _AUDIO and session.paused:
            session.cause = cause

    def _note_unknown(self, session: Session) -> None:
        """List a stretch whose length is not knowable: a mark announced it, and nothing is missing here."""
        if session.cause and not session.paused:
            _note(session, (session.cause, session.head, -1))
        session.cause = 0

    def _move(self, session: Session, row: Row, to: int, column: str, gap: Gap | None = None) -> None:
        """Move the head on to `to` and book the samples in a column of the counts; end the windows it passes."""
        size = self._tuning.window_s * session.rate_hz
        while session.head < to:
            edge = (session.head // size + 1) * size
            stop = to
            if to >= edge:
                stop = edge if session.head % size else to // size * size
            length = stop - session.head
            if column:
                setattr(session.window, column, getattr(session.window, column) + length)
                if column != "audio":
                    session.empty += length
            session.head = stop
            if gap is not None and stop == to:
                _note(session, gap)
            if stop >= edge:
                self._ends.window(row.slot, session, _cause(row))


def _cause(row: Row) -> Cause:
    return Cause(row.row, row.captured_us)


def _note(session: Session, gap: Gap) -> None:
    for gaps in (session.window_gaps, session.gaps):
        if len(gaps) < MAX_GAPS:
            gaps.append(gap)


def _prove(session: Session, stream: Stream, row: Row) -> None:
    """A reconnect lasted as long as was estimated where the stamps of the source go on behind it by as much."""
    delays = stream.delays
    if row.stamp_bits >= NEVER_WRAPS or not delays.knows(row.clock_hz, row.stamp_bits):
        return
    passed = (delays.unwrapped(row.stamp) - delays.stamp) * row.rate_hz // row.clock_hz - stream.frame_samples
    estimated = (_RECONNECT_ESTIMATED, row.position - passed, passed)
    for gaps in (session.window_gaps, session.gaps):
        if gaps[-1:] == [estimated]:
            gaps[-1] = (Reason.RECONNECT.code, row.position - passed, passed)
