"""The newest value of each key of one partition of a compacted topic, read from its beginning, then followed. Pure."""

from typing import NamedTuple


class Row(NamedTuple):
    """One record of a table; `value` None is a tombstone. `timestamp_ms` is the record's."""

    key: bytes
    value: bytes | None
    partition: int
    offset: int
    timestamp_ms: int


class PartitionRows:
    """What one partition holds.

    It counts only once it was read to where it ended at the start: until then an old value may stand for a newer one.
    It is read once more with each assignment: a topic that was made anew meanwhile has the same offsets and other rows.
    """

    def __init__(self) -> None:
        self.rows: dict[bytes, Row] = {}
        """What counts."""
        self.position: int | None = None
        """Offset to go on from; None: the beginning."""
        self._fresh: dict[bytes, Row] | None = {}
        self._end = -1

    @property
    def counts(self) -> bool:
        """Whether it has been read to its end."""
        return self._fresh is None

    def begin(self, first: int, end: int) -> None:
        """Read from `first` until `end`; what counted counts until then."""
        self.position, self._end = first, end
        self._fresh = {}

    def reached(self, position: int) -> list[Row] | None:
        """Take where reading stands. Returns what changed by it, where that makes the partition count now."""
        self.position = max(position, self.position or 0)
        if self._fresh is None or self.position < self._end:
            return None
        before, self.rows, self._fresh = self.rows, self._fresh, None
        gone = [row._replace(value=None) for key, row in before.items() if key not in self.rows]
        return [*gone, *(row for key, row in self.rows.items() if before.get(key) != row)]

    def take(self, row: Row) -> bool:
        """Take a record; True where it changes what counts."""
        if self.position is not None and row.offset < self.position:
            return False
        self.position = row.offset + 1
        rows = self.rows if self._fresh is None else self._fresh
        if row.value is None:
            known = rows.pop(row.key, None) is not None
        else:
            known, rows[row.key] = True, row
        return known and self._fresh is None
