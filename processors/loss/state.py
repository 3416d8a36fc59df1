"""What the loss processor remembers: objects for what changes seldom, columns for what changes with every frame.

`sessions` has a place per slot of the table, `streams` one per numbered stream and per session without numbers, `bins`
the histogram of delays beside it. Both are arrays of columns, so a column is one stretch of memory. Between two rows of
a poll the columns are the truth: `open` brings them into the objects, `close` writes them back. Positions and lengths
are samples, times microseconds.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from audio.session import SessionTable
from processors.loss import columns
from processors.loss.delays import BINS, NONE
from processors.loss.rows import stream_key
from processors.loss.session import Session
from processors.loss.streams import Stream

_ROWS: Final = 16
SCRATCH: Final = 0
"""A row of `streams` nobody has; the last place of `sessions` is another one."""


class LossState:
    """The state of one partition. `known` has the sessions by slot of the table; ended ones are not in it."""

    def __init__(self, window_s: int, table: SessionTable | None = None) -> None:
        self.table = SessionTable() if table is None else table
        self.window_s = window_s
        self.known: dict[int, Session] = {}
        self.packed: dict[int, bytes] = {}
        """The objects of a session as bytes without their columns, as long as they are the same."""
        self.returning: dict[int, bytes] = {}
        """The sessions that may return after their FINAL: slot → id."""
        self.owners: dict[int, Stream] = {}
        """The streams by their rows."""
        self.rows: dict[tuple[int, int], int] = {}
        """Slot and `stream_key` → row of a numbered stream."""
        self.sessions: NDArray[np.int64] = np.zeros((columns.SESSION_COLUMNS, 0), np.int64)
        self.streams: NDArray[np.int64] = np.zeros((len(columns.STREAM), _ROWS), np.int64)
        self.bins: NDArray[np.int32] = np.zeros((_ROWS, BINS), np.int32)
        self._free = list(range(_ROWS - 1, SCRATCH, -1))

    def fit(self) -> None:
        """Give every slot of the table its place, and nobody the last one."""
        missing = self.table.capacity + 1 - self.sessions.shape[1]
        if missing > 0:
            self.sessions = _wider(self.sessions, missing)

    def add(self, slot: int, session: Session) -> None:
        """Begin a session, opened."""
        self.known[slot] = session
        row = session.arrivals.row = self.take_row()
        self.owners[row] = session.arrivals
        self.sessions[columns.ROW, slot] = row
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
        row = stream.row = self.take_row()
        name = stream_key(*key)
        self.rows[slot, name] = row
        self.owners[row] = stream
        lane = key[0] & 1
        self.sessions[columns.KEY + lane, slot] = name
        self.sessions[columns.PLACE + lane, slot] = row

    def drop(self, slot: int) -> None:
        """Forget a session."""
        session = self.known.pop(slot)
        self.packed.pop(slot, None)
        self.returning.pop(slot, None)
        for key in session.streams:
            del self.rows[slot, stream_key(*key)]
        for part in session.parts():
            self.streams[:, part.row] = 0
            self.bins[part.row] = 0
            del self.owners[part.row]
            self._free.append(part.row)
        self.sessions[:, slot] = 0

    def forgotten(self) -> list[int]:
        """Return the sessions that were kept in case they return, and no longer can."""
        return sorted(slot for slot, session in self.returning.items() if self.table.slot(session) != slot)

    def open(self, slot: int) -> Session | None:
        """Return a session with all that is true of it now; `close` must follow, or `drop`."""
        session = self.known.get(slot)
        if session is None:
            return None
        self.packed.pop(slot, None)
        self.read(slot, session)
        return session

    def open_stream(self, slot: int, row: int) -> Stream:
        """Return a numbered stream with all that is true of it now; `close_stream` must follow."""
        self.packed.pop(slot, None)
        stream = self.owners[row]
        self._bind(stream)
        _fill(stream, self.streams[:, row].tolist())
        return stream

    def close_stream(self, stream: Stream) -> None:
        """Write an opened stream back."""
        self.streams[:, stream.row] = columns.STREAM.numbers(stream)

    def close(self, slot: int, session: Session) -> None:
        """Write an opened session back."""
        watch = session.watch
        least_us, watch.least_us = watch.least_us, NONE if watch.least_us is None else watch.least_us
        size = self.window_s * session.rate_hz
        edge = (session.head // size + 1) * size
        numbers = columns.SESSION.numbers(session)
        watch.least_us = least_us
        self.sessions[: columns.ROW, slot] = (*numbers, session.is_odd, edge)
        if session.arrivals.delays.clock_hz:
            self.close_stream(session.arrivals)
        for stream in session.streams.values():
            self.close_stream(stream)

    def read(self, slot: int, session: Session) -> None:
        """Bring the columns into the objects of a session."""
        window, watch = session.window, session.watch
        session.rate_hz, session.head, session.audio_ms, session.codec, session.last_us, least_us, *row = self.sessions[
            : columns.ODD, slot
        ].tolist()
        watch.least_us = None if least_us == NONE else least_us
        watch.seen_us, window.frames, window.payload_bytes, window.audio = row
        for part in session.parts():
            self._bind(part)
            numbers = self.streams[:, part.row].tolist()
            if numbers[columns.CLOCK]:
                _fill(part, numbers)

    def _bind(self, stream: Stream) -> None:
        stream.delays.bins = self.bins[stream.row]

    def take_row(self) -> int:
        """Return a row of `streams` nobody uses."""
        if not self._free:
            size = len(self.bins)
            more = max(64, size)
            self.streams = _wider(self.streams, more)
            self.bins = np.concatenate((self.bins, np.zeros((more, BINS), np.int32)))
            self._free = list(range(size + more - 1, size - 1, -1))
        return self._free.pop()


def _fill(stream: Stream, row: list[int]) -> None:
    """Set the columns of a stream, in the order of `columns.STREAM`."""
    n, d = stream.numbering, stream.delays
    stream.frames, stream.payload_bytes, stream.audio, stream.frame_samples, stream.codec = row[:5]
    n.bits, n.base, n.highest, n.suspect, n.due, n.unique, n.reorder, n.decided = row[5:13]
    n.earlier, n.copies, n.reordered, n.late, n.given_up, n.extent, n.restarts = row[13:20]
    d.clock_hz, d.stamp_bits, d.stamp, d.stamp_base, d.transit_us, d.jitter = row[20:26]
    d.jitter_sum, d.jitter_count, d.jitter_max, d.least_us, d.most_us = row[26:31]
    one, two, three = stream.window, stream.segment, stream.total
    one.extent, one.extent_us, two.extent, two.extent_us, three.extent, three.extent_us = row[31:]


def _wider(rows: NDArray[Any], more: int) -> NDArray[Any]:
    more = max(more, 16, rows.shape[1])
    return np.concatenate((rows, np.zeros((len(rows), more), rows.dtype)), axis=1)
