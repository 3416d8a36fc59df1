"""Checks a log object by object, in order, and names the first thing that is wrong.

Pure: the caller reads the head, then the names, then the objects in the order asked for. One object is in memory at a
time, and eight bytes per name.
"""

import json
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sinks.audit_log.chain import (
    ENTRY,
    GAP,
    GENESIS,
    HEAD_NAME,
    MARKS,
    Head,
    canonical,
    first_position,
    link,
    object_name,
)


class Kind(StrEnum):
    """What was found."""

    EDIT = "edit"
    DELETION = "deletion"
    INSERTION = "insertion"
    SWAP = "swap"
    DUPLICATE = "duplicate"
    TRUNCATION = "truncation"
    FORK = "fork"
    GARBAGE = "garbage"
    OFFSETS = "offsets"
    HEAD = "head"


class BrokenChain(Exception):
    """The log is not what was written: `kind` says how, `position` and `name` (of the object) where."""

    def __init__(self, kind: Kind, position: int, name: str, text: str) -> None:
        super().__init__(f"{kind} at position {position} in {name}: {text}")
        self.kind = kind
        self.position = position
        self.name = name


Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Summary:
    """What was verified."""

    entries: int
    objects: int
    head: Head

    def __str__(self) -> str:
        """Return the one line for people."""
        return f"{self.entries} entries in {self.objects} batches, head {self.head.hash}, verified"


_NOTHING = Head()


class Verifier:
    """Give it the head and the names first, then each object it asks for with `expected`, then `finish`.

    With `start` it begins behind that line and believes it.
    """

    def __init__(self, head: Head | None, names: Iterable[str] = (), start: Head = _NOTHING) -> None:
        self._outside = head
        self._listed = array("Q")
        for name in names:
            position = first_position(name)
            if position is None:
                raise BrokenChain(Kind.GARBAGE, 0, name, "a file with no name of this log stands in its store")
            self._listed.append(position)
        self._listed = array("Q", sorted(self._listed))
        self._reached = 0
        self.head = start
        self._entries = self._objects = 0
        self.next_offsets: dict[tuple[str, int], int] = {}
        """(topic, partition) → next offset, as the newest marks line says."""
        self._check_outside(self.expected)

    @property
    def expected(self) -> str:
        """Name of the object that must come next, if there is one."""
        return object_name(self.head.positions)

    def check(self, data: bytes) -> None:
        """Check the object named `expected`. Raises `BrokenChain`."""
        name, start = self.expected, self.head.positions
        self._check_listed(start)
        *raws, rest = data.split(b"\n")
        seen = {self.head.hash}
        entries = 0
        for index, raw in enumerate(raws):
            line = self._parsed(name, raw)
            self._check_place(name, line, raws[index + 1 :], seen)
            self._check_kind(name, line, entries, is_last=not rest and index == len(raws) - 1)
            entries += line["line"] == ENTRY
            seen.add(line["hash"])
            self.head = Head(self.head.positions + 1, line["hash"], start)
            self._check_outside(name)
        if rest or not raws:
            text = "the object does not end with a whole line" if rest else "the object is empty"
            raise BrokenChain(Kind.GARBAGE, self.head.positions, name, text)
        self._entries += entries
        self._objects += 1

    def finish(self) -> Summary:
        """Check what no object can show: names that lead nowhere, and the end. Raises `BrokenChain`."""
        end = self.head.positions
        self._check_listed(end)
        if self._reached < len(self._listed):
            found = self._listed[self._reached]
            text = f"positions {end} to {found - 1} are missing before this object"
            raise BrokenChain(Kind.DELETION, end, object_name(found), text)
        if self._outside is not None and end < self._outside.positions:
            text = f"the log ends after {end} lines, its head kept elsewhere says {self._outside.positions}"
            raise BrokenChain(Kind.TRUNCATION, end, object_name(end), text)
        return Summary(self._entries, self._objects, self.head)

    def _check_listed(self, start: int) -> None:
        if self._reached < len(self._listed) and self._listed[self._reached] < start:
            found = self._listed[self._reached]
            text = "no object of the chain starts at this position"
            raise BrokenChain(Kind.INSERTION, found, object_name(found), text)
        if self._reached < len(self._listed) and self._listed[self._reached] == start:
            self._reached += 1

    def _is_listed(self, position: int) -> bool:
        index = bisect_left(self._listed, position)
        return index < len(self._listed) and self._listed[index] == position

    def _check_outside(self, name: str) -> None:
        outside = self._outside
        if outside is None or outside.positions != self.head.positions or outside.hash == self.head.hash:
            return
        text = f"the chain is not the one its head kept elsewhere states ({outside.hash})"
        raise BrokenChain(Kind.FORK, max(0, outside.positions - 1), name, text)

    def _parsed(self, name: str, raw: bytes) -> Line:
        position, line = self.head.positions, _line(raw)
        if line is None:
            raise BrokenChain(Kind.GARBAGE, position, name, "a line is no line of this log")
        body = {field: value for field, value in line.items() if field != "hash"}
        try:
            intact = canonical(line) == raw and link(line["previous"], body) == line["hash"]
        except ValueError:
            intact = False
        if not intact:
            raise BrokenChain(Kind.EDIT, position, name, "the line does not have its hash")
        return line

    def _check_place(self, name: str, line: Line, later: list[bytes], seen: set[str]) -> None:
        position, found = self.head.positions, line["position"]
        holds_another = object_name(position) == name and self._is_listed(found)
        if found > position:
            if any(other is not None and other["position"] == position for other in map(_line, later)):
                raise BrokenChain(Kind.SWAP, position, name, f"line {found} stands before line {position}")
            if holds_another:
                raise BrokenChain(Kind.SWAP, position, name, f"the object holds the lines from position {found}")
            raise BrokenChain(Kind.DELETION, position, name, f"positions {position} to {found - 1} are missing")
        if found < position:
            if holds_another:
                raise BrokenChain(Kind.DUPLICATE, position, name, f"the object holds the lines from position {found}")
            if line["hash"] in seen:
                raise BrokenChain(Kind.DUPLICATE, found, name, "the line stands twice")
            raise BrokenChain(Kind.INSERTION, found, name, "the position is taken twice: a line was put in")
        if line["previous"] != self.head.hash:
            text = f"the line does not continue line {position - 1}" if position else "the line is not a first one"
            raise BrokenChain(Kind.FORK, position, name, text)

    def _check_kind(self, name: str, line: Line, entries: int, *, is_last: bool) -> None:
        position = self.head.positions
        if is_last and line["line"] != MARKS:
            raise BrokenChain(Kind.DELETION, position + 1, name, "the object does not end with its marks")
        if not is_last and line["line"] == MARKS:
            raise BrokenChain(Kind.INSERTION, position + 1, name, "lines follow the object's marks")
        defect = self._marks_defect(line, entries) if line["line"] == MARKS else self._offset_defect(line)
        if defect:
            raise BrokenChain(Kind.OFFSETS, position, name, defect)

    def _offset_defect(self, line: Line) -> str:
        place = (line["topic"], line["partition"])
        offset, mark = line["offset"], self.next_offsets.get(place, 0)
        if offset < mark:
            return f"{place[0]}/{place[1]} goes back to offset {offset} from {mark}"
        self.next_offsets[place] = line["next_offset"] if line["line"] == GAP else offset + 1
        return ""

    def _marks_defect(self, line: Line, entries: int) -> str:
        if line["entries"] != entries:
            return f"the marks count {line['entries']} entries, the object has {entries}"
        stated = {
            (topic, int(partition)): offset
            for topic, partitions in line["next_offsets"].items()
            for partition, offset in partitions.items()
        }
        for place, reached in self.next_offsets.items():
            if stated.get(place, -1) < reached:
                return f"the mark of {place[0]}/{place[1]} goes back from {reached}"
        self.next_offsets = stated
        return ""


