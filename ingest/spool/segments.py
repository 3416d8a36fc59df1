"""Records ↔ blocks of a segment file. Pure.

    segment = head, block, block, …     head = magic, salt, number, key id, CRC-32
    block   = header, body              header = magic, kind, topic, partition, records, number, length, CRC-32 of the
                                                 body, CRC-32 of the header itself
    body    = sealed(records)           record = key length (-1: none), value length, key, value

All numbers are big-endian. A header's checksum starts from that of its segment's head, whose salt is random, so a block
counts only in the file it was written to: neither bytes within a record nor blocks of another file pass for one.
Sealed bytes are bound to head and header. `scan` reads a file whatever happened to it: it returns every block that is
whole, names what is damaged, and tells the tail a crash tore off.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from ingest.spool.sealing import KEY_ID_BYTES, CannotOpen, Seal

SALT_BYTES = 16
_HEAD = struct.Struct(f">8s{SALT_BYTES}sQ{KEY_ID_BYTES}s")
_HEADER = struct.Struct(">4sBBiIQII")
_CRC = struct.Struct(">I")
_LENGTHS = struct.Struct(">iI")
_FILE_MAGIC, _BLOCK_MAGIC = b"CSSPOOL1", b"CSb\x01"
HEAD_BYTES = _HEAD.size + _CRC.size
HEADER_BYTES = _HEADER.size + _CRC.size


class Kind(Enum):
    """What a block holds."""

    RECORDS = 1
    COPIES = 2
    """Records that are under way to Kafka too."""
    JOURNAL = 3


class Stored(NamedTuple):
    """One record."""

    key: bytes | None
    value: bytes


class Header(NamedTuple):
    """What a block says of itself. `topic` is an index into the process's list, `number` counts the blocks of a run."""

    kind: Kind
    topic: int
    partition: int
    number: int
    records: int = 0
    length: int = 0
    body_crc: int = 0


class Damaged(Exception):
    """Bytes that are no block of this segment; the text says why."""


class Foreign(Exception):
    """A file that is no segment of ours, or one of another key; the text says why."""


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of a segment file."""

    number: int
    raw: bytes

    @property
    def crc(self) -> int:
        """What the checksums of its blocks' headers start from."""
        return zlib.crc32(self.raw)


@dataclass(frozen=True, slots=True)
class Whole:
    """A block that was read, and where it stands."""

    offset: int
    length: int
    header: Header
    records: list[Stored]


@dataclass(frozen=True, slots=True)
class Bad:
    """Bytes that should be a block and are none. `header` where it could be read."""

    offset: int
    length: int
    why: str
    header: Header | None = None


@dataclass(frozen=True, slots=True)
class Torn:
    """The end of a file whose last write was not finished."""

    offset: int
    length: int


def new_head(number: int, seal: Seal, salt: bytes) -> Head:
    """Return the head of a new segment."""
    fields = _HEAD.pack(_FILE_MAGIC, salt, number, seal.key_id)
    return Head(number, fields + _CRC.pack(zlib.crc32(fields)))


def read_head(data: bytes, seal: Seal) -> Head:
    """Return the head of a segment's bytes. Raises `Foreign`."""
    raw = data[:HEAD_BYTES]
    if len(raw) < HEAD_BYTES or zlib.crc32(raw[: _HEAD.size]) != _CRC.unpack(raw[_HEAD.size :])[0]:
        message = "the file does not begin as a segment does"
        raise Foreign(message)
    magic, _, number, key_id = _HEAD.unpack(raw[: _HEAD.size])
    if magic != _FILE_MAGIC:
        message = "the file is of another version"
        raise Foreign(message)
    if key_id != seal.key_id:
        message = "the file was written with another key"
        raise Foreign(message)
    return Head(number, raw)


def encode(head: Head, header: Header, records: Sequence[Stored], seal: Seal) -> bytes:
    """Return a block; count, length and checksums of the header are filled in."""
    parts = []
    for key, value in records:
        parts += [_LENGTHS.pack(-1 if key is None else len(key), len(value)), key or b"", value]
    plain = b"".join(parts)
    place = _place(head, header, len(records))
    body = seal.close(plain, place)
    fields = _HEADER.pack(
        _BLOCK_MAGIC,
        header.kind.value,
        header.topic,
        header.partition,
        len(records),
        header.number,
        len(body),
        zlib.crc32(body),
    )
    return fields + _CRC.pack(zlib.crc32(fields, head.crc)) + body


