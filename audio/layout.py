"""How the fixed-width part of an AudioFrame lies in memory, derived from a schema.

Avro writes an enum of fewer than 64 symbols and a boolean as one byte, `fixed` verbatim, `float` and `double` as
little-endian IEEE 754 (Avro 1.12 specification, "Binary Encoding"). A record of only such fields with its bytes field
last has the same layout whatever it holds, so numpy can view it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.versions import newest

PAYLOAD = "payload"
BAD_CODE = 255
"""What `FrameLayout.codes` gives for a byte that is no symbol."""
_ONE_BYTE_SYMBOLS = 64
_WIDTHS = {"float": "<f4", "double": "<f8", "boolean": "u1"}


@dataclass(frozen=True, slots=True)
class FieldLayout:
    """One fixed-width field: its Avro type, its symbols where it is an enum, its default."""

    name: str
    avro_type: str
    symbols: tuple[str, ...]
    default: Any


@dataclass(frozen=True, slots=True)
class FrameLayout:
    """The fixed-width part of one schema version.

    `dtype` views it; `codes[name]` maps the byte on the wire to the reader's symbol code, 255 where the byte is no
    symbol of the writer; `missing` are the reader's fields this version does not have.
    """

    dtype: np.dtype[np.void]
    codes: Mapping[str, NDArray[np.uint8]]
    missing: tuple[FieldLayout, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Fields of the schema version, without the payload."""
        return self.dtype.names or ()

    @property
    def width_bytes(self) -> int:
        """Bytes between the framing and the payload's length."""
        return self.dtype.itemsize


def fixed_fields(definition: Any) -> tuple[FieldLayout, ...] | None:
    """Return the fields before the payload, or None when the schema is not of fixed width with the payload last.

    `definition` is any schema's JSON: an id on the topic may belong to something that is no record at all.
    """
    fields = definition.get("fields", ()) if isinstance(definition, Mapping) else ()
    if not fields or fields[-1]["name"] != PAYLOAD or fields[-1]["type"] != "bytes":
        return None
    found = []
    for field in fields[:-1]:
        kind = field["type"]
        if isinstance(kind, str) and kind in _WIDTHS:
            found.append(FieldLayout(field["name"], kind, (), field.get("default")))
        elif isinstance(kind, Mapping) and kind["type"] == "enum" and len(kind["symbols"]) < _ONE_BYTE_SYMBOLS:
            found.append(FieldLayout(field["name"], "enum", tuple(kind["symbols"]), field.get("default")))
        elif isinstance(kind, Mapping) and kind["type"] == "fixed":
            found.append(FieldLayout(field["name"], f"V{kind['size']}", (), field.get("default")))
        else:
            return None
    return tuple(found)


def reader_fields() -> tuple[FieldLayout, ...]:
    """Return the fixed fields of this package's newest AudioFrame schema."""
    fields = fixed_fields(newest("audio_frame").definition)
    if fields is None:  # pragma: no cover - the schema test forbids it
        message = "the newest AudioFrame schema is not of fixed width"
        raise ValueError(message)
    return fields


def layout(definition: Any) -> FrameLayout | None:
    """Return the layout of a writer's AudioFrame schema, or None when only the slow path can read it."""
    written = fixed_fields(definition)
    if written is None or definition.get("name") != newest("audio_frame").definition["name"]:
        return None
    if len({field.name for field in written}) != len(written):
        return None
    known = {field.name: field for field in reader_fields()}
    for field in written:
        if field.name in known and not _same_kind(field, known[field.name]):
            return None
    dtype = np.dtype([(field.name, _width(field)) for field in written])
    codes = {
        field.name: _codes(field.symbols, known[field.name].symbols)
        for field in written
        if field.avro_type == "enum" and field.name in known
    }
    names = {field.name for field in written}
    return FrameLayout(dtype, codes, tuple(field for name, field in known.items() if name not in names))


def _same_kind(written: FieldLayout, known: FieldLayout) -> bool:
    numbers = ("float", "double")
    return written.avro_type == known.avro_type or (written.avro_type in numbers and known.avro_type in numbers)


def _width(field: FieldLayout) -> str:
    return "u1" if field.avro_type == "enum" else _WIDTHS.get(field.avro_type, field.avro_type)


def _codes(written: Sequence[str], known: Sequence[str]) -> NDArray[np.uint8]:
    table = np.full(256, BAD_CODE, np.uint8)
    for number, symbol in enumerate(written):
        # zigzag: a non-negative number n is written as 2n
        table[2 * number] = known.index(symbol) if symbol in known else 0
    return table
