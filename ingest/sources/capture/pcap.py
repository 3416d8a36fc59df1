"""A pcap file, in pieces of any size → its frames (draft-ietf-opsawg-pcap). Pure.

Either byte order, times in µs or ns. A record that is longer than any frame can be means that the file is damaged from
there on; a file that ends within a record was cut off, which is what happens when a capture is ended by force.
"""

import struct
from typing import Final

from ingest.sources.capture.findings import Damage, Findings, Frame

HEADER_BYTES: Final = 24
LONGEST_FRAME_BYTES: Final = 1 << 20
"""Four times what capture tools allow."""
_RECORD_BYTES = 16
_MAGIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1_000_000),
    b"\xa1\xb2\xc3\xd4": (">", 1_000_000),
    b"\x4d\x3c\xb2\xa1": ("<", 1_000_000_000),
    b"\xa1\xb2\x3c\x4d": (">", 1_000_000_000),
}
MAGICS: Final = frozenset(_MAGIC)


class PcapReader:
    """Takes a file from its first byte on. `findings` gets the damage."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._rest = b""
        self._offset = 0
        self._open = False
        self._record = struct.Struct("<IIII")
        self._per_s = 1
        self._link = -1

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that are complete with this piece of the file; none after damage."""
        if self._findings.damage is not None:
            return []
        data = self._rest + data if self._rest else data
        start = 0
        if not self._open:
            if len(data) < HEADER_BYTES:
                self._rest = data
                return []
            self._begin(data)
            start = HEADER_BYTES
        frames, start = self._frames(data, start)
        self._rest = data[start:]
        self._offset += start
        return frames

    def end(self) -> None:
        """Take the end of the file: what is left of it is a record that was cut off."""
        if self._findings.damage is None:
            self._findings.cut_off_bytes = len(self._rest)

    def _begin(self, data: bytes) -> None:
        self._open = True
        order, self._per_s = _MAGIC[data[:4]]
        self._record = struct.Struct(order + "IIII")
        # the upper half says how long the frame check sequence is, which lies behind what IP's length covers
        self._link = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF

    def _frames(self, data: bytes, start: int) -> tuple[list[Frame], int]:
        frames: list[Frame] = []
        unpack_from = self._record.unpack_from
        per_s, link, last = self._per_s, self._link, len(data) - _RECORD_BYTES
        while start <= last:
            seconds, fraction, captured, _ = unpack_from(data, start)
            if captured > LONGEST_FRAME_BYTES:
                what = f"a record of {captured} bytes"
                self._findings.damage = Damage(self._offset + start, what)
                return frames, len(data)
            body = start + _RECORD_BYTES
            stop = body + captured
            if stop > len(data):
                break
            frames.append(Frame(seconds + fraction / per_s, link, data[body:stop]))
            start = stop
        return frames, start
