"""Packets → pcap and pcapng files, in every shape that tools write."""

import socket
import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum
from pathlib import Path

from tests.captures.packets import Address, Packet, rtp

_UDP = 17


class Link(IntEnum):
    """Link types, by their number in the file."""

    LOOPBACK_NULL = 0
    ETHERNET = 1
    RAW = 101
    LOOP = 108
    LINUX_COOKED = 113
    IPV4 = 228
    IPV6 = 229
    LINUX_COOKED_2 = 276


def udp(data: bytes, source: Address, destination: Address) -> bytes:
    """Return an IP packet (version 4 or 6 by the addresses) that carries a UDP datagram. No UDP checksum."""
    datagram = struct.pack(">HHHH", source[1], destination[1], 8 + len(data), 0) + data
    return ip(datagram, source[0], destination[0], _UDP)


def ip(body: bytes, source: str, destination: str, protocol: int, *, fragment: int = 0) -> bytes:
    """Return an IP packet. `fragment`: the flags and offset field of IPv4."""
    if ":" in source:
        header = struct.pack(">IHBB", 6 << 28, len(body), protocol, 64)
        return (
            header + socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, destination) + body
        )
    ends = socket.inet_aton(source) + socket.inet_aton(destination)
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 0, fragment, 64, protocol, 0) + ends
    words = sum(struct.unpack(">10H", header))
    checksum = ~(words + (words >> 16)) & 0xFFFF
    return header[:10] + struct.pack(">H", checksum) + header[12:] + body


def frame(packet: bytes, link: int = Link.ETHERNET, *, vlans: Sequence[int] = ()) -> bytes:
    """Return an IP packet as a frame of a link type."""
    six = packet[0] >> 4 == 6
    kind = 0x86DD if six else 0x0800
    if link == Link.ETHERNET:
        tags = b"".join(struct.pack(">HH", 0x8100, vlan) for vlan in vlans)
        return bytes(6) + b"\x02" + bytes(5) + tags + struct.pack(">H", kind) + packet
    if link == Link.LINUX_COOKED:
        return struct.pack(">HHH8sH", 0, 1, 6, bytes(8), kind) + packet
    if link == Link.LINUX_COOKED_2:
        return struct.pack(">HHIHBB8s", kind, 0, 1, 1, 0, 6, bytes(8)) + packet
    if link == Link.LOOPBACK_NULL:
        return struct.pack("<I", 24 if six else 2) + packet
    if link == Link.LOOP:
        return struct.pack(">I", 24 if six else 2) + packet
    return packet


def framed(packets: Iterable[Packet], link: int = Link.ETHERNET) -> Iterable[tuple[int, bytes]]:
    """Return the arrival and the frame of each packet."""
    for packet in packets:
        yield packet.arrival_us, frame(udp(rtp(packet), packet.source, packet.destination), link)


def pcap_header(link: int = Link.ETHERNET, *, nanoseconds: bool = False, order: str = "<") -> bytes:
    """Return the header of a pcap file. `order`: `<` or `>`."""
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    return struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262_144, link)


def pcap_record(arrival_us: int, data: bytes, *, nanoseconds: bool = False, order: str = "<") -> bytes:
    """Return one record of a pcap file."""
    seconds, part = divmod(arrival_us, 1_000_000)
    fraction = part * 1000 if nanoseconds else part
    return struct.pack(order + "IIII", seconds, fraction, len(data), len(data)) + data


def write_pcap(
    path: Path,
    packets: Iterable[Packet],
    *,
    link: int = Link.ETHERNET,
    nanoseconds: bool = False,
    order: str = "<",
) -> Path:
    """Write packets, in the order given, as a pcap file. Return its path."""
    with path.open("wb") as file:
        file.write(pcap_header(link, nanoseconds=nanoseconds, order=order))
        for arrival_us, data in framed(packets, link):
            file.write(pcap_record(arrival_us, data, nanoseconds=nanoseconds, order=order))
    return path


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """Return a block of a pcapng file; the body is padded."""
    body += bytes(-len(body) % 4)
    return struct.pack(order + "II", kind, 12 + len(body)) + body + struct.pack(order + "I", 12 + len(body))


def option(code: int, value: bytes, order: str = "<") -> bytes:
    """Return an option of a block, padded."""
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str = "<") -> bytes:
    """Return a section header block of unknown length."""
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(
    link: int = Link.ETHERNET, order: str = "<", *, resolution: int | None = None, offset_s: int | None = None
) -> bytes:
    """Return an interface description block. `resolution`: if_tsresol as its byte, `offset_s`: if_tsoffset."""
    options = b""
    if resolution is not None:
        options += option(9, bytes([resolution]), order)
    if offset_s is not None:
        options += option(14, struct.pack(order + "q", offset_s), order)
    if options:
        options += option(0, b"", order)
    return block(1, struct.pack(order + "HHI", link, 0, 0) + options, order)


def enhanced(ticks: int, data: bytes, order: str = "<", *, interface_id: int = 0) -> bytes:
    """Return an enhanced packet block; `ticks` since the epoch in the interface's resolution."""
    head = struct.pack(order + "IIIII", interface_id, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    return block(6, head + data, order)


def simple(data: bytes, order: str = "<") -> bytes:
    """Return a simple packet block: it has no time."""
    return block(3, struct.pack(order + "I", len(data)) + data, order)


def write_pcapng(  # noqa: PLR0913 - what tools choose
    path: Path,
    packets: Iterable[Packet],
    *,
    link: int = Link.ETHERNET,
    order: str = "<",
    resolution: int | None = None,
    offset_s: int = 0,
) -> Path:
    """Write packets, in the order given, as a pcapng file of one section and interface. Return its path.

    `resolution` is if_tsresol: 6 and None µs, 9 ns, with the highest bit set a power of two. `offset_s` is if_tsoffset.
    """
    value = 6 if resolution is None else resolution
    per_s = 1 << (value & 0x7F) if value & 0x80 else 10**value
    with path.open("wb") as file:
        file.write(section(order) + interface(link, order, resolution=resolution, offset_s=offset_s or None))
        for arrival_us, data in framed(packets, link):
            ticks = (arrival_us - offset_s * 1_000_000) * per_s // 1_000_000
            file.write(enhanced(ticks, data, order))
    return path
