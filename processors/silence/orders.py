"""The numbered streams of a partition: what is known of each, and the packets of it that wait. Part of the state.

Two streams of a session, one of each side, have a lane each: they are kept under `LANES` times the session's slot, and
the one behind it.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from fastavro import parse_schema, schemaless_reader, schemaless_writer

from audio.reorder import Held, Reorder
from audio.window import DEFAULT_MS, FixedWindow
from processors.silence.media import Numbers

LANES: Final = 2
"""Of each session. Rows that are no numbered audio of the internal side are of the first."""
KNOWN, BITS, FOLLOWING, STREAM, NOW_US = range(5)
"""Columns of `Orders.settled`."""
_COLUMNS: Final = 5
STORED: Final = (
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
"""Columns of a frame that waits."""


class Stored(NamedTuple):
    """A frame that waits from one poll to a later one: the columns `STORED`, and its payload."""

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
            reorder = waiting_room().restore(
                [*datum["numbers"], int.from_bytes(datum["missing"], "little")],
                map(_held, datum["held"]),
                None if datum["suspect"] is None else _held(datum["suspect"]),
            )
            self.note(slots[datum["index"]], Order(datum["stream"], reorder))


def waiting_room() -> Reorder[int | Stored]:
    """Return the reordering of a new stream."""
    return Reorder(FixedWindow(DEFAULT_MS))


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
