"""A poll of calls.audio ↔ columns.

`decode` reads all values of a poll at once: values whose schema is of fixed width are viewed by numpy, all others take
the slow path through fastavro, with the same columns as result. It never raises on bad input: `Frames.ok` and
`Frames.errors` say which rows are no frames and why.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio.layout import BAD_CODE, FrameLayout, layout, reader_fields
from schemas.codec import FRAMING_BYTES, SchemaStore, as_bytes, framing
from schemas.errors import InvalidRecord
from schemas.records import AudioFrame, SessionInfo
from schemas.symbols import FrameKind
from schemas.versions import newest

SESSION_BYTES = 16
_MAX_EXACT = 2.0**53
_MAX_EXACT_S = _MAX_EXACT / 1e6
_VARINT_LIMITS = ((1, 0, 1 << 6), (2, 1 << 6, 1 << 13), (3, 1 << 13, 1 << 20), (4, 1 << 20, 1 << 27))
_AUDIO, _TICK = FrameKind.AUDIO.code, FrameKind.TICK.code
_WITH_INFO = (FrameKind.OPENED.code, FrameKind.INFO.code)


@dataclass(slots=True)
class Frames:
    """The records of one poll of one partition as columns of `n` rows, in the order of the partition.

    Enum columns hold symbol codes (`FrameKind.AUDIO.code`). Counters are whole numbers. `payload_start` and
    `payload_bytes` locate each payload in `buffer` (uint8). Where `ok` is False the row is no frame: `errors[row]`
    says why, and only where `identified` is True may its `session_id` and `sequence` be used (to step over it).
    `infos` holds the SessionInfo of the OPENED and INFO rows.
    """

    buffer: NDArray[np.uint8]
    payload_start: NDArray[np.int64]
    payload_bytes: NDArray[np.int64]
    ok: NDArray[np.bool_]
    identified: NDArray[np.bool_]
    errors: dict[int, str]
    infos: dict[int, SessionInfo]
    kind: NDArray[np.uint8]
    reason: NDArray[np.uint8]
    source: NDArray[np.uint8]
    codec: NDArray[np.uint8]
    channels: NDArray[np.uint8]
    late: NDArray[np.bool_]
    marker: NDArray[np.bool_]
    payload_type: NDArray[np.int64]
    sample_rate_hz: NDArray[np.int64]
    source_clock_hz: NDArray[np.int64]
    source_sequence_bits: NDArray[np.int64]
    source_timestamp_bits: NDArray[np.int64]
    session_id: NDArray[np.void]
    stream: NDArray[np.int64]
    sequence: NDArray[np.int64]
    source_sequence: NDArray[np.int64]
    source_timestamp: NDArray[np.int64]
    position_samples: NDArray[np.int64]
    duration_samples: NDArray[np.int64]
    captured_at_us: NDArray[np.int64]
    """Microseconds since the epoch, -1 where absent."""

    def __len__(self) -> int:
        return len(self.ok)

    def payload(self, row: int) -> bytes:
        """Return the payload bytes of one row."""
        start = int(self.payload_start[row])
        return self.buffer[start : start + int(self.payload_bytes[row])].tobytes()

    def kill(self, row: int, why: str) -> None:
        """Mark a row as no frame: its identity still counts, its content does not."""
        self.ok[row] = False
        self.errors[row] = why
        self.infos.pop(row, None)

    def slice(self, start: int, stop: int) -> "Frames":
        """Return the rows from `start` up to `stop` as columns of their own, without copying the payloads."""
        return Frames(
            buffer=self.buffer,
            errors={row - start: why for row, why in self.errors.items() if start <= row < stop},
            infos={row - start: info for row, info in self.infos.items() if start <= row < stop},
            **{name: getattr(self, name)[start:stop] for name in _SLICED},
        )


_SLICED = tuple(field.name for field in fields(Frames) if field.name not in ("buffer", "errors", "infos"))
_COUNTERS = (
    "payload_type",
    "sample_rate_hz",
    "source_clock_hz",
    "source_sequence_bits",
    "source_timestamp_bits",
    "stream",
    "sequence",
    "source_sequence",
    "source_timestamp",
    "position_samples",
    "duration_samples",
)
_ENUMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {field.name: field.symbols for field in reader_fields() if field.avro_type == "enum"}
)
_BOOLEANS = ("late", "marker")


def unknown_ids(values: Sequence[bytes | None], store: SchemaStore) -> set[int]:
    """Return the schema ids in a poll that `store` does not know yet, so that a registry can be asked for them."""
    heads = {value[:FRAMING_BYTES] for value in values if value is not None and len(value) >= FRAMING_BYTES}
    ids = {int.from_bytes(head[1:], "big") for head in heads if head[0] == 0}
    return {schema_id for schema_id in ids if store.get(schema_id) is None}


def decode(values: Sequence[bytes | None], store: SchemaStore) -> Frames:
    """Return the columns of a poll's values. A null value is a row with an error like any other bad one."""
    present = [b"" if value is None else value for value in values]
    n = len(present)
    lengths = np.fromiter(map(len, present), np.int64, n)
    table = _Table(n, present, lengths)
    for head, rows in _rows_by_head(present):
        error = _framing_error(head, store)
        if error is not None:
            table.fail(rows, error)
            continue
        schema_id = int.from_bytes(head[1:], "big")
        fixed = _layout_of(store, schema_id)
        slow = rows if fixed is None else table.view(rows, fixed)
        for row in slow.tolist():
            table.read_slowly(row, schema_id, store)
    for row, value in enumerate(values):
        if value is None:
            table.errors[row] = "the value is null"
    return table.finish(store)


