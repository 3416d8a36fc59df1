"""Which numbers of a session and of a stream are columns of `LossState`, and how they go into the objects and back.

A column is named by the path of its field. Columns are what any packet may change; all other numbers change only in
opened objects.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, Final

from audio.arrival import ArrivalWatch
from processors.loss.bursts import Bursts
from processors.loss.delays import Delays, Spread
from processors.loss.numbering import Numbering
from processors.loss.session import Counts, Session
from processors.loss.streams import Counted, Measures, Stream
from processors.loss.trend import Trend

_NUMBERS: Final = (int, int | None)


def _of(kind: type[Any], *left_out: str) -> tuple[str, ...]:
    found = (field.name for field in dataclasses.fields(kind) if field.type in _NUMBERS)
    return tuple(name for name in found if name not in left_out)


class Fields:
    """The columns of one kind of object: `parts` are (path of what holds the fields, their names).

    A `Counted` is set whole, all else field by field.
    """

    def __init__(self, parts: Sequence[tuple[str, tuple[str, ...]]]) -> None:
        self.names: Final = tuple(f"{path}.{name}" if path else name for path, names in parts for name in names)
        self._get: Callable[[object], tuple[int, ...]] = attrgetter(*self.names)
        self._parts = []
        at = 0
        for path, names in parts:
            self._parts.append((attrgetter(path) if path else None, path, names, slice(at, at + len(names))))
            at += len(names)

    def __len__(self) -> int:
        return len(self.names)

    def place(self, name: str) -> int:
        """Return the column of a field."""
        return self.names.index(name)

    def numbers(self, item: object) -> tuple[int, ...]:
        """Return the columns of an object."""
        return self._get(item)

    def rest_of(self, parts: Iterable[tuple[str, tuple[str, ...]]]) -> "Fields":
        """Return those of `parts` that are not among these."""
        own = set(self.names)
        return Fields(
            [
                (path, tuple(name for name in names if (f"{path}.{name}" if path else name) not in own))
                for path, names in parts
            ]
        )

    def fill(self, item: object, row: Sequence[int]) -> None:
        """Set the fields of an object to its columns."""
        for find, path, names, place in self._parts:
            if names == Counted._fields:
                setattr(item, path, Counted._make(row[place]))
                continue
            target = item if find is None else find(item)
            for name, number in zip(names, row[place], strict=True):
                setattr(target, name, number)


def _measures(path: str) -> Iterable[tuple[str, tuple[str, ...]]]:
    return (path, _of(Measures)), (f"{path}.bursts", _of(Bursts)), (f"{path}.spread", _of(Spread))


_EXTENTS: Final = ("extent", "extent_us")
STREAM: Final = Fields(
    (
        ("", ("frames", "payload_bytes", "audio", "frame_samples", "codec")),
        ("numbering", _of(Numbering)),
        ("delays", _of(Delays)),
        *((path, _EXTENTS) for path in ("window", "segment", "total")),
    )
)
"""The columns of a stream."""
STREAM_REST: Final = STREAM.rest_of(
    (
        ("", _of(Stream, "row")),
        *_measures("window"),
        *_measures("segment"),
        *_measures("total"),
        ("window_mark", Counted._fields),
        ("segment_mark", Counted._fields),
        ("trend", _of(Trend)),
    )
)
"""The other numbers of a stream."""
SESSION: Final = Fields(
    (
        ("", ("rate_hz", "head", "audio_ms", "codec", "last_us")),
        ("watch", ("least_us", "seen_us")),
        ("window", ("frames", "payload_bytes", "audio")),
    )
)
"""The columns of a session."""
SESSION_REST: Final = SESSION.rest_of(
    (
        ("", _of(Session)),
        ("watch", _of(ArrivalWatch)),
        ("window", _of(Counts)),
        ("total", _of(Counts)),
        ("trend", _of(Trend)),
    )
)
"""The other numbers of a session."""

RATE, HEAD, AUDIO_MS, CODEC, LAST_US, LEAST_US, SEEN_US, FRAMES, BYTES, AUDIO = range(len(SESSION))
# What follows from the others. ODD 1: its next frame changes more than counts. EDGE: where its window ends. ROW: its
# own row of `streams`. KEY, PLACE, and the columns behind them: two of its streams and their rows.
ODD, EDGE, ROW, KEY, PLACE = (len(SESSION) + at for at in (0, 1, 2, 3, 5))
SESSION_COLUMNS: Final = len(SESSION) + 7

S_FRAMES, S_BYTES, S_AUDIO, SAMPLES, S_CODEC = range(5)
BITS, BASE, HIGHEST, SUSPECT, DUE, REORDER, DECIDED = (
    STREAM.place(f"numbering.{name}") for name in ("bits", "base", "highest", "suspect", "due", "reorder", "decided")
)
UNIQUE, COPIES, REORDERED, LATE, GIVEN_UP, EXTENT = (
    STREAM.place(f"numbering.{name}") for name in ("unique", "copies", "reordered", "late", "given_up", "extent")
)
CLOCK, STAMP_BITS, STAMP, STAMP_BASE, TRANSIT, LEAST, MOST = (
    STREAM.place(f"delays.{name}")
    for name in ("clock_hz", "stamp_bits", "stamp", "stamp_base", "transit_us", "least_us", "most_us")
)
JITTER, JITTER_SUM, JITTER_COUNT, JITTER_MAX = (
    STREAM.place(f"delays.{name}") for name in ("jitter", "jitter_sum", "jitter_count", "jitter_max")
)
EXTENTS: Final = tuple(STREAM.place(f"{path}.extent") for path in ("window", "segment", "total"))
EXTENTS_US: Final = tuple(STREAM.place(f"{path}.extent_us") for path in ("window", "segment", "total"))
