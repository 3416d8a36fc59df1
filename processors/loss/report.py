"""What was counted → LossReport records, with everything derived records repeat about their session."""

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

from processors.loss.delays import NONE, jitter_ms
from processors.loss.emodel import quality
from processors.loss.former import Former, corrected, former_key, numbers_of, values_of
from processors.loss.marks import ESTIMATED
from processors.loss.session import ALL, Session
from processors.loss.state import LossState
from processors.loss.streams import Counted, Gap, Measures, Stream
from schemas.records import Derived, LossReport, Origin
from schemas.records import Gap as GapRecord
from schemas.symbols import Channel, Codec, LossAlarm, LossReportKind, Reason, Source
from schemas.topics import AUDIO

EXPIRED: Final = -1
"""The row of what no row of the poll caused."""
Key = tuple[int, int]
"""Channel code and SSRC."""
TOLD: Final = ("frames", "bytes", "expected", "received", "unique", "duplicates", "reordered", "late", "lost")
"""What a CORRECTION names where it changed."""
_SEGMENT: Final = 16
"""Added to the channel of a key: the stream's last segment."""
_UUID: Final = struct.Struct("4s2s2s2s6s")
_HOST_FILLS_IN: Final = Origin(topic=AUDIO.name, partition=-1, offset=-1, index=-1)
_CHANNELS, _CODECS, _REASONS, _SOURCES = tuple(Channel), tuple(Codec), tuple(Reason), tuple(Source)
_FINAL = LossReportKind.FINAL
_FINALS: Final = (LossReportKind.FINAL, LossReportKind.CORRECTION)


@dataclass(frozen=True, slots=True)
class Cause:
    """The row that causes an output, `EXPIRED` where none does, and when it was captured, -1 when not known.

    `closed` is why a session or a segment ends by it.
    """

    row: int
    captured_us: int = -1
    closed: Reason = Reason.UNKNOWN


def ratio(part: float, whole: float) -> float:
    """Return part / whole, -1 where nothing was measured."""
    return part / whole if whole > 0 else -1


