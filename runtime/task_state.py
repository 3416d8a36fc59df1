"""The bytes of a task's state in a changelog entry: the host's own part and the processor's snapshot. Pure.

Layout, big-endian: `CSTS`, layout number, length of the host's part, length of the snapshot, CRC-32 of both, host's
part, snapshot. What was cut short or damaged is noticed before a processor sees it.
"""

import struct
import zlib

from runtime.errors import StateCorrupted

_MAGIC = b"CSTS"
_LAYOUT = 1
_HEAD = struct.Struct(">4sBIII")


def pack(host: bytes, snapshot: bytes) -> bytes:
    """Return the state bytes of a changelog entry."""
    crc = zlib.crc32(snapshot, zlib.crc32(host))
    return b"".join((_HEAD.pack(_MAGIC, _LAYOUT, len(host), len(snapshot), crc), host, snapshot))


def unpack(state: bytes) -> tuple[bytes, bytes]:
    """Return the host's part and the snapshot. Raises `StateCorrupted` when these are not the bytes `pack` made."""
    if len(state) < _HEAD.size or state[:4] != _MAGIC:
        message = f"{len(state)} bytes that are no state of a task"
        raise StateCorrupted(message)
    _, layout, host_bytes, snapshot_bytes, crc = _HEAD.unpack_from(state)
    if layout != _LAYOUT:
        message = f"a state of layout {layout}, but this release reads layout {_LAYOUT}"
        raise StateCorrupted(message)
    body = state[_HEAD.size :]
    if len(body) != host_bytes + snapshot_bytes:
        message = f"{len(body)} bytes of state instead of {host_bytes + snapshot_bytes}: it was cut short"
        raise StateCorrupted(message)
    if zlib.crc32(body) != crc:
        message = "the state's check sum is wrong: it was damaged"
        raise StateCorrupted(message)
    return body[:host_bytes], body[host_bytes:]
