"""Alarms: raised once, cleared once, each an event of its own behind the report that caused it."""

from typing import Final

from audio.arrival import Stall
from processors.loss.emodel import quality
from processors.loss.report import Cause, Key, Report
from processors.loss.session import ALL, Session
from processors.loss.streams import Stream
from processors.loss.trend import Measured, Trend
from processors.loss.tuning import Tuning
from schemas.symbols import LossAlarm, LossReportKind

_RAISED, _CLEARED = LossReportKind.ALARM_RAISED, LossReportKind.ALARM_CLEARED
_TWICE: Final = 2


class Alarms:
    """Decides about the alarms of opened sessions."""

    def __init__(self, tuning: Tuning, report: Report) -> None:
        self._tuning = tuning
        self._report = report

    def judge(self, slot: int, session: Session, cause: Cause, key: Key, measured: Measured) -> None:
        """Judge the newest reports of a stream, or of a session without numbers, behind a new one."""
        owner = session if key == ALL else session.streams[key]
        total = owner.trend.take(measured, self._tuning)
        if total is None:
            return
        tuning, trend = self._tuning, owner.trend
        ratio = total.lost / total.expected
        trend.bad_loss = trend.bad_loss + 1 if ratio >= tuning.alarm_loss_ratio else 0
        if not owner.loss_alarm and trend.bad_loss >= _TWICE:
            owner.loss_alarm = 1
            self._report.alarm(slot, session, cause, key, _RAISED, (LossAlarm.LOSS, ratio, tuning.alarm_loss_ratio))
        elif owner.loss_alarm and ratio < tuning.clear_loss_ratio:
            owner.loss_alarm = 0
            self._report.alarm(slot, session, cause, key, _CLEARED, (LossAlarm.LOSS, ratio, tuning.clear_loss_ratio))
        if total.packets == total.expected and session.streams:
            self._judge_quality(slot, session, cause, key, total)

    def _judge_quality(self, slot: int, session: Session, cause: Cause, key: Key, total: Measured) -> None:
        tuning = self._tuning
        owner = session if key == ALL else session.streams[key]
        percent = min(total.given_up, total.expected) * 100 / total.expected
        found = quality(owner.codec, percent, Trend.burst_ratio(total), concealment=tuning.concealment)
        if found is None:
            return
        value = found.mos_lq_est
        owner.trend.bad_mos = owner.trend.bad_mos + 1 if value < tuning.alarm_mos else 0
        if not owner.mos_alarm and owner.trend.bad_mos >= _TWICE:
            owner.mos_alarm = 1
            self._report.alarm(slot, session, cause, key, _RAISED, (LossAlarm.MOS, value, tuning.alarm_mos))
        elif owner.mos_alarm and value >= tuning.clear_mos:
            owner.mos_alarm = 0
            self._report.alarm(slot, session, cause, key, _CLEARED, (LossAlarm.MOS, value, tuning.clear_mos))

    def stall(self, slot: int, session: Session, cause: Cause, ended: Stall | None) -> None:
        """Raise the alarm when a stall begins; count it and clear the alarm when it is over, `ended`."""
        limit_ms = self._tuning.stall_ms
        if ended is not None:
            window = session.window
            window.stalls += 1
            window.stall_ms += ended.delay_ms
            window.stall_longest_ms = max(window.stall_longest_ms, ended.delay_ms)
            session.stall_alarm = 0
            self._report.alarm(slot, session, cause, ALL, _CLEARED, (LossAlarm.STALL, ended.delay_ms, limit_ms))
        elif session.watch.since_us >= 0 and not session.stall_alarm:
            session.stall_alarm = 1
            delay_ms = round(session.watch.worst_us / 1000)
            self._report.alarm(slot, session, cause, ALL, _RAISED, (LossAlarm.STALL, delay_ms, limit_ms))

    def drift(self, slot: int, session: Session, cause: Cause) -> None:
        """Judge how far the position that was stated is from ours. Values are ms."""
        limit_ms = self._tuning.drift_ms
        drift_ms = session.drift * 1000 / session.rate_hz
        if not session.drift_alarm and abs(drift_ms) > limit_ms:
            session.drift_alarm = 1
            self._report.alarm(slot, session, cause, ALL, _RAISED, (LossAlarm.DRIFT, drift_ms, limit_ms))
        elif session.drift_alarm and abs(drift_ms) <= limit_ms / 2:
            session.drift_alarm = 0
            self._report.alarm(slot, session, cause, ALL, _CLEARED, (LossAlarm.DRIFT, drift_ms, limit_ms / 2))

    def no_audio(self, slot: int, session: Session, cause: Cause, now_ms: int) -> None:
        """Raise the alarm: no audio since `audio_ms` of stream time. Values are seconds of stream time."""
        session.no_audio_alarm = 1
        silent_s = (now_ms - session.audio_ms) / 1000
        what = (LossAlarm.NO_AUDIO, silent_s, self._tuning.no_audio_s)
        self._report.alarm(slot, session, cause, ALL, _RAISED, what)

    def audio(self, slot: int, session: Session, cause: Cause, now_ms: int, *, came: bool) -> None:
        """Clear the alarm: audio `came` again, or none is expected any more."""
        if session.no_audio_alarm:
            session.no_audio_alarm = 0
            value = (now_ms - session.audio_ms) / 1000 if came else None
            what = (LossAlarm.NO_AUDIO, value, self._tuning.no_audio_s)
            self._report.alarm(slot, session, cause, ALL, _CLEARED, what)

    def end(self, slot: int, session: Session, cause: Cause, key: Key) -> None:
        """Clear what stands at the end of a stream, or of the session with `ALL`."""
        tuning = self._tuning
        owner: Session | Stream = session if key == ALL else session.streams[key]
        if owner.loss_alarm:
            owner.loss_alarm = 0
            self._clear(slot, session, cause, key, LossAlarm.LOSS, tuning.clear_loss_ratio)
        if owner.mos_alarm:
            owner.mos_alarm = 0
            self._clear(slot, session, cause, key, LossAlarm.MOS, tuning.clear_mos)
        if key == ALL:
            if session.drift_alarm:
                session.drift_alarm = 0
                self._clear(slot, session, cause, key, LossAlarm.DRIFT, tuning.drift_ms / 2)
            self.audio(slot, session, cause, 0, came=False)

    def _clear(  # noqa: PLR0913, PLR0917 - whose alarm it is
        self, slot: int, session: Session, cause: Cause, key: Key, alarm: LossAlarm, limit: float
    ) -> None:
        self._report.alarm(slot, session, cause, key, _CLEARED, (alarm, None, limit))
