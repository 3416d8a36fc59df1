"""What the loss processor remembers: objects for what changes seldom, columns for what changes with every frame.

`sessions` has a row per slot of the table, `streams` one per numbered stream and per session without numbers, `bins`
the histogram of delays beside it. Between two rows of a poll the columns are the truth: `open` brings them into the
objects, `close` writes them back. Positions and lengths are samples, times microseconds.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from audio.session import SessionTable
from processors.loss.delays import BINS, NONE
from processors.loss.session import Session
from processors.loss.streams import Stream

# Columns of a session. RATE 0: nothing is known of it. ODD 1: its next frame changes more than counts. EDGE: where its
# window ends. ROW: its own row of `streams`.
RATE, HEAD, EDGE, ODD, FRAMES, BYTES, AUDIO, LAST_US, LEAST_US, SEEN_US, AUDIO_MS, CODEC, ROW = range(13)
SESSION_COLUMNS: Final = 13

# Columns of a stream, those of `Stream`, `Numbering` and `Delays` of the same names.
BITS, HIGHEST, SUSPECT, DUE, UNIQUE, S_FRAMES, S_BYTES, S_AUDIO, SAMPLES, S_CODEC = range(10)
CLOCK, STAMP_BITS, STAMP, BASE, TRANSIT, JITTER, JITTER_SUM, JITTER_COUNT, JITTER_MAX, LEAST, MOST = range(10, 21)
STREAM_COLUMNS: Final = 21
_ROWS: Final = 16


class LossState:
    """The state of one partition. `known` has the sessions by slot of the table; ended ones are not in it."""

    def __init__(self, window_s: int, table: SessionTable | None = None) -> None:
        self.table = SessionTable() if table is None else table
        self.window_s = window_s
        self.known: dict[int, Session] = {}
        self.packed: dict[int, bytes] = {}
        """The objects of a session as bytes, as long as they are the same."""
        self.returning: dict[int, bytes] = {}
        """The sessions that may return after their FINAL: slot → id."""
        self.owners: dict[int, Stream] = {}
        """The numbered streams by their rows."""
        self.rows: dict[int, int] = {}
        """Slot, channel and SSRC as one number (`stream_key`) → row of a stream."""
        self.sessions: NDArray[np.int64] = np.zeros((0, SESSION_COLUMNS), np.int64)
        self.streams: NDArray[np.int64] = np.zeros((_ROWS, STREAM_COLUMNS), np.int64)
        self.bins: NDArray[np.int32] = np.zeros((_ROWS, BINS), np.int32)
        self._free = list(range(_ROWS - 1, -1, -1))

    def fit(self) -> None:
        """Give every slot of the table its row."""
        missing = self.table.capacity - len(self.sessions)
        if missing > 0:
            self.sessions = _grown(self.sessions, missing)

    def add(self, slot: int, session: Session) -> None:
        """Begin a session, opened."""
        self.known[slot] = session
        session.arrivals.row = self.take_row()
        self._bind(session.arrivals)

    def add_stream(self, slot: int, session: Session, key: tuple[int, int]) -> Stream:
        """Begin a stream of an opened session."""
        stream = session.streams[key] = Stream(start=session.head)
        self.place(slot, key, stream)
        for part in session.parts():
            self._bind(part)
        return stream

    def place(self, slot: int, key: tuple[int, int], stream: Stream) -> None:
        """Give a stream a row."""
        stream.row = self.take_row()
        self.rows[stream_key(slot, key)] = stream.row
        self.owners[stream.row] = stream

    def drop(self, slot: int) -> None:
        """Forget a session."""
        session = self.known.pop(slot)
        self.packed.pop(slot, None)
        self.returning.pop(slot, None)
        for key in session.streams:
            del self.rows[stream_key(slot, key)]
        for part in session.parts():
            self.streams[part.row] = 0
            self.bins[part.row] = 0
            self.owners.pop(part.row, None)
            self._free.append(part.row)
        self.sessions[slot] = 0

    def forgotten(self) -> list[int]:
        """Return the sessions that were kept in case they return, and no longer can."""
        return sorted(slot for slot, session in self.returning.items() if self.table.slot(session) != slot)

    def open(self, slot: int) -> Session | None:
        """Return a session with all that is true of it now; `close` must follow, or `drop`."""
        session = self.known.get(slot)
        if session is None:
            return None
        self.packed.pop(slot, None)
        self._read(slot, session)
        return session

    def open_stream(self, slot: int, row: int) -> Stream:
        """Return a numbered stream with all that is true of it now; `close_stream` must follow."""
        self.packed.pop(slot, None)
        stream = self.owners[row]
        self._bind(stream)
        _fill(stream, self.streams[row].tolist())
        return stream

    def close_stream(self, stream: Stream) -> None:
        """Write an opened stream back."""
        self._write(stream)

    def close(self, slot: int, session: Session) -> None:
        """Write an opened session back."""
        window, watch = session.window, session.watch
        size = self.window_s * session.rate_hz
        self.sessions[slot] = (
            session.rate_hz,
            session.head,
            (session.head // size + 1) * size,
            session.is_odd,
            window.frames,
            window.payload_bytes,
            window.audio,
            session.last_us,
            NONE if watch.least_us is None else watch.least_us,
            watch.seen_us,
            session.audio_ms,
            session.codec,
            session.arrivals.row,
        )
        if session.arrivals.delays.clock_hz:
            self._write(session.arrivals)
        for stream in session.streams.values():
            self._write(stream)

    def _read(self, slot: int, session: Session) -> None:
        row = self.sessions[slot].tolist()
        window, watch = session.window, session.watch
        _, session.head, _, _, window.frames, window.payload_bytes, window.audio, session.last_us = row[:8]
        watch.least_us = None if row[LEAST_US] == NONE else row[LEAST_US]
        watch.seen_us, session.audio_ms, session.codec = row[SEEN_US], row[AUDIO_MS], row[CODEC]
        self._bind(session.arrivals)
        arrivals = self.streams[session.arrivals.row].tolist()
        if arrivals[CLOCK]:
            _fill(session.arrivals, arrivals)
        for stream in session.streams.values():
            self._bind(stream)
            _fill(stream, self.streams[stream.row].tolist())

    def _bind(self, stream: Stream) -> None:
        stream.delays.bins = self.bins[stream.row]

    def _write(self, stream: Stream) -> None:
        self.streams[stream.row] = numbers_of(stream)

    def take_row(self) -> int:
        """Return a row of `streams` nobody uses."""
        if not self._free:
            size = len(self.streams)
            more = max(64, size)
            self.streams, self.bins = _grown(self.streams, more), _grown(self.bins, more)
            self._free = list(range(size + more - 1, size - 1, -1))
        return self._free.pop()


def stream_key(slot: int, key: tuple[int, int]) -> int:
    """Return what a stream is found by: its slot, channel and SSRC in one number."""
    return (slot << 4 | key[0]) << 34 | key[1] + 1


def numbers_of(stream: Stream) -> tuple[int, ...]:
    """Return the columns of a stream."""
    n, d = stream.numbering, stream.delays
    return (
        n.bits,
        n.highest,
        n.suspect,
        n.due,
        n.unique,
        stream.frames,
        stream.payload_bytes,
        stream.audio,
        stream.frame_samples,
        stream.codec,
        d.clock_hz,
        d.stamp_bits,
        d.stamp,
        d.stamp_base,
        d.transit_us,
        d.jitter,
        d.jitter_sum,
        d.jitter_count,
        d.jitter_max,
        d.least_us,
        d.most_us,
    )


def _fill(stream: Stream, row: list[int]) -> None:
    n, d = stream.numbering, stream.delays
    n.bits, n.highest, n.suspect, n.due, n.unique = row[:5]
    stream.frames, stream.payload_bytes, stream.audio, stream.frame_samples, stream.codec = row[5:10]
    d.clock_hz, d.stamp_bits, d.stamp, d.stamp_base, d.transit_us, d.jitter = row[10:16]
    d.jitter_sum, d.jitter_count, d.jitter_max, d.least_us, d.most_us = row[16:]


def _grown(rows: NDArray[Any], more: int) -> NDArray[Any]:
    more = max(more, 16, len(rows))
    return np.concatenate((rows, np.zeros((more, rows.shape[1]), rows.dtype)))
