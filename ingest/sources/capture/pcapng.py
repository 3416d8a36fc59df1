"""A pcapng file, in pieces of any size → its frames (draft-ietf-opsawg-pcapng). Pure.

Sections in either byte order, each with its interfaces and their resolution and offset of time; enhanced, simple and
(obsolete) packet blocks; all other blocks are passed over. A packet block that contradicts itself or names no interface
is counted, as one with a time that no calendar has. A block whose length cannot be means that the file is damaged from
there on.
"""

import struct
from typing import Final, NamedTuple

from ingest.sources.capture.findings import Damage, Defect, Findings, Frame

MAGIC: Final = b"\x0a\x0d\x0d\x0a"
LONGEST_BLOCK_BYTES: Final = 16 << 20
MOST_INTERFACES: Final = 65_536
_SECTION, _INTERFACE, _PACKET, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 2, 3, 6
_LEAST_BYTES = {_SECTION: 28, _INTERFACE: 20, _PACKET: 32, _SIMPLE: 16, _ENHANCED: 32}
_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_END, _RESOLUTION, _OFFSET = 0, 9, 14
_MICROSECONDS = 1_000_000
_DATES_S = range(253_402_300_800)
"""From 1970 to 9999."""


class _Interface(NamedTuple):
    link: int
    snap_bytes: int
    per_s: int = _MICROSECONDS
    offset_s: int = 0


class PcapngReader:
    """Takes a file from its first byte on. `findings` gets the damage and the bad blocks."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._rest = b""
        self._offset = 0
        self._order = ""
        self._interfaces: list[_Interface] = []
        self._last_s = -1.0
        self._use("<")

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that are complete with this piece of the file; none after damage."""
        if self._findings.damage is not None:
            return []
        data = self._rest + data if self._rest else data
        frames: list[Frame] = []
        start = 0
        while (length := self._length(data, start)) > 0:
            kind = self._pair.unpack_from(data, start)[0]
            self._take(kind, data[start + 8 : start + length - 4], frames, start)
            start += length
            if self._findings.damage is not None:
                break
        self._rest = data[start:]
        self._offset += start
        return frames

    def end(self) -> None:
        """Take the end of the file: what is left of it is a block that was cut off."""
        if self._findings.damage is None:
            self._findings.cut_off_bytes = len(self._rest)

    def _use(self, order: str) -> None:
        self._order = order
        self._pair = struct.Struct(order + "II")
        self._word = struct.Struct(order + "I")
        self._five = struct.Struct(order + "5I")

    def _length(self, data: bytes, start: int) -> int:
        """Return the bytes of the next block, 0 where it is not complete, or is damaged."""
        if len(data) - start < 12:  # noqa: PLR2004 - its type, its length and the order of a section
            return 0
        if data[start : start + 4] == MAGIC:
            order = _ORDERS.get(data[start + 8 : start + 12])
            if order is None:
                return self._damaged(start, "a section of no known byte order")
            self._use(order)
        elif not self._offset + start:
            return self._damaged(start, "no section")
        kind, length = self._pair.unpack_from(data, start)
        if length % 4 or not _LEAST_BYTES.get(kind, 12) <= length <= LONGEST_BLOCK_BYTES:
            return self._damaged(start, f"a block of {length} bytes")
        stop = start + length
        if stop <= len(data) and self._word.unpack_from(data, stop - 4)[0] != length:
            return self._damaged(start, "a block whose two lengths differ")
        return int(length) if stop <= len(data) else 0

    def _damaged(self, start: int, what: str) -> int:
        self._findings.damage = Damage(self._offset + start, what)
        return 0

    def _take(self, kind: int, body: bytes, frames: list[Frame], start: int) -> None:
        if kind == _ENHANCED:
            index, high, low, captured, _ = self._five.unpack_from(body)
            self._add(frames, index, high << 32 | low, body[20 : 20 + captured], captured)
        elif kind == _SIMPLE:
            captured = self._word.unpack_from(body)[0]
            if self._interfaces and self._interfaces[0].snap_bytes:
                captured = min(captured, self._interfaces[0].snap_bytes)
            self._add(frames, 0, None, body[4 : 4 + captured], captured)
        elif kind == _PACKET:
            _, high, low, captured, _ = self._five.unpack_from(body)
            index = struct.unpack_from(self._order + "H", body)[0]
            self._add(frames, index, high << 32 | low, body[20 : 20 + captured], captured)
        elif kind == _SECTION:
            self._interfaces.clear()
        elif kind == _INTERFACE and len(self._interfaces) >= MOST_INTERFACES:
            self._damaged(start, f"more than {MOST_INTERFACES} interfaces")
        elif kind == _INTERFACE:
            self._interfaces.append(self._described(body))

    def _add(self, frames: list[Frame], index: int, ticks: int | None, data: bytes, captured: int) -> None:
        if index >= len(self._interfaces) or len(data) < captured:
            self._findings.passed_over[Defect.BAD_BLOCK] += 1
            return
        link, _, per_s, offset_s = self._interfaces[index]
        if ticks is not None:
            seconds, rest = divmod(ticks, per_s)
            if seconds + offset_s not in _DATES_S:
                self._findings.passed_over[Defect.BAD_BLOCK] += 1
                return
            self._last_s = seconds + offset_s + rest / per_s
        # a simple block has no time: it came when the one before it did, as far as anybody can tell
        frames.append(Frame(self._last_s, link, data))

    def _described(self, body: bytes) -> _Interface:
        order = self._order
        link, _, snap_bytes = struct.unpack_from(order + "HHI", body)
        found = _Interface(link, snap_bytes)
        start = 8
        while start + 4 <= len(body):
            code, length = struct.unpack_from(order + "HH", body, start)
            value = body[start + 4 : start + 4 + length]
            if code == _END or len(value) < length:
                break
            if code == _RESOLUTION and length == 1:
                found = found._replace(per_s=1 << (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0])
            elif code == _OFFSET and length == 8:  # noqa: PLR2004 - a 64-bit number
                found = found._replace(offset_s=struct.unpack(order + "q", value)[0])
            start += 4 + length + -length % 4
        return found