class Report:
    """Writes the records of one poll about opened sessions. Within a row they come in the order of the calls."""

    def __init__(
        self, state: LossState, settings_hash: str, emit: Callable[[int, Derived], None], *, concealment: bool
    ) -> None:
        self._table = state.table
        self._settings_hash = settings_hash
        self._emit = emit
        self._concealment = concealment

    def session(self, slot: int, session: Session, cause: Cause, kind: LossReportKind) -> None:
        """Emit the report of channel ALL on the current window, or a FINAL."""
        final = kind is _FINAL
        counts = session.total if final else session.window
        values = _sums(session, final=final) if session.streams else _timeline(session, final=final)
        streams = session.streams.values()
        gaps_ms = [_of(one, final=final).longest_run * _ms(one.frame_samples, session) for one in streams]
        start = session.begin if final else session.window_start
        values |= {
            "codec": _CODECS[session.codec],
            "frames": counts.frames,
            "bytes": counts.payload_bytes,
            "longest_gap_ms": max(_ms(max(counts.longest_gap, session.empty), session), *gaps_ms, 0.0),
            "discarded_ms": _ms(counts.discarded, session),
            "paused_ms": _ms(counts.paused, session),
            "reconnect_ms": _ms(counts.reconnect, session),
            "dropped_ms": _ms(counts.dropped, session),
            "late_ms": _ms(counts.late, session),
            "drift_samples": session.drift if session.stated else None,
            "stalls": counts.stalls,
            "stall_ms": counts.stall_ms,
            "stall_longest_ms": counts.stall_longest_ms,
            "gaps": tuple(_gaps(session.gaps if final else session.window_gaps)),
        }
        if counts.lost or not session.streams:
            values["lost_ms"] = _ms(counts.lost, session)
        measured = session.measured()
        if measured is not None:
            values |= _arrival_values(measured, _of(measured, final=final), lag=not final)
            if session.streams:
                counted = measured.counted() if final else measured.counted().since(measured.window_mark)
                values |= self._loss_values(session, measured, counted, _of(measured, final=final))
        values |= _rates(session, counts.frames, counts.payload_bytes, session.head - start, final=final)
        self._write(slot, session, cause, kind, ALL, values)

    def stream(  # noqa: PLR0913 - whose report it is
        self, slot: int, session: Session, cause: Cause, key: Key, kind: LossReportKind, *, segment: bool = False
    ) -> dict[str, Any]:
        """Emit the report of one stream on the current window, on its segment, or a FINAL on all of it.

        Return the values that are its own.
        """
        stream = session.streams[key]
        final = kind is _FINAL
        now = stream.counted()
        mark = stream.segment_mark if segment else Counted() if final else stream.window_mark
        counted = now.since(mark)
        measures = stream.segment if segment else _of(stream, final=final)
        frame_ms = _ms(stream.frame_samples, session)
        values = _packet_values(counted, now, measures.extent, measures.extent_us, [stream])
        values |= {
            "segment": now.restarts if segment or (not final and not counted.restarts) else -1,
            "codec": _CODECS[stream.codec],
            "frames": counted.frames,
            "bytes": counted.payload_bytes,
            "lost_ms": counted.lost * frame_ms,
            "late_ms": counted.late * frame_ms,
            "longest_gap_ms": measures.longest_run * frame_ms,
            "gaps": tuple(_gaps(() if segment else stream.gaps if final else stream.window_gaps)),
        }
        if segment:
            values |= {"start_samples": stream.start, "lost_signed": counted.expected - counted.received}
        values |= _arrival_values(stream, measures, lag=not final)
        values |= self._loss_values(session, stream, counted, measures)
        media = max(0, counted.audio - counted.duplicates * stream.frame_samples)
        values |= _rates(session, counted.frames, counted.payload_bytes, media, final=final)
        self._write(slot, session, cause, kind, key, values, told=told_key(key, segment=segment))
        return values

    def former(self, slot: int, session: Session, cause: Cause, key: Key) -> None:
        """Emit the CORRECTION of a stream's former segment if packets of it came since it was told."""
        told = session.told.get(former_key(key))
        if told is None:
            return
        former = Former.of_numbers(told)
        if former.frames:
            before = values_of(former.said)
            values = corrected(before, former, _ms(session.streams[key].frame_samples, session))
            names = (name for name in TOLD if before[name] != values[name])
            changes = ", ".join(f"{name} {before[name]} -> {values[name]}" for name in names)
            values["corrects"] = f"{changes}: packets came after the segment had ended"
            session.told[former_key(key)] = Former(former.missing, 0, 0, numbers_of(values)).as_numbers()
            self._write(
                slot, session, cause, LossReportKind.CORRECTION, key, values | {"closed_reason": Reason.RESTART}
            )

    def alarm(  # noqa: PLR0913, PLR0917 - whose alarm it is
        self,
        slot: int,
        session: Session,
        cause: Cause,
        key: Key,
        kind: LossReportKind,
        what: tuple[LossAlarm, float | None, float],
    ) -> None:
        """Emit that an alarm was raised or cleared: (alarm, value or None where an end cleared it, limit)."""
        alarm, value, threshold = what
        codec = session.codec if key == ALL else session.streams[key].codec
        values = {"alarm": alarm, "alarm_value": value, "alarm_threshold": threshold, "codec": _CODECS[codec]}
        self._write(slot, session, cause, kind, key, values)

    def told(self, session: Session, closed: Reason) -> dict[Key, tuple[int, ...]]:
        """Return the numbers of the FINALs of a session and why it ended: a CORRECTION tells what changed of them."""
        values = _sums(session, final=True) if session.streams else _timeline(session, final=True)
        values |= {"frames": session.total.frames, "bytes": session.total.payload_bytes}
        told = {ALL: (*(values.get(name, -1) for name in TOLD), closed.code)}
        own = session.keys()
        for key in own:
            stream = session.streams[key]
            now = stream.counted()
            for segment, counted in ((False, now), (True, now.since(stream.segment_mark))):
                numbers = (counted.frames, counted.payload_bytes, *counted[3:10], closed.code)
                told[told_key(key, segment=segment)] = numbers
        return told

    def _loss_values(self, session: Session, stream: Stream, counted: Counted, measures: Measures) -> dict[str, Any]:
        figures = measures.bursts.figures()
        frame_ms = _ms(stream.frame_samples, session)
        values = {
            "burst_density_ratio": figures.burst_density_ratio,
            "burst_duration_ms": figures.mean_burst_packets * frame_ms if figures.bursts else -1.0,
            "gap_density_ratio": figures.gap_density_ratio,
            "gap_duration_ms": figures.mean_gap_packets * frame_ms if figures.gaps else -1.0,
            "burst_ratio": figures.burst_ratio,
        }
        if counted.expected <= 0:
            return values
        percent = min(counted.given_up, counted.expected) * 100 / counted.expected
        found = quality(stream.codec, percent, figures.burst_ratio, concealment=self._concealment)
        if found is None:
            return values
        return values | {
            "packet_loss_percent": found.packet_loss_percent,
            "burst_ratio": found.burst_ratio,
            "equipment_impairment": found.equipment_impairment,
            "loss_robustness": found.loss_robustness,
            "concealment": found.concealment,
            "r_factor": found.r_factor,
            "mos_lq_est": found.mos_lq_est,
            "quality_in_range": found.in_range,
        }

    def _write(  # noqa: PLR0913, PLR0917 - all a record says
        self,
        slot: int,
        session: Session,
        cause: Cause,
        kind: LossReportKind,
        key: Key,
        values: dict[str, Any],
        told: Key | None = None,
    ) -> None:
        table = self._table
        if kind is _FINAL and (before := session.told.get(key if told is None else told)) is not None:
            changes = _changes(before, values, cause.closed)
            if not changes:
                return
            kind = LossReportKind.CORRECTION
            values["corrects"] = f"{changes}: the session went on after it had been closed as idle"
        info = table.infos[slot]
        shared = {
            "kind": kind,
            "conversation_id": table.conversations[slot],
            "session_id": "-".join(map(bytes.hex, _UUID.unpack(table.ids[slot]))),
            "organisation": None if info is None else info.organisation,
            "queue": None if info is None else info.queue,
            "agent": None if info is None else info.agent,
            "channel": _CHANNELS[key[0]],
            "stream": key[1],
            "source": _SOURCES[session.source],
            "sample_rate_hz": session.rate_hz,
            "anchor_at_us": session.anchor_us,
            "captured_at_us": cause.captured_us,
            "start_samples": session.begin if kind in _FINALS else session.window_start,
            "end_samples": session.head,
            "origin": _HOST_FILLS_IN,
            "settings_hash": self._settings_hash,
            "partial": bool(table.partial[slot]),
            "closed_reason": cause.closed if kind in _FINALS else Reason.UNKNOWN,
        }
        self._emit(cause.row, LossReport(**(shared | values)))