def _rows_by_head(values: list[bytes]) -> list[tuple[bytes, NDArray[np.int64]]]:
    heads = [value[:FRAMING_BYTES] for value in values]
    if not heads or heads.count(heads[0]) == len(heads):  # the usual poll: one schema
        return [(head, np.arange(len(heads))) for head in heads[:1]]
    rows: dict[bytes, list[int]] = {}
    for row, head in enumerate(heads):
        rows.setdefault(head, []).append(row)
    return [(head, np.array(found, np.int64)) for head, found in rows.items()]


def _framing_error(head: bytes, store: SchemaStore) -> str | None:
    if len(head) < FRAMING_BYTES:
        return "the value is too short for the framing"
    if head[0] != 0:
        return f"the framing starts with byte {head[0]}, not 0"
    schema_id = int.from_bytes(head[1:], "big")
    return f"schema id {schema_id} is not known" if store.get(schema_id) is None else None


def _layout_of(store: SchemaStore, schema_id: int) -> FrameLayout | None:
    writer = store.get(schema_id)
    return None if writer is None else _cached_layout(_Key(writer.definition))


class _Key:
    """A schema's JSON as a cache key, by identity: the store keeps each schema for ever."""

    def __init__(self, definition: Mapping[str, Any]) -> None:
        self.definition = definition

    def __hash__(self) -> int:
        return id(self.definition)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.definition is self.definition


@cache
def _cached_layout(key: _Key) -> FrameLayout | None:
    return layout(key.definition)


