"""Numbered streams: rows as they came → in the order of their packets' numbers, each once.

Packets that come out of order wait in the state for those in front of them, within a window of the source's own time
(`audio.reorder`); a mark, the end of the session and a change of streams let go of what waits. Rows that go on where
their stream ended, nearly all, are judged together; Python runs only for sessions where one does not.

Two streams of a session, one of each side, have a lane each: rows are those of a lane (`LANES` times the slot, and the
one behind it), and a mark stands in both. Each is judged by itself.

A row let go by a later one is told as that one's doing. A packet that is late, came before or belongs nowhere is
counted and not analysed. Sources that number nothing cost one look at a column of the poll.
"""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, NamedTuple

import numpy as np
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from numpy.typing import NDArray

from audio.frames import SESSION_BYTES, Frames
from audio.reorder import NEVER_WRAPS, Fate, Held, Let, Reorder
from audio.window import DEFAULT_MS, FixedWindow
from processors.silence.media import Numbers, Rows, described, usable
from schemas.symbols import Channels, FrameKind, Reason

_AUDIO, _CLOSED = FrameKind.AUDIO.code, FrameKind.CLOSED.code
_RESTART: Final = Reason.RESTART.code
_LEAST_BITS, _MOST_BITS = 8, 32
_US: Final = 1_000_000
_STORED: Final = (
    "kind",
    "reason",
    "source",
    "codec",
    "channels",
    "sample_rate_hz",
    "sequence",
    "position_samples",
    "duration_samples",
    "captured_at_us",
)
LANES: Final = 2
"""Of each session. Rows that are no numbered audio of the internal side are of the first."""
_INTERNAL: Final = Channels.INTERNAL.code
_KNOWN, _BITS, _FOLLOWING, _STREAM, _NOW_US = range(5)
_COLUMNS: Final = 5


class Stored(NamedTuple):
    """A frame that waits from one poll to a later one: the columns `_STORED`, and its payload."""

    numbers: tuple[int, ...]
    payload: bytes


@dataclass(slots=True)
class Order:
    """The stream of one session. What waits in `reorder` is rows of the poll while that is taken, else `Stored`."""

    stream: int
    reorder: Reorder[int | Stored]


class Orders:
    """The streams of one partition.

    `settled` has a row per slot: 1 if there is a stream; and while nothing of it waits the width of its numbers (else
    0), the number that follows, its SSRC and its newest time, which are ahead of what its `Reorder` knows.
    """

    def __init__(self) -> None:
        self.by_slot: dict[int, Order] = {}
        self.settled: Numbers = np.zeros((0, _COLUMNS), np.int64)

    def fit(self, capacity: int) -> None:
        """Give every slot its row."""
        missing = capacity - len(self.settled)
        if missing > 0:
            self.settled = np.concatenate((self.settled, np.zeros((missing, _COLUMNS), np.int64)))

    def current(self, slot: int) -> Order | None:
        """Return a session's stream, up to date."""
        order = self.by_slot.get(slot)
        if order is not None:
            _, bits, following, _, now_us = self.settled[slot].tolist()
            if bits and following > order.reorder.following:
                order.reorder.skip(following - order.reorder.following, now_us)
        return order

    def note(self, slot: int, order: Order) -> None:
        """Write down a stream that was taken row by row."""
        reorder = order.reorder
        self.by_slot[slot] = order
        bits = reorder.bits if reorder.settled else 0
        self.settled[slot] = (1, bits, reorder.following, order.stream, reorder.now_us)

    def drop(self, slot: int) -> None:
        """Forget a session's stream."""
        self.by_slot.pop(slot, None)
        self.settled[slot] = 0

    def snapshot(self, slots: Iterable[int]) -> bytes:
        """Return canonical bytes; `slots` are all used ones in the order of their sessions."""
        found = [(index, self.current(slot)) for index, slot in enumerate(slots) if slot in self.by_slot]
        out = io.BytesIO()
        schemaless_writer(out, _SCHEMA, [_datum(index, order) for index, order in found if order is not None])
        return out.getvalue()

    def restore(self, content: bytes, slots: list[int]) -> None:
        """Take in a snapshot. Other bytes raise what fastavro and the containers raise."""
        data = io.BytesIO(content)
        found: Any = schemaless_reader(data, _SCHEMA, None)
        if data.read():
            message = "more bytes than streams"
            raise ValueError(message)
        self.fit(max(slots, default=-1) + 1)
        for datum in found:
            reorder = _reorder().restore(
                [*datum["numbers"], int.from_bytes(datum["missing"], "little")],
                map(_held, datum["held"]),
                None if datum["suspect"] is None else _held(datum["suspect"]),
            )
            self.note(slots[datum["index"]], Order(datum["stream"], reorder))


