"""One RTP packet of a made-up capture, and its bytes on the wire (RFC 3550 section 5.1)."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

Address = tuple[str, int]
"""Host (IPv4 or IPv6 text) and port."""


class Packet(NamedTuple):
    """A packet as it arrived: when (µs since the epoch), its RTP header fields (16 and 32 bits), its way."""

    arrival_us: int
    ssrc: int
    sequence: int
    timestamp: int
    payload_type: int
    marker: bool
    payload: bytes
    source: Address
    destination: Address


def rtp(
    packet: Packet, *, csrc: Sequence[int] = (), extension: bytes | None = None, padding: int = 0, version: int = 2
) -> bytes:
    """Return the packet as bytes. `extension`: its words, a multiple of four bytes; `padding`: bytes of it, 0 none."""
    first = version << 6 | bool(padding) << 5 | (extension is not None) << 4 | len(csrc)
    second = packet.marker << 7 | packet.payload_type
    header = struct.pack(">BBHII", first, second, packet.sequence, packet.timestamp, packet.ssrc)
    header += b"".join(struct.pack(">I", one) for one in csrc)
    if extension is not None:
        header += struct.pack(">HH", 0xBEDE, len(extension) // 4) + extension
    tail = bytes(padding - 1) + bytes([padding]) if padding else b""
    return header + packet.payload + tail