def told_key(key: Key, *, segment: bool) -> Key:
    """Return the key of a FINAL in `Session.told`: of the last segment of a stream, or of all of it."""
    return (key[0] + _SEGMENT, key[1]) if segment else key


def _changes(before: tuple[int, ...], values: dict[str, Any], closed: Reason) -> str:
    *numbers, reason = before
    now = [values.get(name, -1) for name in TOLD]
    items = [*zip(TOLD, numbers, now, strict=True), ("closed_reason", _REASONS[reason].value, closed.value)]
    return ", ".join(f"{name} {old} -> {new}" for name, old, new in items if old != new)


def _of(stream: Stream, *, final: bool) -> Measures:
    return stream.total if final else stream.window


def _timeline(session: Session, *, final: bool) -> dict[str, Any]:
    counts, total = session.total if final else session.window, session.total
    expected, cumulative = counts.audio + counts.missing, total.audio + total.missing
    return {
        "expected": expected,
        "received": counts.audio,
        "unique": counts.audio,
        "lost": counts.missing,
        "loss_ratio": ratio(counts.missing, expected),
        "cumulative_expected": cumulative,
        "cumulative_lost": total.missing,
        "cumulative_loss_ratio": ratio(total.missing, cumulative),
    }


def _sums(session: Session, *, final: bool) -> dict[str, Any]:
    streams = list(session.streams.values())
    now = [stream.counted() for stream in streams]
    each = now if final else [one.since(stream.window_mark) for one, stream in zip(now, streams, strict=True)]
    measures = [_of(stream, final=final) for stream in streams]
    extent, extent_us = max(one.extent for one in measures), max(one.extent_us for one in measures)
    return _packet_values(reduce(Counted.plus, each), reduce(Counted.plus, now), extent, extent_us, streams)


