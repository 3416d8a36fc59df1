"""The description beside a recording, and the record that announces it. Pure and free of anything personal."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from audio.arrival import Stall
from audio.timeline import end_of, gaps
from audio.wav import MEDIA_TYPE
from schemas.records import Gap, Origin, RecordingEvent, SessionInfo
from schemas.symbols import Channel, Reason, RecordingEventKind
from sinks.recording_sync.entries import Seal
from sinks.recording_sync.segment import Segment
from sinks.recording_sync.session import Session

FORMAT = "callstream.recording/1"
_REASONS: Mapping[Reason, str] = {
    Reason.UNKNOWN: "unmarked",
    Reason.SECURE_PAUSE: "paused_pci",
    Reason.OWN_PAUSE: "paused",
    Reason.LOST_IN_NETWORK: "lost",
}
"""How the sidecar names reasons; all others by their symbol in lower case."""


@dataclass(frozen=True, slots=True)
class Closing:
    """The end of a session: why, by which record, and what is known of the session then."""

    reason: Reason
    origin: Origin
    timestamp_ms: int
    captured_at_us: int
    session_id: bytes
    conversation_id: str
    info: SessionInfo | None
    partial: bool
    longest_s: int
    settings_hash: str
    software_version: str


def recording_id(session_id: bytes) -> str:
    """Return the id of a session's recording: it says nothing, and is the same however often it is made."""
    return hashlib.sha256(b"recording:" + session_id).hexdigest()[:32]


def describe(segment: Segment, session: Session, closing: Closing) -> Seal:
    """Return how to seal one file of a session."""
    rate = segment.form.sample_rate_hz
    marks = session.missing(rate, segment.base_samples)
    stop = min(end_of(segment.coverage, marks, segment.base_samples), segment.furthest_samples(closing.longest_s))
    unmarked = Reason.LOST_IN_NETWORK if segment.numbered else Reason.UNKNOWN
    found = gaps(
        segment.coverage.holes(segment.base_samples, stop), [mark for mark in marks if mark.start <= stop], unmarked
    )
    stem = f"{_folder(segment.anchor_us)}/{file_stem(closing.session_id, segment.suffix)}"
    event = replace(_event(segment, closing, stem), source=session.source, end_samples=stop, gaps=found)
    sidecar = {
        "format": FORMAT,
        "recording_id": event.recording_id,
        "segment": segment.number,
        "conversation_id": event.conversation_id,
        "session_id": event.session_id,
        "organisation": event.organisation,
        "queue": event.queue,
        "source": event.source.lower(),
        "source_name": "" if closing.info is None else closing.info.source_name,
        "codec": segment.form.codec,
        "channels": list(segment.form.channel_names),
        "sample_rate_hz": rate,
        "anchor_utc": _utc(segment.anchor_us),
        "anchor_at_us": segment.anchor_us,
        "start_samples": segment.base_samples,
        "end_samples": stop,
        "duration_s": (stop - segment.base_samples) / rate,
        "closed_reason": closing.reason.lower(),
        "partial": closing.partial,
        "gaps": [_gap(gap, rate) for gap in found],
        "stalls": [_stall(stall, rate) for stall in session.stalls if _within(stall, segment, stop)],
        "frames": segment.frames,
        "payload_bytes": segment.payload_bytes,
        "rewritten_samples": segment.rewritten_samples,
        "log": {"repeats": session.repeats, "holes": session.holes, "missing_records": session.missing_records},
        "left_out": dict(sorted(session.left_out.items())),
        "origin": {name: getattr(closing.origin, name) for name in ("topic", "partition", "offset")},
        "settings_hash": closing.settings_hash,
        "software_version": closing.software_version,
    }
    return Seal(
        name=file_stem(closing.session_id, segment.suffix),
        form=segment.form,
        samples=stop - segment.base_samples,
        location=event.location,
        sidecar_location=f"{stem}.json",
        sidecar=sidecar,
        event=event,
        partition=closing.origin.partition,
        timestamp_ms=closing.timestamp_ms,
    )


def file_stem(session_id: bytes, suffix: str) -> str:
    """Return the name of a session's file, without folder and extension."""
    return f"{UUID(bytes=session_id)}-{suffix}" if suffix else str(UUID(bytes=session_id))


def _event(segment: Segment, closing: Closing, stem: str) -> RecordingEvent:
    kind = RecordingEventKind.SEGMENT_SEALED
    recording = recording_id(closing.session_id)
    identity = f"{kind}/{recording}/{segment.number}/{segment.base_samples}"
    info = closing.info
    return RecordingEvent(
        kind=kind,
        event_id=hashlib.sha256(identity.encode()).hexdigest(),
        conversation_id=closing.conversation_id,
        session_id=str(UUID(bytes=closing.session_id)),
        organisation=None if info is None else info.organisation,
        queue=None if info is None else info.queue,
        agent=None if info is None else info.agent,
        channel=Channel.ALL,
        sample_rate_hz=segment.form.sample_rate_hz,
        anchor_at_us=segment.anchor_us,
        captured_at_us=closing.captured_at_us,
        recording_id=recording,
        segment=segment.number,
        location=f"{stem}.wav",
        sidecar_location=f"{stem}.json",
        media_type=MEDIA_TYPE,
        codec=segment.form.codec,
        channels=segment.form.channels,
        start_samples=segment.base_samples,
        closed_reason=closing.reason,
        origin=closing.origin,
        settings_hash=closing.settings_hash,
        partial=closing.partial,
    )


def _gap(gap: Gap, rate: int) -> dict[str, Any]:
    return {
        "reason": _REASONS.get(gap.reason, gap.reason.lower()),
        "start_samples": gap.start_samples,
        "duration_samples": gap.duration_samples,
        "start_s": gap.start_samples / rate,
        "duration_s": gap.duration_samples / rate if gap.duration_samples >= 0 else None,
    }


def _stall(stall: Stall, rate: int) -> dict[str, Any]:
    return {
        "position_samples": stall.position_samples,
        "position_s": stall.position_samples / rate,
        "delay_ms": stall.delay_ms,
        "recovered": stall.recovered,
        "missing_samples": 0,
    }


def _within(stall: Stall, segment: Segment, stop: int) -> bool:
    return segment.base_samples <= stall.position_samples < stop


def _utc(at_us: int) -> str | None:
    if at_us < 0:
        return None
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _folder(at_us: int) -> str:
    return datetime.fromtimestamp(max(0, at_us) / 1e6, UTC).strftime("%Y/%m/%d")