class _Table:
    """The columns of one poll while they are being filled."""

    def __init__(self, n: int, values: list[bytes], lengths: NDArray[np.int64]) -> None:
        self.values = values
        self.lengths = lengths
        self.joined = b"".join(values)
        self.extra: list[bytes] = []
        self.extra_bytes = 0
        self.buffer = np.frombuffer(self.joined, np.uint8)
        self.starts = np.cumsum(lengths) - lengths
        self.payload_start = np.zeros(n, np.int64)
        self.payload_bytes = np.zeros(n, np.int64)
        self.ok = np.zeros(n, np.bool_)
        self.identified = np.zeros(n, np.bool_)
        self.errors: dict[int, str] = {}
        self.codes = {name: np.zeros(n, np.uint8) for name in _ENUMS}
        self.flags = {name: np.zeros(n, np.bool_) for name in _BOOLEANS}
        self.numbers = {name: np.full(n, -1.0) for name in (*_COUNTERS, "captured_at_s")}
        self.session_id = np.zeros(n, f"V{SESSION_BYTES}")

    def fail(self, rows: NDArray[np.int64], why: str) -> None:
        self.errors.update(dict.fromkeys(rows.tolist(), why))

    def view(self, rows: NDArray[np.int64], fixed: FrameLayout) -> NDArray[np.int64]:
        """Fill the rows of one schema through its layout; return those only the slow path can judge."""
        behind = FRAMING_BYTES + fixed.width_bytes
        long_enough = self.lengths[rows] > behind
        short, rows = rows[~long_enough], rows[long_enough]
        if len(rows) == 0:
            return short
        whole = len(rows) == len(self.values)
        values = self.values if whole else [self.values[row] for row in rows.tolist()]
        seen = np.frombuffer(b"".join([value[FRAMING_BYTES:behind] for value in values]), fixed.dtype)
        target = slice(None) if whole else rows
        valid = self._payload(rows, behind)
        sound = self._copy(seen, fixed, target)
        self.identified[target] = True
        self.ok[target] = valid & sound
        if not sound.all():
            self._fail_unsound(rows[~sound])
        return np.concatenate((short, rows[~valid & sound]))

    def _copy(self, seen: NDArray[np.void], fixed: FrameLayout, target: slice | NDArray[np.int64]) -> NDArray[np.bool_]:
        """Copy the viewed fields into the columns; False where a byte is no symbol or no boolean."""
        sound = np.ones(len(seen), np.bool_)
        for name, codes in fixed.codes.items():
            known = codes[seen[name]]
            sound &= known != BAD_CODE
            self.codes[name][target] = known
        for name in _BOOLEANS:
            if name in fixed.names:
                self.flags[name][target] = seen[name] != 0
                sound &= seen[name] <= 1
        for name in self.numbers:
            if name in fixed.names:
                self.numbers[name][target] = seen[name]
        if "session_id" in fixed.names:
            self.session_id[target] = seen["session_id"]
        for field in fixed.missing:
            self._default(target, field.name, field.default)
        return sound

    def _fail_unsound(self, rows: NDArray[np.int64]) -> None:
        """Fail rows with a byte that is no symbol or no boolean. fastavro would take such a byte for another value."""
        self.fail(rows, "an enum or boolean byte is out of range")
        for column in self.codes.values():
            column[rows[column[rows] == BAD_CODE]] = 0

    def _payload(self, rows: NDArray[np.int64], behind: int) -> NDArray[np.bool_]:
        """Locate the payloads; False where the length written before the payload is not the length that is left."""
        rest = self.lengths[rows] - behind
        start = self.starts[rows] + behind
        valid = np.zeros(len(rows), np.bool_)
        for width, low, high in _VARINT_LIMITS:
            size = rest - width
            fits = (size >= low) & (size < high)
            if not fits.any():
                continue
            zigzag = 2 * size
            for index in range(width):
                byte = (zigzag >> (7 * index)) & 0x7F | (0x80 if index < width - 1 else 0)
                at = np.where(fits, start + index, 0)
                fits &= self.buffer[at] == byte
            valid |= fits
            self.payload_start[rows[fits]] = start[fits] + width
            self.payload_bytes[rows[fits]] = size[fits]
        return valid

    def _default(self, target: slice | NDArray[np.int64], name: str, default: Any) -> None:
        if name in self.codes:
            self.codes[name][target] = _ENUMS[name].index(default)
        elif name in self.flags:
            self.flags[name][target] = bool(default)
        elif name in self.numbers:
            self.numbers[name][target] = float(default)

    def read_slowly(self, row: int, schema_id: int, store: SchemaStore) -> None:
        """Fill one row through fastavro."""
        self.ok[row] = False
        try:
            datum = store.decode_datum(schema_id, self.values[row], "audio_frame")
        except InvalidRecord as error:
            self.errors[row] = str(error)
            return
        for name, symbols in _ENUMS.items():
            self.codes[name][row] = symbols.index(datum[name])
        for name in _BOOLEANS:
            self.flags[name][row] = datum[name]
        for name, column in self.numbers.items():
            column[row] = datum[name]
        self.session_id[row] = np.void(as_bytes(datum["session_id"]))
        payload = as_bytes(datum["payload"])
        self.payload_start[row] = len(self.joined) + self.extra_bytes
        self.payload_bytes[row] = len(payload)
        self.extra.append(payload)
        self.extra_bytes += len(payload)
        self.ok[row] = True
        self.identified[row] = True

    def finish(self, store: SchemaStore) -> Frames:
        if self.extra:
            self.buffer = np.frombuffer(self.joined + b"".join(self.extra), np.uint8)
        self._check_numbers()
        captured_at_s = self.numbers.pop("captured_at_s")
        captured = np.where(captured_at_s < 0, -1, np.rint(captured_at_s * 1e6)).astype(np.int64)
        columns: dict[str, Any] = {name: column.astype(np.int64) for name, column in self.numbers.items()}
        columns.update(self.codes)
        columns.update(self.flags)
        frames = Frames(
            buffer=self.buffer,
            payload_start=self.payload_start,
            payload_bytes=self.payload_bytes,
            ok=self.ok,
            identified=self.identified,
            errors=self.errors,
            infos={},
            session_id=self.session_id,
            captured_at_us=captured,
            **columns,
        )
        _check_meaning(frames)
        _read_infos(frames, store)
        return frames

    def _check_numbers(self) -> None:
        """Fail the rows whose numbers are not finite, not whole or beyond what a double holds exactly."""
        for name, column in self.numbers.items():
            with np.errstate(invalid="ignore"):
                bad = ~(np.abs(column) < (_MAX_EXACT_S if name == "captured_at_s" else _MAX_EXACT))
                if name != "captured_at_s":
                    bad |= np.floor(column) != column
            if not bad.any():
                continue
            for row in np.flatnonzero(bad).tolist():
                if self.ok[row]:
                    self.errors[row] = f"{name} is not a whole number" if name != "captured_at_s" else f"{name} is bad"
            self.ok[bad] = False
            if name == "sequence":
                self.identified[bad] = False
            column[bad] = -1.0


