"""Records of one partition of `calls.audio` → what to write where. Pure: no I/O, no clock.

Nothing here depends on how the partition was polled: the same log gives the same files, sidecars and events.
"""

import json
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from uuid import UUID

import numpy as np

from audio.arrival import ArrivalWatch
from audio.frames import Frames, decode
from audio.session import Identity, SessionTable, Verdict
from audio.stream_time import StreamTime
from audio.timeline import anchor_us
from audio.wav import WavFormat
from runtime.sink import DeadRecord, Plan, SourcePartition, SourceRecord
from schemas.codec import SchemaStore
from schemas.records import Origin
from schemas.symbols import Channels, Codec, FrameKind, Reason, Source
from sinks.recording_sync.entries import Batch, Entry, Fill, Put
from sinks.recording_sync.segment import Segment
from sinks.recording_sync.session import MOST_SEGMENTS, Session
from sinks.recording_sync.sidecar import Closing, describe, file_stem

STATE_VERSION = 1
_KINDS, _REASONS, _CODECS = tuple(FrameKind), tuple(Reason), tuple(Codec)
_CHANNELS, _SOURCES = tuple(Channels), tuple(Source)
_GAPS = (FrameKind.DISCARDED, FrameKind.GAP)


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that shape recordings."""

    stall_ms: int = 200
    longest_s: int = 24 * 3600
    settings_hash: str = ""
    software_version: str = ""


@dataclass(slots=True)
class _Work:
    """One poll while it is planned: its entries so far, runs of audio of the same file joined."""

    records: Sequence[SourceRecord]
    frames: Frames
    entries: list[Entry] = field(default_factory=list)
    open: dict[str, tuple[int, int, list[bytes]]] = field(default_factory=dict)
    causes: Counter[int] = field(default_factory=Counter)

    def add(self, entry: Put | Fill) -> None:
        """Add an entry for a file; bytes that follow the file's last ones are joined to them."""
        run = self.open.get(entry.name)
        if isinstance(entry, Put) and run is not None and run[1] == entry.offset_bytes:
            run[2].append(entry.data)
            self.open[entry.name] = (run[0], run[1] + len(entry.data), run[2])
            return
        self.flush(entry.name)
        if isinstance(entry, Put):
            self.open[entry.name] = (entry.offset_bytes, entry.offset_bytes + len(entry.data), [entry.data])
        else:
            self.entries.append(entry)

    def flush(self, name: str) -> None:
        """End a file's run."""
        run = self.open.pop(name, None)
        if run is not None:
            self.entries.append(Put(name, run[0], b"".join(run[2])))

    def finish(self) -> tuple[Entry, ...]:
        """Return all entries; those of one file stand in order."""
        for name in list(self.open):
            self.flush(name)
        return tuple(self.entries)


