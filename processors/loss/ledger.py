"""Books each row of a session: its audio, what is missing under its cause, its packets, and what arrived late.

The timeline of a session has one head, behind its last sample, and it only moves forward. A window ends where the head
passes a multiple of its length; what lies on both sides of the edge is split there, records count where they begin.
Whole windows that one record passes at once are reported as one.
"""

from typing import Final

from audio.arrival import ArrivalWatch, Stall
from processors.loss.report import Cause, Report, packets_of
from processors.loss.rows import CHANNEL_OF, MAX_POSITION, MAX_RATE_HZ, MIN_RATE_HZ, Row
from processors.loss.state import ALL, Counts, Gap, LossState, Session, Stream
from processors.loss.tuning import Tuning
from schemas.symbols import FrameKind, LossAlarm, LossReportKind, Reason

MAX_GAPS: Final = 100
"""Most gaps in one report; those that begin first are kept."""
US: Final = 1_000_000

_RAISED, _CLEARED = LossReportKind.ALARM_RAISED, LossReportKind.ALARM_CLEARED
_AUDIO, _CLOSED = FrameKind.AUDIO.code, FrameKind.CLOSED.code
_PAUSED, _RESUMED = FrameKind.PAUSED.code, FrameKind.RESUMED.code
_DISCARDED, _GAP = FrameKind.DISCARDED.code, FrameKind.GAP.code
_ALIVE = FrameKind.ALIVE.code
_POSITIONED: Final = frozenset({_ALIVE, _PAUSED, _RESUMED, _DISCARDED, _GAP})
_BEGINS: Final = frozenset(
    {FrameKind.OPENED.code, FrameKind.INFO.code, _AUDIO, _ALIVE, _PAUSED, _RESUMED, _DISCARDED, _GAP}
)
_NEVER_WRAPS: Final = 53
_IN_TRANSIT: Final = frozenset({Reason.LOST_IN_NETWORK.code, Reason.LATE.code})
_BOOKED_AS: Final = {
    Reason.SECURE_PAUSE.code: "paused",
    Reason.OWN_PAUSE.code: "paused",
    Reason.SOURCE_DISCARD.code: "discarded",
    Reason.RECONNECT.code: "reconnect",
    Reason.SOCKET_LOST.code: "reconnect",
    Reason.TAKEOVER.code: "reconnect",
    Reason.OVERFLOW.code: "dropped",
    Reason.INGEST_LOST.code: "dropped",
    Reason.DRAIN.code: "dropped",
    Reason.BUDGET_SPENT.code: "dropped",
    Reason.LATE.code: "late",
}
"""Reason → the column of `Counts`; every other reason is `lost`."""


