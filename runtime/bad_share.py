"""How many of a partition's newest records were bad, and when that is too many. Pure; part of the task's state.

Bad are records that cannot be read and records the processor raises on. Some of them become dead letters and the rest
goes on; when most of a topic is bad, the topic, the settings or this release is, and going on would only empty the
topic into the dead letters. The window is counted in records, so that the same log stops at the same record always.
"""

import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from runtime.errors import CallstreamError, StateCorrupted

_HEAD = struct.Struct(">QI")
_ENTRY = struct.Struct(">QQ")
_NAMED = 3


@dataclass(frozen=True, slots=True)
class BadLimit:
    """At most `max_ratio` of the last `window_records` records may be bad; 1 lets all of them be."""

    max_ratio: float = 0.5
    window_records: int = 1_000

    @property
    def records(self) -> int:
        """The number of bad records the window may hold."""
        return int(self.max_ratio * self.window_records)


class TooManyBad(CallstreamError):
    """More of the newest records are bad than may be. `offsets` are the first of them, `last` the one too many."""

    def __init__(self, limit: BadLimit, offsets: Iterable[int], last: int, why: str) -> None:
        self.limit = limit
        self.offsets = tuple(offsets)
        self.last = last
        self.why = why
        super().__init__(f"more than {limit.records} of {limit.window_records} records are bad, up to offset {last}")


class BadShare:
    """The bad ones among a partition's last records: by their number in the order of reading, and their offset."""

    def __init__(self, limit: BadLimit, records: int = 0, bad: Iterable[tuple[int, int]] = ()) -> None:
        self._limit = limit
        self._records = records
        self._bad = deque(bad)

    def take(self, count: int, bad: Iterable[tuple[int, int, str]]) -> None:
        """Count `count` consecutive records, of which `bad` are: (row, offset, why), in order.

        Raises `TooManyBad` at the first record that is one too many; then nothing of this object may be used.
        """
        window = self._limit.window_records
        for row, offset, why in bad:
            number = self._records + row
            self._bad.append((number, offset))
            self._forget(number - window)
            if len(self._bad) > self._limit.records:
                first = [found for _, found in self._bad][:_NAMED]
                raise TooManyBad(self._limit, first, offset, why)
        self._records += count
        self._forget(self._records - 1 - window)

    def _forget(self, up_to: int) -> None:
        while self._bad and self._bad[0][0] <= up_to:
            self._bad.popleft()

    def packed(self) -> bytes:
        """Return what `unpacked` takes: equal counts give equal bytes, however the records were polled."""
        entries = b"".join(_ENTRY.pack(*entry) for entry in self._bad)
        return _HEAD.pack(self._records, len(self._bad)) + entries

    @classmethod
    def unpacked(cls, limit: BadLimit, packed: bytes) -> "BadShare":
        """Return the count that was packed. Raises `StateCorrupted` for other bytes."""
        try:
            records, count = _HEAD.unpack_from(packed)
            entries = list(_ENTRY.iter_unpack(packed[_HEAD.size :]))
        except struct.error as error:
            message = "the count of bad records cannot be read"
            raise StateCorrupted(message) from error
        if len(entries) != count:
            message = f"{len(entries)} bad records instead of {count}"
            raise StateCorrupted(message)
        return cls(limit, records, [(number, offset) for number, offset in entries])
