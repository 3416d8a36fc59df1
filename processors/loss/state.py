"""What the loss processor remembers of each session and of each numbered stream in it.

Positions and lengths are samples, times microseconds. A snapshot is canonical: sessions by id, streams by channel and
SSRC, every number as an Avro long.
"""

import dataclasses
import io
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from audio.arrival import ArrivalWatch
from audio.session import SessionTable
from processors.loss.numbering import Numbering
from runtime.errors import StateCorrupted
from schemas.symbols import Channel

ALL: Final = (Channel.ALL.code, -1)
"""The stream key of what is about the whole session."""

Gap = tuple[int, int, int]
"""Reason code, start, duration (-1: not knowable)."""


@dataclass(slots=True)
class Counts:
    """What was counted in a window or in the whole session: samples by what became of them, records, stalls."""

    frames: int = 0
    payload_bytes: int = 0
    audio: int = 0
    lost: int = 0
    discarded: int = 0
    paused: int = 0
    reconnect: int = 0
    dropped: int = 0
    late: int = 0
    stalls: int = 0
    stall_ms: int = 0
    stall_longest_ms: int = 0
    longest_gap: int = 0

    @property
    def missing(self) -> int:
        """Samples of the timeline that did not come though they were expected."""
        return self.lost + self.discarded + self.reconnect + self.dropped + self.late

    def add(self, other: "Counts") -> None:
        """Add a window."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _LARGEST:
            setattr(self, name, max(getattr(self, name), getattr(other, name)))


_LARGEST: Final = ("stall_longest_ms", "longest_gap")
_SUMS: Final = tuple(field.name for field in dataclasses.fields(Counts) if field.name not in _LARGEST)


@dataclass(slots=True)
class Stream:
    """A numbered stream. `before_*` are its counts where the current window began."""

    frames: int = 0
    payload_bytes: int = 0
    audio: int = 0
    frame_samples: int = 0
    codec: int = 0
    loss_alarm: int = 0
    before_frames: int = 0
    before_bytes: int = 0
    before_audio: int = 0
    before_expected: int = 0
    before_received: int = 0
    before_unique: int = 0
    before_duplicates: int = 0
    before_reordered: int = 0
    before_restarts: int = 0
    numbering: Numbering = field(default_factory=Numbering)

    def begin_window(self) -> None:
        """Let a window begin here."""
        numbering = self.numbering
        self.before_frames, self.before_bytes, self.before_audio = self.frames, self.payload_bytes, self.audio
        self.before_expected, self.before_received = numbering.expected, numbering.received
        self.before_unique, self.before_duplicates = numbering.unique, numbering.duplicates
        self.before_reordered, self.before_restarts = numbering.reordered, numbering.restarts


@dataclass(slots=True)
class Session:
    """One session.

    `head` is the end of its timeline, `window_start` where the window began, `empty` how long there has been no audio;
    `cause` the reason of a missing stretch whose length is not known yet, `paused` 1 while no audio is expected.
    `drift` means something if `stated` is 1. Arrival times are -1 when not known. The alarms are 1 while raised.
    """

    rate_hz: int
    head: int
    begin: int
    window_start: int
    source: int = 0
    codec: int = 0
    anchor_us: int = -1
    first_us: int = -1
    window_us: int = -1
    last_us: int = -1
    paused: int = 0
    cause: int = 0
    empty: int = 0
    stated: int = 0
    drift: int = 0
    loss_alarm: int = 0
    stall_alarm: int = 0
    watch: ArrivalWatch = field(default_factory=ArrivalWatch)
    window: Counts = field(default_factory=Counts)
    total: Counts = field(default_factory=Counts)
    window_gaps: list[Gap] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    streams: dict[tuple[int, int], Stream] = field(default_factory=dict)
    """By channel code and SSRC."""


class LossState:
    """The state of one partition. `sessions` are by slot of the table; closed ones are not in it."""

    def __init__(self, table: SessionTable | None = None) -> None:
        self.table = SessionTable() if table is None else table
        self.sessions: dict[int, Session] = {}

    def snapshot(self) -> bytes:
        """Return canonical bytes: equal states give equal bytes, whatever slots they use."""
        table = self.table.snapshot()
        found = [self.sessions.get(slot) for slot in self.table.in_order()]
        out = io.BytesIO()
        schemaless_writer(out, _SESSIONS, [None if session is None else _datum(session) for session in found])
        return b"".join((_HEAD.pack(len(table)), table, out.getvalue()))

    @classmethod
    def restore(cls, snapshot: bytes) -> "LossState":
        """Return the state a snapshot was taken of. Raises `StateCorrupted` when it cannot be read."""
        try:
            (length,) = _HEAD.unpack_from(snapshot)
            state = cls(SessionTable.restore(snapshot[_HEAD.size : _HEAD.size + length]))
            rest = io.BytesIO(snapshot[_HEAD.size + length :])
            found: Any = schemaless_reader(rest, _SESSIONS, None)
            for slot, datum in zip(state.table.in_order(), found, strict=True):
                if datum is not None:
                    state.sessions[slot] = _session(datum)
        except Exception as error:  # damaged bytes make the readers raise many kinds
            message = f"the loss state cannot be read: {type(error).__name__}"
            raise StateCorrupted(message) from error
        if rest.read():
            message = "the loss state has more bytes than it should"
            raise StateCorrupted(message)
        return state


def _names(kind: type[Any], *left_out: str) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind) if field.name not in left_out)


_SESSION: Final = _names(Session, "watch", "window", "total", "window_gaps", "gaps", "streams")
_WATCH: Final = _names(ArrivalWatch, "least_us")
_COUNTS: Final = _names(Counts)
_STREAM: Final = _names(Stream, "numbering")
_NUMBERING: Final = _names(Numbering, "missing")

_session_numbers: Final = attrgetter(*_SESSION)
_watch_numbers: Final = attrgetter(*_WATCH)
_counts_numbers: Final = attrgetter(*_COUNTS)
_stream_numbers: Final = attrgetter(*_STREAM)
_numbering_numbers: Final = attrgetter(*_NUMBERING)

_LONGS: Final = {"type": "array", "items": "long"}


def _record(name: str, fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": name, "type": kind} for name, kind in fields]}


_STREAMS: Final = _record("Stream", [("key", _LONGS), ("numbers", _LONGS), ("numbering", _LONGS), ("missing", "bytes")])
_SESSIONS: Final = parse_schema(
    {
        "type": "array",
        "items": [
            "null",
            _record(
                "Session",
                [
                    ("numbers", _LONGS),
                    ("watch", _LONGS),
                    ("least_us", ["null", "long"]),
                    ("window", _LONGS),
                    ("total", _LONGS),
                    ("window_gaps", _LONGS),
                    ("gaps", _LONGS),
                    ("streams", {"type": "array", "items": _STREAMS}),
                ],
            ),
        ],
    }
)
_HEAD: Final = struct.Struct("<I")


def _datum(session: Session) -> dict[str, Any]:
    return {
        "numbers": _session_numbers(session),
        "watch": _watch_numbers(session.watch),
        "least_us": session.watch.least_us,
        "window": _counts_numbers(session.window),
        "total": _counts_numbers(session.total),
        "window_gaps": [number for gap in session.window_gaps for number in gap],
        "gaps": [number for gap in session.gaps for number in gap],
        "streams": [
            {
                "key": key,
                "numbers": _stream_numbers(stream),
                "numbering": _numbering_numbers(stream.numbering),
                "missing": _bytes(stream.numbering.missing),
            }
            for key, stream in sorted(session.streams.items())
        ],
    }


def _bytes(bits: int) -> bytes:
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def _session(datum: dict[str, Any]) -> Session:
    session: Session = _filled(Session, _SESSION, datum["numbers"])
    session.watch = _filled(ArrivalWatch, _WATCH, datum["watch"])
    session.watch.least_us = datum["least_us"]
    session.window = _filled(Counts, _COUNTS, datum["window"])
    session.total = _filled(Counts, _COUNTS, datum["total"])
    session.window_gaps, session.gaps = _gaps(datum["window_gaps"]), _gaps(datum["gaps"])
    for found in datum["streams"]:
        channel, ssrc = found["key"]
        stream = session.streams[channel, ssrc] = _filled(Stream, _STREAM, found["numbers"])
        stream.numbering = _filled(Numbering, _NUMBERING, found["numbering"])
        stream.numbering.missing = int.from_bytes(found["missing"], "little")
    return session


def _filled(kind: Callable[..., Any], names: tuple[str, ...], numbers: list[int]) -> Any:
    return kind(**dict(zip(names, numbers, strict=True)))


def _gaps(numbers: list[int]) -> list[Gap]:
    return list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True))
