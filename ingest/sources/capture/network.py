"""A captured frame → the UDP datagram in it. Pure.

Link types: Ethernet and Linux cooked (both) with any VLAN tags, raw IP, BSD loopback. IPv4 and IPv6 with extension
headers. Nothing is put together from fragments: the first one has the datagram's begin, which is enough for a number.
No tunnel is opened, and no checksum is looked at: capturing machines see their own packets before those are filled in.
"""

import struct
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import NamedTuple

from ingest.sources.capture.findings import Defect

_UDP = 17
_IPV4, _IPV6 = 4, 6
_ETHER_TYPES = {0x0800: _IPV4, 0x86DD: _IPV6}
_VLANS = (0x8100, 0x88A8, 0x9100)
_FRAGMENT_HEADER, _AUTHENTICATION = 44, 51
_OPTION_HEADERS = (0, 43, 60, _AUTHENTICATION, 135)
_MORE, _OFFSET = 0x2000, 0x1FFF
_OFFSET_IPV6, _MORE_IPV6 = 0xFFF8, 1
_UDP_BYTES, _IPV4_BYTES, _IPV6_BYTES, _FRAGMENT_BYTES = 8, 20, 40, 8
_ETHERNET = struct.Struct(">12xH")
_SHORT = struct.Struct(">H")
_TWO = struct.Struct(">HH")
_IPV4_HEADER = struct.Struct(">BxHxxHxB")
_SIX = struct.Struct(">4xHB")


class Datagram(NamedTuple):
    """A UDP datagram. Its ends are address and port as they stand in the packet: 6 bytes, or 18.

    `lack`: why only the begin of its payload is there, CUT_SHORT or FRAGMENT.
    """

    source: bytes
    destination: bytes
    payload: bytes
    lack: Defect | None = None


def end_text(end: bytes) -> str:
    """Return one end of a datagram as people write it."""
    port = int.from_bytes(end[-2:], "big")
    address = ip_address(end[:-2])
    return f"{address}:{port}" if address.version == _IPV4 else f"[{address}]:{port}"


def end_of(text: str) -> bytes:
    """Return the end that a text like `192.0.2.1:5004` or `[2001:db8::1]:5004` names. Raises `ValueError`."""
    host, colon, port = text.rpartition(":")
    number = int(port) if colon and port.isascii() and port.isdigit() else -1
    if not 0 <= number < 1 << 16:
        message = f"{text!r} ends with no port"
        raise ValueError(message)
    return ip_address(host.removeprefix("[").removesuffix("]")).packed + number.to_bytes(2, "big")


def datagram(link: int, data: bytes) -> Datagram | Defect:
    """Return the datagram of a frame, or why there is none."""
    begin = _LINKS.get(link)
    if begin is None:
        return Defect.UNKNOWN_LINK_TYPE
    try:
        start = begin(data)
        if start < 0:
            return Defect.NOT_IP
        version = data[start] >> 4
        if version == _IPV4:
            return _ipv4(data, start)
        return _ipv6(data, start) if version == _IPV6 else Defect.NOT_IP
    except (struct.error, IndexError):
        return Defect.CUT_SHORT


def _ethernet(data: bytes) -> int:
    """Return where the IP packet begins, -1 where there is none. Raises `struct.error` where the frame ends before."""
    return _behind_tags(data, _ETHERNET.unpack_from(data)[0], 14)


def _behind_tags(data: bytes, kind: int, start: int) -> int:
    while kind in _VLANS:
        kind = _SHORT.unpack_from(data, start + 2)[0]
        start += 4
    return start if kind in _ETHER_TYPES else -1


def _cooked(data: bytes) -> int:
    return _behind_tags(data, _SHORT.unpack_from(data, 14)[0], 16)


def _cooked_2(data: bytes) -> int:
    return _behind_tags(data, _SHORT.unpack_from(data)[0], 20)


def _raw(_: bytes) -> int:
    return 0


def _loopback(_: bytes) -> int:
    # which number means IPv6 depends on the system; the packet itself says it
    return 4


_LINKS: Mapping[int, Callable[[bytes], int]] = {
    0: _loopback,
    1: _ethernet,
    12: _raw,
    14: _raw,
    101: _raw,
    108: _loopback,
    113: _cooked,
    228: _raw,
    229: _raw,
    276: _cooked_2,
}


def _ipv4(data: bytes, start: int) -> Datagram | Defect:
    first, total, fragment, protocol = _IPV4_HEADER.unpack_from(data, start)
    header = (first & 0x0F) * 4
    # 0: the network card was to cut it into packets, and it was captured before
    stop = start + total if total else len(data)
    if header < _IPV4_BYTES or stop < start + header:
        return Defect.BAD_LENGTH
    if fragment & _OFFSET:
        return Defect.FRAGMENT
    if protocol != _UDP:
        return Defect.NOT_UDP
    ends = data[start + 12 : start + 16], data[start + 16 : start + 20]
    return _udp(data, start + header, stop, *ends, whole=not fragment & _MORE)


def _ipv6(data: bytes, start: int) -> Datagram | Defect:
    length, following = _SIX.unpack_from(data, start)
    at = start + _IPV6_BYTES
    stop = at + length
    while following in _OPTION_HEADERS:
        size = data[at + 1]
        following, at = data[at], at + (4 * (size + 2) if following == _AUTHENTICATION else 8 * (size + 1))
    whole = True
    if following == _FRAGMENT_HEADER:
        offset = _SHORT.unpack_from(data, at + 2)[0]
        if offset & _OFFSET_IPV6:
            return Defect.FRAGMENT
        whole, following, at = not offset & _MORE_IPV6, data[at], at + _FRAGMENT_BYTES
    if following != _UDP:
        return Defect.NOT_UDP
    return _udp(data, at, stop, data[start + 8 : start + 24], data[start + 24 : start + 40], whole=whole)


def _udp(  # noqa: PLR0913 - what an IP packet says
    data: bytes, at: int, stop: int, source: bytes, destination: bytes, *, whole: bool
) -> Datagram | Defect:
    """Return the datagram at a place; `stop` is where its IP packet ends, which is `whole` or its first fragment."""
    length = _TWO.unpack_from(data, at + 4)[0]
    end = at + length
    lack = None if whole else Defect.FRAGMENT
    if length < _UDP_BYTES or (end > stop and whole):
        return Defect.BAD_LENGTH
    if end > stop:
        end = stop
    elif end > len(data):
        lack = Defect.CUT_SHORT
    return Datagram(source + data[at : at + 2], destination + data[at + 2 : at + 4], data[at + 8 : end], lack)