@dataclass(slots=True)
class Ordered:
    """The rows of a poll in order, by lane.

    `frames` are those of the poll; behind them stand those that waited since an earlier one, and marks once more for
    second lanes. `cause` has the row of the poll behind each of them, `lane` 1 for those of a second lane; None and
    empty where each row is its own cause.
    """

    frames: Frames
    rows: Rows
    cause: Numbers | None = None
    lane: Numbers = field(default_factory=lambda: np.zeros(0, np.int64))


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
        mark = mark[(self._orders.settled[second, _KNOWN] != 0) | np.isin(second, slot)]
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
        touched |= self._orders.settled[sessions, _KNOWN] != 0
        odd = np.flatnonzero(touched & ~whole).tolist()
        if not odd:
            return Ordered(self._frames, described(self._frames, self._row, slot))
        return self._rearranged(begin, count, odd)

    def _plain(self, first: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return True on rows that go on where the row before, or the settled stream, ended."""
        known = self._orders.settled[self._slot]
        bits, number, time_us = self._bits, self._number, self._time_us
        expected, since_us = np.empty_like(number), np.empty_like(time_us)
        expected[1:], since_us[1:] = number[:-1] + 1, time_us[:-1]
        expected[first], since_us[first] = known[first, _FOLLOWING], known[first, _NOW_US]
        plain: NDArray[np.bool_] = (bits > 0) & (bits == known[:, _BITS]) & (time_us >= since_us)
        plain &= (number - expected & (1 << bits) - 1) == 0
        plain &= self._frames.stream[self._row] == known[:, _STREAM]
        return plain

    def _skip(self, slots: Numbers, last: Numbers, count: Numbers) -> None:
        settled = self._orders.settled
        settled[slots, _FOLLOWING] += count
        settled[slots, _NOW_US] = self._time_us[last]

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
                    order = Order(stream, _reorder())
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
        return Stored(tuple(int(getattr(self._frames, name)[row]) for name in _STORED), self._frames.payload(row))

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


def _reorder() -> Reorder[int | Stored]:
    return Reorder(FixedWindow(DEFAULT_MS))


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
    for name, values in zip(_STORED, zip(*(one.numbers for one in stored), strict=True), strict=True):
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


_HELD: Final = {
    "type": "record",
    "name": "Held",
    "fields": [
        {"name": "place", "type": {"type": "array", "items": "long"}},
        {"name": "numbers", "type": {"type": "array", "items": "long"}},
        {"name": "payload", "type": "bytes"},
    ],
}
_SCHEMA: Final = parse_schema(
    {
        "type": "array",
        "items": {
            "type": "record",
            "name": "Order",
            "fields": [
                {"name": "index", "type": "long"},
                {"name": "stream", "type": "long"},
                {"name": "numbers", "type": {"type": "array", "items": "long"}},
                {"name": "missing", "type": "bytes"},
                {"name": "held", "type": {"type": "array", "items": _HELD}},
                {"name": "suspect", "type": ["null", "Held"]},
            ],
        },
    }
)


def _datum(index: int, order: Order) -> dict[str, Any]:
    *numbers, missing = order.reorder.as_numbers()
    suspect = order.reorder.suspect
    return {
        "index": index,
        "stream": order.stream,
        "numbers": numbers,
        "missing": missing.to_bytes((missing.bit_length() + 7) // 8, "little"),
        "held": [_held_datum(held) for held in order.reorder.held],
        "suspect": None if suspect is None else _held_datum(suspect),
    }


def _held_datum(held: Held[int | Stored]) -> dict[str, Any]:
    *place, stored = held
    if isinstance(stored, int):  # pragma: no cover - rows of a poll never outlive it
        raise TypeError(stored)
    return {"place": place, "numbers": stored.numbers, "payload": stored.payload}


def _held(datum: dict[str, Any]) -> Held[int | Stored]:
    number, time_us, size = datum["place"]
    return number, time_us, size, Stored(tuple(datum["numbers"]), datum["payload"])
