"""Which record of a session is new, repeated or behind a hole, and when a session is over.

One function for every consumer: `SessionTable.identify`. A sequence number at or below the last one is a repeat; one
beyond last + 1 lies behind a hole in the log; any first record opens a session. A new record of a session closed by
IDLE reopens it, after any other CLOSED it is dropped. An entry stays for 15 minutes of stream time after its CLOSED; a
session without records for as long has lost its ingest and is closed, reason IDLE.

Sessions live in slots: small numbers that index the columns of this table and those a processor keeps beside it. Slots
are reused; nothing that is written may depend on their order.
"""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag

import numpy as np
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from numpy.typing import NDArray

from audio.frames import SESSION_BYTES, Frames
from schemas.codec import as_datum, from_datum
from schemas.records import SessionInfo
from schemas.symbols import FrameKind, Reason
from schemas.versions import newest

IDLE_MS = 15 * 60 * 1000
"""Stream time after which a session without records is closed, and an entry is dropped after CLOSED."""

_TICK, _CLOSED = FrameKind.TICK.code, FrameKind.CLOSED.code
_IDLE = Reason.IDLE.code
_OPEN = -1
_NEW = -2


class Verdict(IntFlag):
    """What `identify` says of a row. Rows without ACCEPTED must not count in any output."""

    NONE = 0
    ACCEPTED = 1
    FIRST = 2
    """The row opened the session's entry; with FROM_START it is the session's first record."""
    FROM_START = 4
    HOLE = 8
    """Records between the last one and this one are missing in the log."""
    REPEAT = 16
    DROPPED = 32
    """The session was closed before."""
    REOPENED = 64
    DEAD = 128
    """The row is a dead letter: it moved the session on, its content must not be used."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What is said of each row of a poll.

    Its session's slot (-1 on TICK and unreadable rows), its verdict (bits of `Verdict`), and how many records are
    missing in front of it.
    """

    slots: NDArray[np.int64]
    verdicts: NDArray[np.uint8]
    missing: NDArray[np.int64]


