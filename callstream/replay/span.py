"""What stretch of an input partition is replayed, and how an operator says so. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime, time

_PLACE = re.compile(r"(\d+):(\d+)")


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets of one input partition: read from `warm`, outputs count from `first`, nothing is read from `end` on.

    `first_ms` is the timestamp of the record at `first`.
    """

    topic: str
    partition: int
    warm: int
    first: int
    end: int
    first_ms: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """The stretch asked for, by time (ms since the epoch, by the broker's clock) or by offsets of some partitions.

    A record at `to_ms` or at an offset of `ends` is not in it. None: from the log's beginning, to its end at the start.
    """

    from_ms: int | None = None
    to_ms: int | None = None
    firsts: tuple[tuple[int, int], ...] = ()
    ends: tuple[tuple[int, int], ...] = ()

    @property
    def partitions(self) -> frozenset[int] | None:
        """The partitions named by offsets; None: all."""
        return frozenset(partition for partition, _ in self.firsts) or None

    def __str__(self) -> str:
        if self.firsts:
            return f"offsets {_places(self.firsts)} to {_places(self.ends) or 'the end'}"
        begin = "the beginning" if self.from_ms is None else _iso(self.from_ms)
        return f"{begin} to {'the end' if self.to_ms is None else _iso(self.to_ms)}"


def place(text: str) -> tuple[int, int]:
    """Return `PARTITION:OFFSET` as two numbers. Raises `ValueError`."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return int(found[1]), int(found[2])


def moment(text: str, before: datetime | None = None) -> datetime:
    """Return an ISO 8601 time; one without an offset is this machine's local time.

    A time of day alone is on the day of `before`, and by its clock. Raises `ValueError`.
    """
    if before is not None:
        try:
            of_day = time.fromisoformat(text)
        except ValueError:
            pass
        else:
            return datetime.combine(before.date(), of_day, of_day.tzinfo or before.tzinfo)
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.astimezone()


def epoch_ms(when: datetime) -> int:
    """Return a time in ms since the epoch."""
    return round(when.timestamp() * 1000)


def _places(places: tuple[tuple[int, int], ...]) -> str:
    return " ".join(f"{partition}:{offset}" for partition, offset in places)


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000).astimezone().isoformat(timespec="milliseconds")