def _packet_values(
    counted: Counted, now: Counted, extent: int, extent_us: int, streams: Iterable[Stream]
) -> dict[str, Any]:
    pending = sum(stream.numbering.pending for stream in streams)
    return {
        "expected": counted.expected,
        "received": counted.received,
        "unique": counted.unique,
        "duplicates": counted.duplicates,
        "reordered": counted.reordered,
        "reorder_extent": extent,
        "reorder_extent_ms": extent_us / 1000 if extent_us >= 0 else -1.0,
        "late": counted.late,
        "lost": counted.lost,
        "lost_signed": now.expected + pending - now.received,
        "loss_ratio": ratio(counted.lost, counted.expected),
        "cumulative_expected": now.expected,
        "cumulative_lost": now.lost,
        "cumulative_loss_ratio": ratio(now.lost, now.expected),
        "restarts": counted.restarts,
    }


def _arrival_values(stream: Stream, measures: Measures, *, lag: bool) -> dict[str, Any]:
    spread, delays = measures.spread, stream.delays
    values = {
        "jitter_ms": jitter_ms(delays.jitter) if spread.jitter_count else -1.0,
        "jitter_mean_ms": spread.jitter_mean_ms,
        "jitter_max_ms": spread.jitter_max_ms,
        "delay_p50_ms": spread.percentile_ms(50),
        "delay_p95_ms": spread.percentile_ms(95),
        "delay_p99_ms": spread.percentile_ms(99),
        "delay_max_ms": spread.most_us / 1000 if spread.most_us >= 0 else -1.0,
    }
    if lag and NONE not in {delays.transit_us, stream.least_us}:
        values["media_lag_ms"] = max(0, delays.transit_us - stream.least_us) / 1000
    return values


def _rates(session: Session, frames: int, payload_bytes: int, media: int, *, final: bool) -> dict[str, float]:
    """Return the numbers per second of arrival time: since the session began, or since the window did."""
    since_us = session.first_us if final else session.window_us
    arrival_s = (session.last_us - since_us) / 1e6 if 0 <= since_us < session.last_us else 0
    return {
        "frames_per_s": ratio(frames, arrival_s),
        "bytes_per_s": ratio(payload_bytes, arrival_s),
        "media_ratio": ratio(media / session.rate_hz, arrival_s),
    }


def _ms(samples: int, session: Session) -> float:
    return samples * 1000 / session.rate_hz


def _gaps(found: Iterable[Gap]) -> Iterable[GapRecord]:
    for reason, start, duration in found:
        estimated = bool(reason & ESTIMATED)
        known = _REASONS[reason & ~ESTIMATED]
        yield GapRecord(reason=known, start_samples=start, duration_samples=duration, estimated=estimated)
