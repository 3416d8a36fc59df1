"""What the speech processor remembers: the state of silence, and of each session what waits and its spans of speech."""

import struct
from collections import Counter, deque
from typing import Final

from audio.session import SessionTable
from processors.silence.state import SilenceState
from processors.speech.holding import Held, Lane, Session
from processors.speech.spans import Spans

_COUNTS: Final = struct.Struct("<II")
_SESSION: Final = struct.Struct("<16sqq?BBI")
_LANE: Final = struct.Struct("<qqqq")
_SPAN: Final = struct.Struct("<Bqq")
_HELD: Final = struct.Struct("<??BBqqqqiI")
_FLOOR: Final = struct.Struct("<Bq")


class SpeechState:
    """The state of one partition. `table` is a second reader of what `silence` reads, so it is no part of snapshots.

    `bytes_of` counts the bytes of audio records by what became of them since it was last taken, for metrics alone.
    """

    def __init__(self, silence: SilenceState | None = None) -> None:
        self.silence = SilenceState() if silence is None else silence
        self.table = SessionTable.restore(self.silence.table.snapshot())
        self.sessions: dict[bytes, Session] = {}
        self.bytes_of: Counter[str] = Counter()

    def take_bytes(self) -> Counter[str]:
        """Return the bytes counted since the last call."""
        taken, self.bytes_of = self.bytes_of, Counter()
        return taken

    def snapshot(self, silence: bytes) -> bytes:
        """Return canonical bytes around those of `silence`: equal states give equal bytes."""
        parts = [_COUNTS.pack(len(silence), len(self.sessions)), silence]
        for session_id in sorted(self.sessions):
            _pack(session_id, self.sessions[session_id], parts)
        return b"".join(parts)

    @staticmethod
    def silence_of(content: bytes) -> bytes:
        """Return the snapshot of silence within a snapshot."""
        length, _ = _COUNTS.unpack_from(content)
        return content[_COUNTS.size : _COUNTS.size + length]

    def restore(self, content: bytes) -> None:
        """Take in the sessions of a snapshot. Other bytes raise ValueError or struct.error."""
        length, count = _COUNTS.unpack_from(content)
        reader = _Reader(content, _COUNTS.size + length)
        for _ in range(count):
            session_id, session = _unpack(reader)
            self.sessions[session_id] = session
        if reader.at != len(content):
            message = f"{len(content)} bytes instead of {reader.at}"
            raise ValueError(message)


class _Reader:
    def __init__(self, content: bytes, at: int) -> None:
        self.at = at
        self._content = content

    def numbers(self, form: struct.Struct) -> tuple[int, ...]:
        found = form.unpack_from(self._content, self.at)
        self.at += form.size
        return found

    def text(self, length: int) -> bytes:
        found = self._content[self.at : self.at + length]
        self.at += length
        if len(found) != length:
            message = "a snapshot that is cut short"
            raise ValueError(message)
        return found


def _pack(session_id: bytes, session: Session, parts: list[bytes]) -> None:
    known, floor = session.spans.known, session.spans.floor
    spans = [(channel, *span) for channel in sorted(known) for span in known[channel]]
    parts.append(
        _SESSION.pack(
            session_id,
            session.received_us,
            session.peak_us,
            session.still,
            len(floor),
            len(session.lanes),
            len(spans),
        )
    )
    parts.extend(_FLOOR.pack(*item) for item in sorted(floor.items()))
    parts.extend(_LANE.pack(lane.media, lane.head_us, lane.heard_us, lane.told_us) for lane in session.lanes)
    parts.extend(_SPAN.pack(*span) for span in spans)
    parts.append(_COUNTS.pack(len(session.waiting), 0))
    for held in session.waiting:
        place = (held.start_us, held.end_us, held.heard_us, held.received_us)
        key = b"" if held.key is None else held.key
        length = -1 if held.key is None else len(key)
        parts.append(_HELD.pack(held.audio, held.sure, held.layout, held.lane, *place, length, len(held.value)))
        parts.extend((key, held.value))


def _unpack(reader: _Reader) -> tuple[bytes, Session]:
    session_id, received_us, peak_us, still, floors, lanes, count = reader.numbers(_SESSION)
    spans = Spans()
    for _ in range(floors):
        channel, floor_us = reader.numbers(_FLOOR)
        spans.floor[channel] = floor_us
    session = Session(
        lanes=tuple(Lane(*reader.numbers(_LANE)) for _ in range(lanes)),
        spans=spans,
        received_us=received_us,
        peak_us=peak_us,
        still=bool(still),
    )
    for _ in range(count):
        channel, start_us, end_us = reader.numbers(_SPAN)
        spans.known.setdefault(channel, []).append([start_us, end_us])
    waiting, _ = reader.numbers(_COUNTS)
    session.waiting = deque(_held(reader) for _ in range(waiting))
    return bytes(session_id), session


def _held(reader: _Reader) -> Held:
    audio, sure, layout, lane, start_us, end_us, heard_us, received_us, length, size = reader.numbers(_HELD)
    key = None if length < 0 else reader.text(length)
    value = reader.text(size)
    return Held(key, value, bool(audio), bool(sure), layout, lane, start_us, end_us, heard_us, received_us)