_FIELDS: Mapping[str, Mapping[str, type]] = {
    ENTRY: {"topic": str, "partition": int, "offset": int},
    GAP: {"topic": str, "partition": int, "offset": int, "next_offset": int},
    MARKS: {"next_offsets": dict, "entries": int},
}


def _line(raw: bytes) -> Line | None:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and _well_formed(line) else None


def _well_formed(line: Line) -> bool:
    kind = line.get("line")
    fields = _FIELDS.get(kind) if isinstance(kind, str) else None
    if fields is None:
        return False
    needed = {**fields, "position": int, "previous": str, "hash": str}
    if any(type(line.get(name)) is not kind for name, kind in needed.items()):
        return False
    return line["line"] != MARKS or all(
        isinstance(partitions, dict)
        and all(name.isdecimal() and name.isascii() and type(offset) is int for name, offset in partitions.items())
        for partitions in line["next_offsets"].values()
    )


def previous_of(data: bytes) -> str:
    """Return the hash the first line of an object follows; of an object that states none, the one of no line."""
    line = _line(data.partition(b"\n")[0])
    return GENESIS if line is None else str(line["previous"])


def parse_head(text: bytes) -> Head:
    """Return the head in the bytes of a head object. Raises `BrokenChain` for anything else."""
    try:
        fields = json.loads(text)
        head = Head(fields["positions"], fields["hash"], fields["object"])
    except (ValueError, KeyError, TypeError) as error:
        raise BrokenChain(Kind.HEAD, 0, HEAD_NAME, "the head cannot be read") from error
    if type(head.positions) is not int or type(head.object) is not int or not isinstance(head.hash, str):
        raise BrokenChain(Kind.HEAD, 0, HEAD_NAME, "the head cannot be read")
    return head