def by_slot(slots: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the order that groups rows by their slots (≥ 0), in each slot as they came."""
    if len(slots) and int(slots.max()) <= np.iinfo(np.uint16).max:
        return np.argsort(slots.astype(np.uint16), kind="stable")  # two bytes are sorted by radix
    return np.argsort(slots, kind="stable")


@dataclass(slots=True)
class Tally:
    """What was noticed since it was last taken: repeated records, holes in the log, records after a session's end."""

    repeats: int = 0
    holes: int = 0
    dropped: int = 0


class SessionTable:
    """The sessions of one partition. Part of a processor's state: `snapshot` and `restore` are canonical bytes."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._slot_of: dict[bytes, int] = {}
        self._order: list[int] | None = None
        """The answer of `in_order`, until a session comes or goes."""
        self._free: list[int] = []
        self._texts: list[bytes | None] = []
        """Conversation and info of each slot as the snapshot has them, None until they are made or made anew."""
        self.ids: list[bytes] = []
        self.conversations: list[str] = []
        self.infos: list[SessionInfo | None] = []
        self.last: NDArray[np.int64] = np.zeros(0, np.int64)
        self.closed: NDArray[np.int64] = np.zeros(0, np.int64)
        self.touched_ms: NDArray[np.int64] = np.zeros(0, np.int64)
        self.partial: NDArray[np.bool_] = np.zeros(0, np.bool_)

    @property
    def capacity(self) -> int:
        """Number of slots ever used; columns beside this table need that many rows."""
        return len(self.ids)

    def __len__(self) -> int:
        return len(self._slot_of)

    def take_tally(self) -> Tally:
        """Return what was noticed since the last call. No part of the state: it is for metrics."""
        taken, self._tally = self._tally, Tally()
        return taken

    def in_order(self) -> list[int]:
        """Return the used slots by session id, the only order outputs and snapshots may use."""
        if self._order is None:
            self._order = [self._slot_of[session] for session in sorted(self._slot_of)]
        return self._order.copy()

    def slot(self, session_id: bytes) -> int | None:
        """Return the slot of a session, or None."""
        return self._slot_of.get(session_id)

    def is_open(self, slot: int) -> bool:
        """Tell whether the session in this slot is not closed."""
        return bool(self.closed[slot] == _OPEN)

    def identify(self, frames: Frames, keys: Sequence[bytes | None], stream_time_ms: int) -> Identity:
        """Judge the rows of a poll and move the sessions on.

        `keys` are the record keys (conversation ids), used for sessions whose OPENED was not seen. Rows that are not
        `identified` get slot -1.
        """
        n = len(frames)
        slots = np.full(n, -1, np.int64)
        verdicts = np.zeros(n, np.uint8)
        missing = np.zeros(n, np.int64)
        rows = np.flatnonzero(frames.identified & (frames.kind != _TICK))
        if len(rows) == 0:
            return Identity(slots, verdicts, missing)
        slots[rows] = self._slots(frames, rows, keys)
        order = rows[by_slot(slots[rows])]
        grouped = slots[order]
        first = np.empty(len(order), np.bool_)
        first[0] = True
        np.not_equal(grouped[1:], grouped[:-1], out=first[1:])
        sequence = frames.sequence[order]
        before = np.empty(len(order), np.int64)
        before[1:] = sequence[:-1]
        before[first] = self.last[grouped[first]]
        opens = first & (before == _NEW)
        last = np.ones(len(order), np.bool_)
        last[:-1] = first[1:]
        plain = (sequence == before + 1) | opens
        plain &= frames.ok[order] & (self.closed[grouped] == _OPEN)
        plain &= (frames.kind[order] != _CLOSED) | last
        verdicts[order] = np.where(opens, Verdict.ACCEPTED | Verdict.FIRST, Verdict.ACCEPTED).astype(np.uint8)
        verdicts[order[opens & (sequence == 0)]] |= np.uint8(Verdict.FROM_START)
        odd_slots = np.unique(grouped[~plain]) if not plain.all() else grouped[:0]
        easy = ~np.isin(grouped, odd_slots) if len(odd_slots) else np.ones(len(order), np.bool_)
        ends = easy & last
        self.last[grouped[ends]] = sequence[ends]
        self.touched_ms[grouped[easy & first]] = stream_time_ms
        self.partial[grouped[easy & opens]] = sequence[easy & opens] != 0
        closing = ends & (frames.kind[order] == _CLOSED)
        self.closed[grouped[closing]] = frames.reason[order[closing]]
        for row in order[~easy].tolist():
            verdicts[row], missing[row] = self._judge(frames, row, int(slots[row]), stream_time_ms)
        odd = set(odd_slots.tolist())
        for row, info in frames.infos.items():
            if int(slots[row]) not in odd:
                self._note_info(int(slots[row]), info)
        return Identity(slots, verdicts, missing)

    def _slots(self, frames: Frames, rows: NDArray[np.int64], keys: Sequence[bytes | None]) -> list[int]:
        ids = frames.session_id[rows].tolist()
        get = self._slot_of.get
        found = [get(session, -1) for session in ids]
        if -1 not in found:
            return found
        for index, session in enumerate(ids):
            if found[index] == -1:
                key = keys[int(rows[index])]
                found[index] = self._open(session, "" if key is None else key.decode("utf-8", "replace"))
        return found

    def _open(self, session: bytes, conversation: str) -> int:
        known = self._slot_of.get(session)
        if known is not None:
            return known
        if self._free:
            slot = self._free.pop()
        else:
            slot = len(self.ids)
            self.ids.append(b"")
            self.conversations.append("")
            self.infos.append(None)
            self._texts.append(None)
            self._grow(slot + 1)
        self._slot_of[session] = slot
        self._order = None
        self.ids[slot] = session
        self.conversations[slot] = conversation
        self.infos[slot] = self._texts[slot] = None
        self.last[slot] = _NEW
        self.closed[slot] = _OPEN
        self.touched_ms[slot] = 0
        self.partial[slot] = True
        return slot

    def _grow(self, size: int) -> None:
        if size <= len(self.last):
            return
        more = max(16, len(self.last))
        self.last = np.append(self.last, np.zeros(more, np.int64))
        self.closed = np.append(self.closed, np.zeros(more, np.int64))
        self.touched_ms = np.append(self.touched_ms, np.zeros(more, np.int64))
        self.partial = np.append(self.partial, np.zeros(more, np.bool_))

    def _judge(self, frames: Frames, row: int, slot: int, stream_time_ms: int) -> tuple[int, int]:
        """Judge one row by the whole rule; the columns in `identify` judge the rows for which it is simple."""
        sequence, last = int(frames.sequence[row]), int(self.last[slot])
        verdict = Verdict.NONE
        missing = 0
        if last == _NEW:
            verdict |= Verdict.FIRST | (Verdict.FROM_START if sequence == 0 else Verdict.NONE)
            self.partial[slot] = sequence != 0 or not frames.ok[row]
        elif sequence <= last:
            self._tally.repeats += 1
            return int(Verdict.REPEAT), 0
        elif self.closed[slot] not in (_OPEN, _IDLE):
            self._tally.dropped += 1
            return int(Verdict.DROPPED), 0
        else:
            missing = sequence - last - 1
            self._tally.holes += missing > 0
            verdict |= Verdict.HOLE if missing else Verdict.NONE
        if self.closed[slot] == _IDLE:
            verdict |= Verdict.REOPENED
            self.closed[slot] = _OPEN
            self.partial[slot] = True
        self.last[slot] = sequence
        self.touched_ms[slot] = stream_time_ms
        if not frames.ok[row]:
            return int(verdict | Verdict.DEAD), missing
        if frames.kind[row] == _CLOSED:
            self.closed[slot] = frames.reason[row]
        if row in frames.infos:
            self._note_info(slot, frames.infos[row])
        return int(verdict | Verdict.ACCEPTED), missing

    def _note_info(self, slot: int, info: SessionInfo) -> None:
        self.infos[slot] = info
        self.conversations[slot] = info.conversation_id
        self._texts[slot] = None
        self.partial[slot] = False

    def expire(self, stream_time_ms: int) -> list[int]:
        """Close what has been idle too long and forget what was closed long ago.

        Returns the slots closed now, by session id; they stay for another 15 minutes, so that a return reopens them.
        """
        size = self.capacity
        used = np.zeros(size, np.bool_)
        used[list(self._slot_of.values())] = True
        old = used & (stream_time_ms - self.touched_ms[:size] >= IDLE_MS)
        if not old.any():
            return []
        closed_now = []
        for slot in np.flatnonzero(old).tolist():
            if self.closed[slot] == _OPEN:
                self.closed[slot] = _IDLE
                self.touched_ms[slot] = stream_time_ms
                closed_now.append(slot)
            else:
                del self._slot_of[self.ids[slot]]
                self._free.append(slot)
                self._order = None
        return sorted(closed_now, key=lambda slot: self.ids[slot])

    def snapshot(self) -> bytes:
        """Return the table as canonical bytes: equal tables give equal bytes, whatever slots they use."""
        order = self.in_order()
        texts = [self._texts[slot] or self._text(slot) for slot in order]
        return b"".join(
            (
                _COUNT.pack(len(order)),
                b"".join([self.ids[slot] for slot in order]),
                self.last[order].astype("<i8").tobytes(),
                self.touched_ms[order].astype("<i8").tobytes(),
                self.closed[order].astype("<i2").tobytes(),
                self.partial[order].astype("<u1").tobytes(),
                np.fromiter(map(len, texts), "<u4", len(texts)).tobytes(),
                *texts,
            )
        )

    @classmethod
    def restore(cls, snapshot: bytes) -> "SessionTable":
        """Return the table a snapshot was taken of. Other bytes raise what struct, numpy and fastavro raise."""
        table = cls()
        (count,) = _COUNT.unpack_from(snapshot)
        at = _COUNT.size
        columns = []
        for dtype in (f"V{SESSION_BYTES}", "<i8", "<i8", "<i2", "<u1", "<u4"):
            columns.append(np.frombuffer(snapshot, dtype, count, at))
            at += columns[-1].nbytes
        ids, last, touched_ms, closed, partial, lengths = columns
        for session, length in zip(ids.tolist(), lengths.tolist(), strict=True):
            text = snapshot[at : at + length]
            datum = schemaless_reader(io.BytesIO(text), _TEXT, None)
            if not isinstance(datum, dict):  # pragma: no cover - the schema is a record
                message = "not a snapshot of sessions"
                raise TypeError(message)
            slot = table._open(session, datum["conversation_id"])
            info = datum["info"]
            table.infos[slot] = None if info is None else from_datum(SessionInfo, info)
            at += length
        if at != len(snapshot):
            message = f"{len(snapshot)} bytes instead of {at}"
            raise ValueError(message)
        table.last[:count], table.touched_ms[:count] = last, touched_ms
        table.closed[:count], table.partial[:count] = closed, partial != 0
        return table

    def _text(self, slot: int) -> bytes:
        """Return conversation and info as bytes, made once for each info."""
        info, out = self.infos[slot], io.BytesIO()
        datum = None if info is None else as_datum(info)
        schemaless_writer(out, _TEXT, {"conversation_id": self.conversations[slot], "info": datum})
        text = self._texts[slot] = out.getvalue()
        return text


_COUNT = struct.Struct("<I")
_TEXT = parse_schema(
    {
        "type": "record",
        "name": "SessionText",
        "fields": [
            {"name": "conversation_id", "type": "string"},
            {"name": "info", "type": ["null", dict(newest("session_info").definition)]},
        ],
    }
)
