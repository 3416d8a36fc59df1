"""Ends of windows, segments and sessions: the reports that are due, the alarms behind them, and what begins next.

Of one moment the streams by channel and SSRC come first, channel ALL last; a stream's segment before its sum.
"""

from typing import Final

from audio.numbers import MAX_MISORDER
from processors.loss.alarms import Alarms
from processors.loss.delays import BIN_US
from processors.loss.former import Former, former_key, missing_of, numbers_of
from processors.loss.report import Cause, Key, Report, told_key
from processors.loss.session import ALL, Counts, Session
from processors.loss.state import LossState
from processors.loss.streams import Stream
from processors.loss.trend import Measured
from processors.loss.tuning import Tuning
from schemas.symbols import LossReportKind, Reason

_WINDOW, _FINAL = LossReportKind.WINDOW, LossReportKind.FINAL
_PACKETS_PER_S: Final = 50
"""Where nothing is numbered, 20 ms stand for a packet."""
_LEAK_US_PER_S: Final = BIN_US
"""The least delay may rise by so much per second of media, as in `audio.arrival`."""


class Ends:
    """Ends what is over in opened sessions."""

    def __init__(self, state: LossState, tuning: Tuning, report: Report, alarms: Alarms) -> None:
        self._state = state
        self._tuning = tuning
        self._report = report
        self._alarms = alarms

    def window(self, slot: int, session: Session, cause: Cause) -> None:
        """Report the window, judge the alarms, and begin the next one."""
        session.total.add(session.window)
        for part in session.parts():
            part.over()
            part.catch_up()
        keys = session.keys()
        for key in keys:
            self._report.former(slot, session, cause, key)
            if session.streams[key].counted().since(session.streams[key].segment_mark).expected > MAX_MISORDER:
                session.told.pop(former_key(key), None)
            self._report.stream(slot, session, cause, key, _WINDOW)
            self._alarms.judge(slot, session, cause, key, _packets(session.streams[key]))
        self._report.session(slot, session, cause, _WINDOW)
        if not keys:
            packets = session.streams.get(ALL)
            measured = _samples(session) if packets is None else _packets(packets)
            self._alarms.judge(slot, session, cause, ALL, measured)
        self._begin_window(session)

    def segment(self, slot: int, session: Session, cause: Cause, key: Key) -> None:
        """Report the segment of a stream that a restart ended, and begin the next one."""
        stream = session.streams[key]
        self._report.former(slot, session, cause, key)
        session.told.pop(former_key(key), None)
        suspect, stream.numbering.suspect = stream.numbering.suspect, -1
        stream.end_run(session.head)
        stream.numbering.suspect = suspect
        if stream.numbering.proven and key != ALL:
            ended = Cause(cause.row, cause.captured_us, Reason.RESTART)
            values = self._report.stream(slot, session, ended, key, _FINAL, segment=True)
            missing = missing_of(stream)
            if missing:
                whole = {"start_samples": stream.start, "end_samples": session.head} | values
                session.told[former_key(key)] = Former(missing, 0, 0, numbers_of(whole)).as_numbers()
        session.told.pop(told_key(key, segment=True), None)
        stream.next_segment(session.head)

    def session(self, slot: int, session: Session, cause: Cause, *, may_return: bool) -> None:
        """End a session for the reason in `cause`: its open window, its alarms, its FINAL reports.

        One that may return is kept: what it says then makes a CORRECTION of each FINAL.
        """
        self._alarms.stall(slot, session, cause, session.watch.restart())
        for stream in session.parts():
            stream.end_run(session.head)
        unreported = session.window_start < session.head or session.window != Counts() or session.window_gaps
        session.total.add(session.window)
        for key in [*session.keys(), ALL]:
            if key != ALL:
                self._report.former(slot, session, cause, key)
            if unreported:
                self._write(slot, session, cause, key, _WINDOW)
            self._alarms.end(slot, session, cause, key)
            if key == ALL:
                session.total.longest_gap = max(session.total.longest_gap, session.empty)
            else:
                self._report.stream(slot, session, cause, key, _FINAL, segment=True)
            self._write(slot, session, cause, key, _FINAL)
        if not may_return:
            self._state.drop(slot)
            return
        session.told = self._report.told(session, cause.closed)
        self._state.returning[slot] = self._state.table.ids[slot]
        session.audio_ms = -1
        for stream in session.streams.values():
            stream.cut(session.head)
        self._begin_window(session)
        self._state.close(slot, session)

    def _write(self, slot: int, session: Session, cause: Cause, key: Key, kind: LossReportKind) -> None:
        if key == ALL:
            self._report.session(slot, session, cause, kind)
        else:
            self._report.stream(slot, session, cause, key, kind)

    def _begin_window(self, session: Session) -> None:
        session.window = Counts()
        session.window_gaps = []
        session.window_start = session.head
        session.window_us = session.last_us
        for part in session.parts():
            part.begin_window(self._tuning.window_s * _LEAK_US_PER_S)


def _packets(stream: Stream) -> Measured:
    counted = stream.counted().since(stream.window_mark)
    return Measured(counted.expected, counted.expected, counted.lost, counted.given_up, stream.window.bursts.loss_runs)


def _samples(session: Session) -> Measured:
    window = session.window
    expected = window.audio + window.missing
    return Measured(expected * _PACKETS_PER_S // session.rate_hz, expected, window.missing, 0, 0)
