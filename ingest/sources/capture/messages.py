"""An RTP packet's bytes → its fields (RFC 3550 section 5.1). Pure; nothing that is sent can make it raise."""

import struct
from typing import NamedTuple

from ingest.sources.capture.findings import Defect

HEADER_BYTES = 12
SEQUENCE_BITS, TIMESTAMP_BITS = 16, 32
_FIXED = struct.Struct(">BBHII")
_VERSION = 2
_PADDING, _EXTENSION, _CONTRIBUTORS, _MARKER = 0x20, 0x10, 0x0F, 0x80
_RTCP = range(192, 224)
"""The second byte of RTCP packets beside RTP (RFC 5761 section 4)."""


class Packet(NamedTuple):
    """An RTP packet; the payload is without padding, CSRCs and header extension. `lack`: why it is not there."""

    ssrc: int
    sequence: int
    timestamp: int
    payload_type: int
    marker: bool
    payload: bytes
    lack: Defect | None = None


def parse(data: bytes, lack: Defect | None = None) -> Packet | Defect:
    """Return the packet in a datagram, or why there is none. `lack`: why only the datagram's begin is there."""
    if len(data) < HEADER_BYTES:
        return Defect.RTCP if _is_rtcp(data) else lack or Defect.NOT_RTP
    first, second, sequence, timestamp, ssrc = _FIXED.unpack_from(data)
    if first >> 6 != _VERSION:
        return Defect.NOT_RTP
    if second in _RTCP:
        return Defect.RTCP
    start, stop = HEADER_BYTES, len(data)
    if lack is None and first & ~0xC0:
        start += (first & _CONTRIBUTORS) * 4
        if first & _EXTENSION:
            # the length follows two bytes that the profile defines, and counts words behind itself
            start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
        if first & _PADDING:
            # the count includes itself
            stop -= data[-1] or stop + 1
        if start > stop:
            lack = Defect.BAD_RTP_HEADER
    payload = data[start:stop] if lack is None else b""
    return Packet(ssrc, sequence, timestamp, second & 0x7F, second & _MARKER != 0, payload, lack)


def _is_rtcp(data: bytes) -> bool:
    return len(data) >= 8 and data[0] >> 6 == _VERSION and data[1] in _RTCP  # noqa: PLR2004 - an empty report