def _check_meaning(frames: Frames) -> None:
    """Fail the rows that are well formed but cannot be what they say."""
    tick = frames.kind == _TICK
    audio = frames.kind == _AUDIO
    nobody = frames.session_id == np.zeros(1, f"V{SESSION_BYTES}")[0]
    checks = (
        ((frames.sequence < 0) & ~tick, "the sequence is negative"),
        (nobody & ~tick, "the session id is zero"),
        (audio & (frames.sample_rate_hz <= 0), "audio without a sample rate"),
        (audio & (frames.position_samples < 0), "audio without a position"),
    )
    for index, (suspect, why) in enumerate(checks):
        bad = suspect & frames.identified
        if not bad.any():
            continue
        for row in np.flatnonzero(bad & frames.ok).tolist():
            frames.errors[row] = why
        frames.ok[bad] = False
        if index <= 1:
            frames.identified[bad] = False


def _read_infos(frames: Frames, store: SchemaStore) -> None:
    for row in np.flatnonzero(frames.ok & np.isin(frames.kind, _WITH_INFO)).tolist():
        try:
            frames.infos[row] = store.decode(frames.payload(row), SessionInfo)
        except InvalidRecord as error:
            frames.kill(row, f"SessionInfo: {error}")


_FIXED = struct.Struct("<5B2?5f16s7d")


class FrameEncoder:
    """Writes AudioFrame records as framed bytes. One per schema id; stateless, so it may be shared."""

    def __init__(self, store: SchemaStore) -> None:
        schema_id = store.write_id("audio_frame")
        expected = layout(newest("audio_frame").definition)
        if expected is None or expected.width_bytes != _FIXED.size:  # pragma: no cover - the schema test forbids it
            message = "the encoder does not fit the newest AudioFrame schema"
            raise ValueError(message)
        self._framing = framing(schema_id)

    def encode(self, frame: AudioFrame) -> bytes:
        """Return one record as framed bytes. Raises `struct.error` when a number does not fit its field."""
        fixed = _FIXED.pack(
            2 * frame.kind.code,
            2 * frame.reason.code,
            2 * frame.source.code,
            2 * frame.codec.code,
            2 * frame.channels.code,
            frame.late,
            frame.marker,
            frame.payload_type,
            frame.sample_rate_hz,
            frame.source_clock_hz,
            frame.source_sequence_bits,
            frame.source_timestamp_bits,
            frame.session_id,
            frame.stream,
            frame.sequence,
            frame.source_sequence,
            frame.source_timestamp,
            frame.position_samples,
            frame.duration_samples,
            frame.captured_at_s,
        )
        return b"".join((self._framing, fixed, varint(len(frame.payload)), frame.payload))


def varint(size: int) -> bytes:
    """Return a non-negative number as Avro writes a long: zigzag, seven bits a byte, lowest first."""
    rest = 2 * size
    out = bytearray()
    while rest > 0x7F:  # noqa: PLR2004 - seven bits
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)