class Recorder:
    """Everything that is known of one partition between two polls."""

    def __init__(self, partition: SourcePartition, store: SchemaStore, rules: Rules, state: str | None = None) -> None:
        """Begin, or go on from a snapshot. Raises `ValueError` or `KeyError` for a snapshot that cannot be read."""
        self.tallies: Counter[str] = Counter()
        self._partition = partition
        self._store = store
        self._rules = rules
        self._time = StreamTime()
        self._expired_ms = 0
        self._table = SessionTable()
        self._sessions: dict[bytes, Session] = {}
        if state is not None:
            self._restore(json.loads(state))

    def plan(self, records: Sequence[SourceRecord]) -> Plan[Batch]:
        """Return what consecutive records ask for, and which of them are no frames."""
        frames = decode([record.value for record in records], self._store)
        keys = [record.key for record in records]
        advance = self._time.advance(np.fromiter((record.timestamp for record in records), np.int64, len(records)))
        work = _Work(records, frames)
        cuts = set(advance.cuts)
        edges = [0, *advance.cuts, len(records)]
        for start, stop in pairwise(edges):
            if start in cuts:
                self._expire(work, start, int(advance.stream_ms[start]))
                cuts.discard(start)
            if stop > start:
                identity = self._table.identify(frames.slice(start, stop), keys[start:stop], self._expired_ms)
                self._take(work, start, identity)
        dead = tuple(DeadRecord(records[row].offset, why) for row, why in sorted(frames.errors.items()))
        return Plan((Batch(self._partition.partition, work.finish()),), dead)

    def _take(self, work: _Work, start: int, identity: Identity) -> None:
        verdicts, slots, missing = identity.verdicts.tolist(), identity.slots.tolist(), identity.missing.tolist()
        kinds = work.frames.kind[start : start + len(verdicts)].tolist()
        for index, verdict in enumerate(verdicts):
            if slots[index] < 0:
                continue
            slot, row = slots[index], start + index
            session = self._session(self._table.ids[slot], verdict)
            if session is None:
                continue
            if verdict & Verdict.HOLE:
                session.holes += 1
                session.missing_records += missing[index]
            if not verdict & Verdict.ACCEPTED:
                continue
            kind = _KINDS[kinds[index]]
            if kind is FrameKind.AUDIO:
                self._audio(work, row, slot, session)
            elif kind is FrameKind.CLOSED:
                self._seal(work, row, slot, session, _REASONS[work.frames.reason[row]])
                del self._sessions[self._table.ids[slot]]
            else:
                self._mark(work.frames, row, kind, session)

    def _session(self, session_id: bytes, verdict: int) -> Session | None:
        """Return the session of a row, made anew where the row opens one; None where the row belongs to none."""
        session = self._sessions.get(session_id)
        if verdict & Verdict.REPEAT:
            self.tallies["repeats"] += 1
            if session is not None:
                session.repeats += 1
        if verdict & Verdict.DROPPED:
            self.tallies["after_close"] += 1
        if session is None and verdict & (Verdict.FIRST | Verdict.REOPENED):
            watch = ArrivalWatch(threshold_us=1000 * self._rules.stall_ms)
            session = Session(from_start=bool(verdict & Verdict.FROM_START), watch=watch)
            self._sessions[session_id] = session
        return session

    # --- audio ---------------------------------------------------------------------------------------------------

    def _audio(self, work: _Work, row: int, slot: int, session: Session) -> None:
        frames = work.frames
        if session.paused is not None:
            session.left_out["while_paused"] += 1
            self.tallies["while_paused"] += 1
            return
        form = WavFormat(_CODECS[frames.codec[row]], _CHANNELS[frames.channels[row]], int(frames.sample_rate_hz[row]))
        segment = self._segment(frames, row, session, form)
        if segment is None:
            return
        position, payload = int(frames.position_samples[row]), frames.payload(row)
        samples = len(payload) // form.block_bytes
        refusal = segment.refusal(position, samples, self._rules.longest_s)
        if refusal is not None or samples == 0:
            session.left_out[refusal or "empty"] += 1
            self.tallies["left_out"] += 1
            return
        if len(payload) % form.block_bytes:
            session.left_out["cut_frames"] += 1
        name = file_stem(self._table.ids[slot], segment.suffix)
        for entry in segment.place(name, position, payload):
            work.add(entry)
        captured_us = int(frames.captured_at_us[row])
        if captured_us >= 0:
            stop_us = (position + samples) * 1_000_000 // form.sample_rate_hz
            session.noted(session.watch.frame(position, stop_us, captured_us))

    def _segment(self, frames: Frames, row: int, session: Session, form: WavFormat) -> Segment | None:
        """Return the file a frame belongs to, begun now where there is none for its format."""
        for segment in session.segments:
            if segment.form == form:
                return segment
        if not form.writable or len(session.segments) >= MOST_SEGMENTS:
            session.left_out["unwritable"] += 1
            self.tallies["left_out"] += 1
            return None
        whole = session.from_start and session.segments_begun == 0
        position = int(frames.position_samples[row])
        captured_us = int(frames.captured_at_us[row])
        stop = position + int(frames.payload_bytes[row]) // form.block_bytes
        segment = Segment(
            number=session.segments_begun,
            suffix="" if whole else str(int(frames.sequence[row])),
            form=form,
            base_samples=0 if whole else position,
            anchor_us=anchor_us(captured_us, stop, form.sample_rate_hz),
            numbered=0 < int(frames.source_sequence_bits[row]) < 53,  # noqa: PLR2004 - 53: never wraps, no packets
        )
        session.source = _SOURCES[frames.source[row]]
        session.segments.append(segment)
        session.segments_begun += 1
        return segment

    # --- marks ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _mark(frames: Frames, row: int, kind: FrameKind, session: Session) -> None:
        position, duration = int(frames.position_samples[row]), int(frames.duration_samples[row])
        rate, reason = int(frames.sample_rate_hz[row]), _REASONS[frames.reason[row]]
        if kind is FrameKind.PAUSED:
            session.pause(position, rate, reason)
        elif kind is FrameKind.RESUMED:
            session.resume(position, duration, rate, reason)
        elif kind in _GAPS:
            session.mark(position, duration, rate, reason)
            if reason is Reason.RECONNECT:
                session.noted(session.watch.restart())

    # --- the end -------------------------------------------------------------------------------------------------

    def _expire(self, work: _Work, row: int, stream_ms: int) -> None:
        self._expired_ms = stream_ms
        before = len(self._table)
        for slot in self._table.expire(stream_ms):
            session = self._sessions.get(self._table.ids[slot])
            if session is not None:
                self._seal(work, row, slot, session, Reason.IDLE)
        if len(self._table) < before:
            self._sessions = {key: kept for key, kept in self._sessions.items() if self._table.slot(key) is not None}

    def _seal(self, work: _Work, row: int, slot: int, session: Session, reason: Reason) -> None:
        """Seal the session's files. One closed as idle keeps its pause and its count, in case it comes back."""
        session.noted(session.watch.restart())
        if session.paused is not None:
            session.marks.append(session.paused)
        record = work.records[row]
        for segment in session.segments:
            if segment.frames == 0:
                continue
            closing = Closing(
                reason=reason,
                origin=Origin(
                    topic=self._partition.topic,
                    partition=self._partition.partition,
                    offset=record.offset,
                    index=work.causes[record.offset],
                ),
                timestamp_ms=record.timestamp,
                captured_at_us=int(work.frames.captured_at_us[row]),
                session_id=self._table.ids[slot],
                conversation_id=self._table.conversations[slot],
                info=self._table.infos[slot],
                partial=bool(self._table.partial[slot]),
                longest_s=self._rules.longest_s,
                settings_hash=self._rules.settings_hash,
                software_version=self._rules.software_version,
            )
            work.causes[record.offset] += 1
            seal = describe(segment, session, closing)
            for fill in segment.extend(seal.name, segment.base_samples + seal.samples):
                work.add(fill)
            work.flush(seal.name)
            work.entries.append(seal)
        session.segments, session.marks, session.stalls = [], [], []
        session.from_start = False

    # --- state ---------------------------------------------------------------------------------------------------

    def files(self) -> Mapping[str, int]:
        """Return the work files of the open sessions and how many bytes each must hold."""
        return dict(self._files())

    def _files(self) -> Iterator[tuple[str, int]]:
        for session_id, session in self._sessions.items():
            for segment in session.segments:
                if segment.frames == 0:
                    continue
                yield file_stem(session_id, segment.suffix), segment.least_file_bytes

    def snapshot(self) -> str:
        """Return the state as canonical JSON."""
        state = {
            "version": STATE_VERSION,
            "max_timestamp_ms": self._time.max_timestamp_ms,
            "stream_ms": self._time.now_ms,
            "expired_ms": self._expired_ms,
            "table": b64encode(self._table.snapshot()).decode(),
            "sessions": {str(UUID(bytes=key)): session.to_json() for key, session in self._sessions.items()},
        }
        return json.dumps(state, sort_keys=True, separators=(",", ":"))

    def _restore(self, state: Mapping[str, Any]) -> None:
        if state["version"] != STATE_VERSION:
            message = f"state of version {state['version']}, this release reads {STATE_VERSION}"
            raise ValueError(message)
        self._time = StreamTime(state["max_timestamp_ms"], state["stream_ms"])
        self._expired_ms = state["expired_ms"]
        self._table = SessionTable.restore(b64decode(state["table"]))
        self._sessions = {UUID(key).bytes: Session.from_json(kept) for key, kept in state["sessions"].items()}
