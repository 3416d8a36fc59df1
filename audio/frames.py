"""A poll of calls.audio ↔ columns.

`decode` reads all values of a poll at once: values whose schema is of fixed width are viewed by numpy, all others take
the slow path through fastavro, with the same columns as result. It never raises on bad input: `Frames.ok` and
`Frames.errors` say which rows are no frames and why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audio.frame_encoder import FrameEncoder, varint
from audio.frame_table import SESSION_BYTES, FrameTable
from audio.layout import FrameLayout, layout
from schemas.codec import FRAMING_BYTES, SchemaStore, split
from schemas.errors import InvalidRecord
from schemas.records import SessionInfo
from schemas.symbols import FrameKind

__all__ = ["SESSION_BYTES", "FrameEncoder", "Frames", "decode", "unknown_ids", "varint"]

_AUDIO, _TICK = FrameKind.AUDIO.code, FrameKind.TICK.code
_OPENED, _INFO = FrameKind.OPENED.code, FrameKind.INFO.code
# the kind is the first field, and its symbol n is written as 2n
_INFO_KINDS = frozenset(bytes([2 * code]) for code in (_OPENED, _INFO))
_NOBODY = np.zeros(1, f"V{SESSION_BYTES}")[0]


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


def unknown_ids(values: Sequence[bytes | None], store: SchemaStore) -> set[int]:
    """Return the schema ids in a poll that `store` does not know yet, so that a registry can be asked for them.

    Looks into the OPENED and INFO records of calls.audio too: their SessionInfo has a schema of its own. An id inside a
    record whose own schema is unknown shows only after that one was learnt, so ask until nothing new comes.
    """
    openings = {value[: FRAMING_BYTES + 1] for value in values if value is not None and len(value) >= FRAMING_BYTES}
    ids = {int.from_bytes(opening[1:FRAMING_BYTES], "big") for opening in openings if opening[0] == 0}
    if any(opening[FRAMING_BYTES:] in _INFO_KINDS for opening in openings):
        ids |= {found for value in values if value is not None for found in _info_id(value, store)}
    return {schema_id for schema_id in ids if store.get(schema_id) is None}


def _info_id(value: bytes, store: SchemaStore) -> list[int]:
    """Return the schema id of the SessionInfo in a record, where it is an OPENED or INFO that can be read."""
    if value[FRAMING_BYTES : FRAMING_BYTES + 1] not in _INFO_KINDS:
        return []
    try:
        schema_id = split(value)
        if _layout_of(store, schema_id) is None:
            return []
        return [split(store.decode_datum(schema_id, value, "audio_frame")["payload"])]
    except InvalidRecord:
        return []


def decode(values: Sequence[bytes | None], store: SchemaStore) -> Frames:
    """Return the columns of a poll's values. A null value is a row with an error like any other bad one."""
    present = [value or b"" for value in values]
    n = len(present)
    lengths = np.fromiter(map(len, present), np.int64, n)
    table = FrameTable(n, present, lengths)
    for head, rows in _rows_by_head(table):
        error = _framing_error(head, store)
        if error is not None:
            table.fail(rows, error)
            continue
        schema_id = int.from_bytes(head[1:], "big")
        fixed = _layout_of(store, schema_id)
        slow = rows if fixed is None else table.view(rows, fixed)
        for row in slow.tolist():
            table.read_slowly(row, schema_id, store)
    for row in np.flatnonzero(lengths == 0).tolist():
        if values[row] is None:
            table.errors[row] = "the value is null"
    return _finish(table, store)


def _rows_by_head(table: FrameTable) -> list[tuple[bytes, NDArray[np.int64]]]:
    if table.one_framing():  # the usual poll
        return [(table.values[0][:FRAMING_BYTES], np.arange(len(table.values)))]
    rows: dict[bytes, list[int]] = {}
    for row, value in enumerate(table.values):
        rows.setdefault(value[:FRAMING_BYTES], []).append(row)
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


def _finish(table: FrameTable, store: SchemaStore) -> Frames:
    table.check_numbers()
    buffer = np.frombuffer(table.joined + b"".join(table.extra), np.uint8) if table.extra else table.buffer
    columns: dict[str, Any] = dict(zip(table.numbers, table.matrix.astype(np.int64), strict=True))
    columns |= table.codes | table.flags
    del columns["captured_at_s"]
    captured_at_s = table.numbers["captured_at_s"]
    frames = Frames(
        buffer=buffer,
        payload_start=table.payload_start,
        payload_bytes=table.payload_bytes,
        ok=table.ok,
        identified=table.identified,
        errors=table.errors,
        infos={},
        session_id=table.session_id,
        captured_at_us=np.where(captured_at_s < 0, -1, np.rint(captured_at_s * 1e6)).astype(np.int64),
        **columns,
    )
    _check_meaning(frames)
    _read_infos(frames, store)
    return frames


def _check_meaning(frames: Frames) -> None:
    """Fail the rows that are well formed but cannot be what they say."""
    tick = frames.kind == _TICK
    audio = frames.kind == _AUDIO
    nobody = frames.session_id == _NOBODY
    checks = (
        ((frames.sequence < 0) & ~tick, "the sequence is negative"),
        (nobody & ~tick, "the session id is zero"),
        (audio & (frames.sample_rate_hz <= 0), "audio without a sample rate"),
        # a numbered packet from before its stream's first one has no place on the clock, but its number counts
        (audio & (frames.position_samples < 0) & (frames.source_sequence_bits <= 0), "audio without a position"),
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
    for row in (frames.ok & ((frames.kind == _OPENED) | (frames.kind == _INFO))).nonzero()[0].tolist():
        try:
            frames.infos[row] = store.decode(frames.payload(row), SessionInfo)
        except InvalidRecord as error:
            frames.kill(row, f"SessionInfo: {error}")