def decode(head: Head, data: bytes, seal: Seal) -> tuple[Header, list[Stored]]:
    """Return what a block holds. Raises `Damaged`."""
    header = _header(head, data, 0)
    if header is None or HEADER_BYTES + header.length != len(data):
        message = "there is no block here"
        raise Damaged(message)
    return header, _records(head, header, data[HEADER_BYTES:], seal)


def scan(data: bytes, seal: Seal) -> Iterator[Whole | Bad | Torn]:
    """Yield the parts of a segment's bytes in order, all of them. Raises `Foreign` before the first."""
    if len(data) < HEAD_BYTES and _FILE_MAGIC.startswith(data[: len(_FILE_MAGIC)]):
        # whoever made the file died before its head was written
        yield Torn(0, len(data))
        return
    head = read_head(data, seal)
    offset, size = HEAD_BYTES, len(data)
    while offset < size:
        header = _header(head, data, offset)
        if header is None:
            following = _next_header(head, data, offset + 1)
            yield _unreadable(data, offset, following)
            offset = following
            continue
        end = offset + HEADER_BYTES + header.length
        if end > size:
            yield Torn(offset, size - offset)
            return
        try:
            records = _records(head, header, data[offset + HEADER_BYTES : end], seal)
        except Damaged as error:
            yield Bad(offset, end - offset, str(error), header)
        else:
            yield Whole(offset, end - offset, header, records)
        offset = end


def _place(head: Head, header: Header, records: int) -> bytes:
    fields = (_BLOCK_MAGIC, header.kind.value, header.topic, header.partition, records, header.number, 0, 0)
    return head.raw + _HEADER.pack(*fields)


def _header(head: Head, data: bytes, offset: int) -> Header | None:
    """Return the header at an offset, None where there is none that its checksum confirms."""
    raw = data[offset : offset + HEADER_BYTES]
    if len(raw) < HEADER_BYTES or not raw.startswith(_BLOCK_MAGIC):
        return None
    fields = raw[: _HEADER.size]
    if zlib.crc32(fields, head.crc) != _CRC.unpack(raw[_HEADER.size :])[0]:
        return None
    _, kind, topic, partition, records, number, length, body_crc = _HEADER.unpack(fields)
    try:
        return Header(Kind(kind), topic, partition, number, records, length, body_crc)
    except ValueError:
        return None


def _next_header(head: Head, data: bytes, offset: int) -> int:
    """Return where the next header stands, the end of the data if nowhere."""
    while (found := data.find(_BLOCK_MAGIC, offset)) >= 0:
        if _header(head, data, found) is not None:
            return found
        offset = found + 1
    return len(data)


def _unreadable(data: bytes, offset: int, end: int) -> Bad | Torn:
    rest = data[offset:end]
    # a file may have been made longer before its bytes were written
    if end == len(data) and (len(rest) < HEADER_BYTES or not any(rest)):
        return Torn(offset, len(rest))
    return Bad(offset, len(rest), "a block's header is damaged")


def _records(head: Head, header: Header, body: bytes, seal: Seal) -> list[Stored]:
    if zlib.crc32(body) != header.body_crc:
        message = "a block's bytes do not match their checksum"
        raise Damaged(message)
    try:
        plain = seal.open(body, _place(head, header, header.records))
    except CannotOpen:
        message = "a block was not sealed with this key"
        raise Damaged(message) from None
    records, offset = [], 0
    try:
        while offset < len(plain):
            key_bytes, value_bytes = _LENGTHS.unpack_from(plain, offset)
            start = offset + _LENGTHS.size + max(0, key_bytes)
            key = None if key_bytes < 0 else plain[offset + _LENGTHS.size : start]
            offset = start + value_bytes
            records.append(Stored(key, plain[start:offset]))
    except struct.error:
        offset = -1
    if offset != len(plain) or len(records) != header.records:
        message = "a block does not hold the records it says"
        raise Damaged(message)
    return records