class Ledger:
    """Takes the rows of one poll into the state. `report` emits what follows."""

    def __init__(self, state: LossState, tuning: Tuning, report: Report) -> None:
        self._sessions = state.sessions
        self._tuning = tuning
        self._report = report

    def take(self, row: Row) -> None:
        """Book one accepted row."""
        session = self._sessions.get(row.slot)
        if session is None or (row.kind == _AUDIO and row.rate_hz != session.rate_hz):
            session = self._begin(row, session)
            if session is None:
                return
        if row.captured_us >= 0:
            session.last_us = row.captured_us
            if session.first_us < 0:
                session.first_us = session.window_us = row.captured_us
        if row.kind == _AUDIO:
            if row.position < MAX_POSITION:
                self._audio(session, row)
        elif row.kind in _POSITIONED:
            self._mark(session, row)
        elif row.kind == _CLOSED:
            start, _ = _stated(session, row)
            self._skip(session, row, start)
            self._note_unknown(session)
            self.finish(row.slot, Cause(row.row, row.captured_us))

    def finish(self, slot: int, cause: Cause) -> None:
        """End a session: its open window, its alarms, its FINAL reports."""
        session = self._sessions.get(slot)
        if session is None:
            return
        self._stall(slot, cause, session, session.watch.restart())
        for stream in session.streams.values():
            stream.numbering.settle()
        unreported = session.window_start < session.head or session.window != Counts() or session.window_gaps
        session.total.add(session.window)
        for key in [*self._streams(session), ALL]:
            if unreported:
                self._write(slot, cause, key, LossReportKind.WINDOW)
            owner = session if key == ALL else session.streams[key]
            if owner.loss_alarm:
                what = (LossAlarm.LOSS, None, self._tuning.clear_loss_ratio)
                self._report.alarm(slot, cause, key, _CLEARED, what)
            if key == ALL:
                session.total.longest_gap = max(session.total.longest_gap, session.empty)
            self._write(slot, cause, key, LossReportKind.FINAL)
        del self._sessions[slot]

    def _begin(self, row: Row, session: Session | None) -> Session | None:
        placed = MIN_RATE_HZ <= row.rate_hz <= MAX_RATE_HZ and 0 <= row.position < MAX_POSITION
        if not placed or row.kind not in _BEGINS:
            return session
        if session is not None and (session.total != Counts() or session.window != Counts()):
            self.finish(row.slot, Cause(row.row, row.captured_us))
        session = self._sessions[row.slot] = Session(
            rate_hz=row.rate_hz,
            head=row.position,
            begin=row.position,
            window_start=row.position,
            source=row.source,
            watch=ArrivalWatch(threshold_us=self._tuning.stall_ms * 1000),
        )
        return session

    def _audio(self, session: Session, row: Row) -> None:
        numbered = row.number_bits > 0 and row.number >= 0
        if row.position > session.head:
            self._skip(session, row, row.position, numbered=numbered)
        if session.cause:
            self._note_unknown(session)
        session.paused = 0
        if session.empty:
            session.window.longest_gap = max(session.window.longest_gap, session.empty)
            session.empty = 0
        session.window.frames += 1
        session.window.payload_bytes += row.payload_bytes
        session.codec = row.codec
        stop = row.position + row.samples
        if row.captured_us >= 0:
            if session.anchor_us < 0:
                session.anchor_us = row.captured_us - row.position * US // session.rate_hz
            stall = session.watch.frame(row.position, stop * US // session.rate_hz, row.captured_us)
            if stall is not None or session.watch.since_us >= 0:
                self._stall(row.slot, Cause(row.row, row.captured_us), session, stall)
        if numbered:
            _packet(session, row)
        if stop > session.head:
            self._move(session, row, stop, "audio")

    def _mark(self, session: Session, row: Row) -> None:
        if row.stated >= 0 and row.stated_bits == _NEVER_WRAPS and (not session.paused or row.kind == _RESUMED):
            own = row.position + max(row.duration, 0) if row.position >= 0 else session.head
            session.drift, session.stated = row.stated - own, 1
        if row.kind == _ALIVE:
            return
        start, duration = _stated(session, row)
        self._skip(session, row, start)
        if row.reason not in _IN_TRANSIT:
            for stream in session.streams.values():
                stream.numbering.cut()
                stream.numbering.restarts += row.reason == Reason.RESTART.code
        if row.kind in (_PAUSED, _RESUMED) or _booked_as(row) == "reconnect":
            self._stall(row.slot, Cause(row.row, row.captured_us), session, session.watch.restart())
        if row.kind == _PAUSED:
            self._note_unknown(session)
            session.paused, session.cause = 1, row.reason
        elif duration >= 0:
            self._known(session, row, start, duration)
        elif row.kind != _RESUMED and not session.paused:
            self._note_unknown(session)
            session.cause = row.reason

    def _known(self, session: Session, row: Row, start: int, duration: int) -> None:
        """Book a stretch whose length a mark states, as far as it lies in front of the head."""
        stop = start + duration
        reason = row.reason
        if row.kind == _RESUMED:
            reason = reason or session.cause
            session.paused = session.cause = 0
        gap = (reason, session.head, max(0, stop - session.head))
        if stop > session.head:
            self._move(session, row, stop, _booked_as(row), gap)
        elif row.kind == _RESUMED:
            _note(session, gap)

    def _skip(self, session: Session, row: Row, to: int, *, numbered: bool = False) -> None:
        """Move the head on over what no mark explains. Where packets are numbered, the numbers tell what is lost."""
        if to <= session.head:
            return
        cause, session.cause = session.cause, 0
        gap = (cause, session.head, to - session.head)
        if session.paused:
            self._move(session, row, to, "paused", gap)
        elif cause:
            self._move(session, row, to, _BOOKED_AS.get(cause, "lost"), gap)
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
                self._window(row.slot, Cause(row.row, row.captured_us), session)

    def _window(self, slot: int, cause: Cause, session: Session) -> None:
        session.total.add(session.window)
        for key in [*self._streams(session), ALL]:
            value = self._write(slot, cause, key, LossReportKind.WINDOW)
            if (key != ALL or not self._streams(session)) and self._is_enough(session, key):
                self._judge(slot, cause, key, value)
        session.window = Counts()
        session.window_gaps = []
        session.window_start = session.head
        session.window_us = session.last_us
        for stream in session.streams.values():
            stream.begin_window()

    def _streams(self, session: Session) -> list[tuple[int, int]]:
        """Return the streams that have reports of their own, in the order of the outputs."""
        return sorted(key for key in session.streams if key != ALL)

    def _write(self, slot: int, cause: Cause, key: tuple[int, int], kind: LossReportKind) -> float:
        if key == ALL:
            return self._report.session(slot, cause, kind)
        return self._report.stream(slot, cause, kind, key)

    def _is_enough(self, session: Session, key: tuple[int, int]) -> bool:
        """Tell whether so much was expected in the window that its loss ratio may raise or clear an alarm."""
        if key == ALL:
            samples = session.window.audio + session.window.missing
        else:
            stream = session.streams[key]
            samples = packets_of(stream, final=False).expected * stream.frame_samples
        return samples * 1000 >= self._tuning.alarm_least_media_ms * session.rate_hz

    def _judge(self, slot: int, cause: Cause, key: tuple[int, int], value: float) -> None:
        session = self._sessions[slot]
        owner = session if key == ALL else session.streams[key]
        if not owner.loss_alarm and value > self._tuning.alarm_loss_ratio:
            owner.loss_alarm = 1
            self._report.alarm(slot, cause, key, _RAISED, (LossAlarm.LOSS, value, self._tuning.alarm_loss_ratio))
        elif owner.loss_alarm and 0 <= value < self._tuning.clear_loss_ratio:
            owner.loss_alarm = 0
            self._report.alarm(slot, cause, key, _CLEARED, (LossAlarm.LOSS, value, self._tuning.clear_loss_ratio))

    def _stall(self, slot: int, cause: Cause, session: Session, ended: Stall | None) -> None:
        """Raise the alarm when a stall begins; count it and clear the alarm when it is over, `ended`."""
        limit_ms = self._tuning.stall_ms
        if ended is not None:
            window = session.window
            window.stalls += 1
            window.stall_ms += ended.delay_ms
            window.stall_longest_ms = max(window.stall_longest_ms, ended.delay_ms)
            session.stall_alarm = 0
            self._report.alarm(slot, cause, ALL, _CLEARED, (LossAlarm.STALL, ended.delay_ms, limit_ms))
        elif session.watch.since_us >= 0 and not session.stall_alarm:
            session.stall_alarm = 1
            delay_ms = round(session.watch.worst_us / 1000)
            self._report.alarm(slot, cause, ALL, _RAISED, (LossAlarm.STALL, delay_ms, limit_ms))


def _packet(session: Session, row: Row) -> None:
    key = (CHANNEL_OF.get(row.channels, 0), row.stream)
    stream = session.streams.get(key)
    if stream is None:
        stream = session.streams[key] = Stream()
    stream.frames += 1
    stream.payload_bytes += row.payload_bytes
    stream.audio += row.samples
    stream.codec = row.codec
    stream.frame_samples = row.samples
    bits = min(row.number_bits, _NEVER_WRAPS)
    stream.numbering.take(row.number if bits == _NEVER_WRAPS else row.number & (1 << bits) - 1, bits)


def _booked_as(row: Row) -> str:
    if row.kind == _RESUMED:
        return "paused"
    return "discarded" if row.kind == _DISCARDED else _BOOKED_AS.get(row.reason, "lost")


def _stated(session: Session, row: Row) -> tuple[int, int]:
    """Return start and duration of a mark in the session's unit; the head where it states no start."""
    start, duration = row.position, row.duration
    if row.rate_hz not in (session.rate_hz, -1, 0):
        start, duration = (value * session.rate_hz // row.rate_hz if value >= 0 else -1 for value in (start, duration))
    start = start if 0 <= start < MAX_POSITION else session.head
    return start, duration if start + duration < MAX_POSITION else -1


def _note(session: Session, gap: Gap) -> None:
    for gaps in (session.window_gaps, session.gaps):
        if len(gaps) < MAX_GAPS:
            gaps.append(gap)
