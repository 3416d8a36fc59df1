"""Numbered streams: rows as they came → in the order of their packets' numbers, each once.

Packets that come out of order wait in the state for those in front of them, within a window of the source's own time
(`audio.reorder`); a mark, the end of the session and a change of streams let go of what waits. Rows that go on where
their stream ended, nearly all, are judged together; Python runs only for sessions where one does not.

Two streams of a session, one of each side, have a lane each: rows are those of a lane (`LANES` times the slot, and the
one behind it), and a mark stands in both. Each is judged by itself; what both have in common, `pairing` finds.

A row let go by a later one is told as that one's doing. A packet that is late, came before or belongs nowhere is
counted and not analysed. Sources that number nothing cost one look at a column of the poll.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from audio.frames import SESSION_BYTES, Frames
from audio.reorder import NEVER_WRAPS, Fate, Held, Let
from processors.silence.media import Numbers, Rows, described, usable
from processors.silence.orders import (
    BITS,
    FOLLOWING,
    KNOWN,
    LANES,
    NOW_US,
    STORED,
    STREAM,
    Order,
    Orders,
    Stored,
    waiting_room,
)
from schemas.symbols import Channels, FrameKind, Reason

_AUDIO, _CLOSED = FrameKind.AUDIO.code, FrameKind.CLOSED.code
_RESTART: Final = Reason.RESTART.code
_LEAST_BITS, _MOST_BITS = 8, 32
_US: Final = 1_000_000
_EXTERNAL, _INTERNAL = Channels.EXTERNAL.code, Channels.INTERNAL.code


@dataclass(slots=True)
class Ordered:
    """The rows of a poll in order, by lane.

    `frames` are those of the poll; behind them stand those that waited since an earlier one, and marks once more for
    second lanes. `cause` has the row of the poll behind each of them, `lane` 1 for those of a second lane; None and
    empty where no stream is numbered.
    """

    frames: Frames
    rows: Rows
    cause: Numbers | None = None
    lane: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))

    def sided(self) -> NDArray[np.bool_]:
        """Return True for the packets of a numbered stream that holds one side."""
        frames = self.frames
        sided: NDArray[np.bool_] = (frames.channels == _EXTERNAL) | (frames.channels == _INTERNAL)
        sided &= _widths(frames) > 0
        return sided


def ordered(
    orders: Orders, frames: Frames, slots: Numbers, accepted: NDArray[np.bool_], known: Callable[[int], int]
) -> Ordered:
    """Return what a poll lets go of: the accepted rows that tell something about the timeline, by session.

    `known` gives the media of a lane in front of the poll, 0 where it has had no audio.
    """
    lanes = slots * LANES
    if orders.by_slot or int(frames.source_sequence_bits.max(initial=0)) > 0:
        bits = _widths(frames)
        lanes += (bits > 0) & (frames.channels == _INTERNAL)
        row = usable(frames, lanes, accepted)
        return _Poll(orders, frames, row, lanes[row], bits, known).take()
    row = usable(frames, lanes, accepted)
    return Ordered(frames, described(frames, row, lanes[row]))


def remaining(orders: Orders, slot: int) -> Ordered | None:
    """Return what waits in a lane, which no row lets go of, and forget its stream; None where nothing waits."""
    order = orders.current(slot)
    orders.drop(slot)
    let = [] if order is None else order.reorder.flush()
    stored = [item for fate, _, item in let if fate <= Fate.FIRST and isinstance(item, Stored)]
    if not stored:
        return None
    frames = _extended(_nothing(), stored)
    row = np.arange(len(stored))
    return Ordered(frames, described(frames, row, np.full(len(stored), slot)), np.full(len(stored), -1))


def _widths(frames: Frames) -> Numbers:
    """Return how wide the number of each row is; 0 where it is no audio or has none that can be."""
    bits = frames.source_sequence_bits
    valid = ((bits >= _LEAST_BITS) & (bits <= _MOST_BITS)) | (bits == NEVER_WRAPS)
    return np.where(valid & (frames.kind == _AUDIO) & (frames.source_sequence >= 0), bits, 0)


class _Poll:
    """One poll with numbered rows: `row` are its rows by lane, `slot` their lanes, `bits` the widths of all numbers."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a poll is
        self, orders: Orders, frames: Frames, row: Numbers, slot: Numbers, bits: Numbers, known: Callable[[int], int]
    ) -> None:
        self._orders = orders
        self._known = known
        self._frames = frames
        self._row = row
        self._slot = slot
        self._stored: list[Stored] = []
        self._base = np.arange(len(frames))
        self._add_marks()
        frames, row = self._frames, self._row
        self._bits = bits[self._base[row]]
        self._number = frames.source_sequence[row] & (1 << self._bits) - 1
        self._time_us = frames.position_samples[row] * _US // np.maximum(frames.sample_rate_hz[row], 1)

    def _add_marks(self) -> None:
        """Put the marks of sessions whose second lane is in use into that one too, as rows behind the poll's."""
        row, slot = self._row, self._slot
        mark = np.flatnonzero(self._frames.kind[row] != _AUDIO)
        second = slot[mark] | 1
        mark = mark[(self._orders.settled[second, KNOWN] != 0) | np.isin(second, slot)]
        if len(mark) == 0:
            return
        beside = row[mark]
        more = len(self._frames) + np.arange(len(beside))
        self._frames = _extended(self._frames, [self._stored_row(one) for one in beside.tolist()])
        self._base = np.concatenate((self._base, beside))
        both, lane = np.concatenate((row, more)), np.concatenate((slot, slot[mark] | 1))
        order = np.lexsort((self._base[both], lane))
        self._row, self._slot = both[order], lane[order]

    def take(self) -> Ordered:
        """Return the rows that are let go."""
        slot = self._slot
        if len(slot) == 0:
            return Ordered(self._frames, described(self._frames, self._row, slot))
        first = np.ones(len(slot), np.bool_)
        np.not_equal(slot[1:], slot[:-1], out=first[1:])
        begin = np.flatnonzero(first)
        whole = np.logical_and.reduceat(self._plain(first), begin)
        count = np.diff(begin, append=len(slot))
        sessions = slot[begin]
        self._skip(sessions[whole], (begin + count)[whole] - 1, count[whole])
        touched = np.logical_or.reduceat(self._bits > 0, begin)
        touched |= self._orders.settled[sessions, KNOWN] != 0
        odd = np.flatnonzero(touched & ~whole).tolist()
        if not odd:
            lane = np.zeros(len(self._frames), np.int64)
            lane[self._row] = slot & 1
            return Ordered(self._frames, described(self._frames, self._row, slot), self._base, lane)
        return self._rearranged(begin, count, odd)

    def _plain(self, first: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return True on rows that go on where the row before, or the settled stream, ended."""
        known = self._orders.settled[self._slot]
        bits, number, time_us = self._bits, self._number, self._time_us
        expected, since_us = np.empty_like(number), np.empty_like(time_us)
        expected[1:], since_us[1:] = number[:-1] + 1, time_us[:-1]
        expected[first], since_us[first] = known[first, FOLLOWING], known[first, NOW_US]
        plain: NDArray[np.bool_] = (bits > 0) & (bits == known[:, BITS]) & (time_us >= since_us)
        plain &= (number - expected & (1 << bits) - 1) == 0
        plain &= self._frames.stream[self._row] == known[:, STREAM]
        return plain

    def _skip(self, slots: Numbers, last: Numbers, count: Numbers) -> None:
        settled = self._orders.settled
        settled[slots, FOLLOWING] += count
        settled[slots, NOW_US] = self._time_us[last]

    def _rearranged(self, begin: Numbers, count: Numbers, odd: list[int]) -> Ordered:
        """Take the odd sessions row by row; the others' rows stay where they are."""
        parts: list[Numbers] = []
        done = 0
        for index in odd:
            at, stop = int(begin[index]), int(begin[index] + count[index])
            kept = np.arange(done, at)
            parts.append(np.stack((self._row[kept], self._slot[kept], self._row[kept], np.zeros_like(kept))))
            found = self._session(int(self._slot[at]), at, stop)
            if found:
                parts.append(np.array(found, np.int64).T)
            done = stop
        kept = np.arange(done, len(self._row))
        parts.append(np.stack((self._row[kept], self._slot[kept], self._row[kept], np.zeros_like(kept))))
        row, slot, cause, refused = np.concatenate(parts, axis=1)
        return self._finished(row, slot, cause, refused != 0)

    def _session(self, slot: int, at: int, stop: int) -> list[tuple[int, int, int, int]]:
        """Return row, slot, cause and whether it is refused, of all rows that are let go."""
        order = self._orders.current(slot)
        frames, out = self._frames, []
        for index in range(at, stop):
            row, bits = int(self._row[index]), int(self._bits[index])
            let: list[Let[int | Stored]] = []
            if bits:
                stream = int(frames.stream[row])
                if order is None:
                    order = Order(stream, waiting_room())
                elif order.stream != stream:
                    let += order.reorder.restart()
                    order.stream = stream
                size = int(frames.payload_bytes[row])
                let += order.reorder.push(int(self._number[index]), bits, int(self._time_us[index]), row, size)
            elif order is not None:
                restart = frames.kind[row] != _AUDIO and frames.reason[row] == _RESTART
                let += order.reorder.restart() if restart else order.reorder.flush()
            out += [(self._place(item), slot, row, int(fate > Fate.FIRST)) for fate, _, item in let]
            if not bits:
                out.append((row, slot, row, 0))
                if frames.kind[row] == _CLOSED:
                    order = None
        self._keep(slot, order)
        return out

    def _keep(self, slot: int, order: Order | None) -> None:
        if order is None:
            self._orders.drop(slot)
            return
        reorder = order.reorder
        if reorder.held or reorder.suspect:
            suspect = None if reorder.suspect is None else self._store(reorder.suspect)
            reorder.restore(reorder.as_numbers(), map(self._store, reorder.held), suspect)
        self._orders.note(slot, order)

    def _place(self, item: int | Stored) -> int:
        """Return the row of a packet let go."""
        if isinstance(item, int):
            return item
        self._stored.append(item)
        return len(self._frames) + len(self._stored) - 1

    def _store(self, held: Held[int | Stored]) -> Held[int | Stored]:
        number, time_us, size, item = held
        return number, time_us, size, self._stored_row(item) if isinstance(item, int) else item

    def _stored_row(self, row: int) -> Stored:
        return Stored(tuple(int(getattr(self._frames, name)[row]) for name in STORED), self._frames.payload(row))

    def _finished(self, row: Numbers, slot: Numbers, cause: Numbers, refused: NDArray[np.bool_]) -> Ordered:
        frames = _extended(self._frames, self._stored)
        causes, lane = np.zeros((2, len(frames)), np.int64)
        causes[row], lane[row] = self._base[cause], slot & 1
        if not refused.any():
            return Ordered(frames, described(frames, row, slot), causes, lane)
        position = frames.position_samples.copy()
        position[row[refused]] = 0
        frames = replace(frames, position_samples=position)
        rows = described(frames, row, slot)
        rows.samples[refused] = 0
        self._count_only(rows, refused)
        counted = ~refused | (rows.media != 0)
        return Ordered(frames, rows.take(counted), causes, lane)

    def _count_only(self, rows: Rows, refused: NDArray[np.bool_]) -> None:
        """Let refused rows interrupt nothing: give them the media of the audio before them, 0 where there is none."""
        for index in np.flatnonzero(refused).tolist():
            before = index - 1
            while before >= 0 and rows.slot[before] == rows.slot[index] and rows.mark[before]:
                before -= 1
            own = before >= 0 and rows.slot[before] == rows.slot[index]
            rows.media[index] = rows.media[before] if own else self._known(int(rows.slot[index]))


def _extended(frames: Frames, stored: list[Stored]) -> Frames:
    """Return the frames with others behind them."""
    if not stored:
        return frames
    columns: dict[str, Any] = {}
    for name in (one.name for one in fields(Frames)):
        column = getattr(frames, name)
        if name not in ("buffer", "errors", "infos"):
            columns[name] = np.concatenate((column, np.zeros(len(stored), column.dtype)))
    own = slice(len(frames), None)
    for name, values in zip(STORED, zip(*(one.numbers for one in stored), strict=True), strict=True):
        columns[name][own] = values
    payload_bytes = np.array([len(one.payload) for one in stored])
    columns["payload_bytes"][own] = payload_bytes
    columns["payload_start"][own] = len(frames.buffer) + np.cumsum(payload_bytes) - payload_bytes
    payloads = np.frombuffer(b"".join(one.payload for one in stored), np.uint8)
    return Frames(buffer=np.concatenate((frames.buffer, payloads)), errors=frames.errors, infos=frames.infos, **columns)


def _nothing() -> Frames:
    """Return the frames of no poll."""
    codes = dict.fromkeys(("kind", "reason", "source", "codec", "channels"), "u1")
    flags = dict.fromkeys(("ok", "identified", "late", "marker"), "?")
    dtypes = {"buffer": "u1", "session_id": f"V{SESSION_BYTES}", **codes, **flags}
    columns: dict[str, Any] = {
        one.name: np.zeros(0, dtypes.get(one.name, "i8"))
        for one in fields(Frames)
        if one.name not in ("errors", "infos")
    }
    return Frames(errors={}, infos={}, **columns)
