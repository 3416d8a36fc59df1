"""What was counted → LossReport records, with everything derived records repeat about their session."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from processors.loss.state import ALL, Gap, LossState, Session, Stream
from schemas.records import Derived, LossReport, Origin
from schemas.records import Gap as GapRecord
from schemas.symbols import Channel, Codec, LossAlarm, LossReportKind, Reason, Source
from schemas.topics import AUDIO

EXPIRED: Final = -1
"""The row of what no row of the poll caused."""
_HOST_FILLS_IN: Final = Origin(topic=AUDIO.name, partition=-1, offset=-1, index=-1)
_CHANNELS, _CODECS, _REASONS, _SOURCES = tuple(Channel), tuple(Codec), tuple(Reason), tuple(Source)


@dataclass(frozen=True, slots=True)
class Cause:
    """The row that causes an output, `EXPIRED` where none does, and when it was captured, -1 when not known."""

    row: int
    captured_us: int = -1


@dataclass(frozen=True, slots=True)
class Packets:
    """What is told by numbers, of a window or of the whole session."""

    expected: int
    received: int
    unique: int
    duplicates: int
    reordered: int
    lost: int
    restarts: int


def packets_of(stream: Stream, *, final: bool) -> Packets:
    """Return a stream's counts: of the current window, or `final` of all its time."""
    now = stream.numbering
    if final:
        counts = (now.expected, now.received, now.unique, now.duplicates, now.reordered, now.lost, now.restarts)
        return Packets(*counts)
    expected, unique = now.expected - stream.before_expected, now.unique - stream.before_unique
    return Packets(
        expected,
        now.received - stream.before_received,
        unique,
        now.duplicates - stream.before_duplicates,
        now.reordered - stream.before_reordered,
        max(0, expected - unique),
        now.restarts - stream.before_restarts,
    )


def ratio(part: float, whole: float) -> float:
    """Return part / whole, -1 where nothing was measured."""
    return part / whole if whole > 0 else -1


class Report:
    """Writes the records of one poll. Within a row they come in the order of the calls."""

    def __init__(self, state: LossState, settings_hash: str, emit: Callable[[int, Derived], None]) -> None:
        self._state = state
        self._settings_hash = settings_hash
        self._emit = emit

    def session(self, slot: int, cause: Cause, kind: LossReportKind) -> float:
        """Emit the report of channel ALL on the current window, or a FINAL; return its loss ratio."""
        session = self._state.sessions[slot]
        final = kind is LossReportKind.FINAL
        counts = session.total if final else session.window
        values = _sums(session, final=final) if session.streams else _timeline(session, final=final)
        start = session.begin if final else session.window_start
        values |= {
            "codec": _CODECS[session.codec],
            "frames": counts.frames,
            "bytes": counts.payload_bytes,
            "longest_gap_ms": _ms(max(counts.longest_gap, session.empty), session),
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
        values |= _rates(session, counts.frames, counts.payload_bytes, session.head - start, final=final)
        return self._write(slot, cause, kind, ALL, values)

    def stream(self, slot: int, cause: Cause, kind: LossReportKind, key: tuple[int, int]) -> float:
        """Emit the report of one stream on the current window, or a FINAL; return its loss ratio."""
        session = self._state.sessions[slot]
        stream = session.streams[key]
        final = kind is LossReportKind.FINAL
        packets = packets_of(stream, final=final)
        frames = stream.frames - (0 if final else stream.before_frames)
        payload_bytes = stream.payload_bytes - (0 if final else stream.before_bytes)
        audio = stream.audio - (0 if final else stream.before_audio)
        values = _packet_values(packets, [stream])
        values |= {
            "codec": _CODECS[stream.codec],
            "frames": frames,
            "bytes": payload_bytes,
            "lost_ms": _ms(packets.lost * stream.frame_samples, session),
        }
        values |= _rates(session, frames, payload_bytes, audio, final=final)
        return self._write(slot, cause, kind, key, values)

    def alarm(
        self, slot: int, cause: Cause, key: tuple[int, int], kind: LossReportKind, what: tuple[LossAlarm, Any, float]
    ) -> None:
        """Emit that an alarm was raised or cleared: (alarm, value or None where the session's end cleared it, limit).

        The value is a window's loss ratio, or how many ms audio came late: so far when raised, at most when cleared.
        """
        session = self._state.sessions[slot]
        alarm, value, threshold = what
        codec = session.codec if key == ALL else session.streams[key].codec
        values = {"alarm": alarm, "alarm_value": value, "alarm_threshold": threshold, "codec": _CODECS[codec]}
        self._write(slot, cause, kind, key, values)

    def _write(
        self, slot: int, cause: Cause, kind: LossReportKind, key: tuple[int, int], values: dict[str, Any]
    ) -> float:
        session, table = self._state.sessions[slot], self._state.table
        info = table.infos[slot]
        record = LossReport(
            kind=kind,
            conversation_id=table.conversations[slot],
            session_id=str(UUID(bytes=table.ids[slot])),
            organisation=None if info is None else info.organisation,
            queue=None if info is None else info.queue,
            agent=None if info is None else info.agent,
            channel=_CHANNELS[key[0]],
            stream=key[1],
            source=_SOURCES[session.source],
            sample_rate_hz=session.rate_hz,
            anchor_at_us=session.anchor_us,
            captured_at_us=cause.captured_us,
            start_samples=session.begin if kind is LossReportKind.FINAL else session.window_start,
            end_samples=session.head,
            origin=_HOST_FILLS_IN,
            settings_hash=self._settings_hash,
            partial=bool(table.partial[slot]),
            **values,
        )
        self._emit(cause.row, record)
        return record.loss_ratio


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
    each = [packets_of(stream, final=final) for stream in streams]
    packets = Packets(*(sum(getattr(one, name) for one in each) for name in Packets.__slots__))
    return _packet_values(packets, streams)


def _packet_values(packets: Packets, streams: Iterable[Stream]) -> dict[str, Any]:
    numberings = [stream.numbering for stream in streams]
    expected, lost = sum(one.expected for one in numberings), sum(one.lost for one in numberings)
    return {
        "expected": packets.expected,
        "received": packets.received,
        "unique": packets.unique,
        "duplicates": packets.duplicates,
        "reordered": packets.reordered,
        "reorder_extent": max(one.extent for one in numberings),
        "lost": packets.lost,
        "lost_signed": expected - sum(one.received for one in numberings),
        "loss_ratio": ratio(packets.lost, packets.expected),
        "cumulative_expected": expected,
        "cumulative_lost": lost,
        "cumulative_loss_ratio": ratio(lost, expected),
        "restarts": packets.restarts,
    }


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
        yield GapRecord(reason=_REASONS[reason], start_samples=start, duration_samples=duration)
