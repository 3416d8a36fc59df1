"""Records ↔ framed bytes: one zero byte, the schema id as four big-endian bytes, the Avro body.

`SchemaStore` knows schemas by id. It starts with the package's local ids; what a registry answers is added by the
runtime. Nothing here asks anybody: an unknown id is an `InvalidRecord`.
"""

import dataclasses
import io
import json
import operator
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, cast

from fastavro import schemaless_reader

from schemas import records, symbols
from schemas.encoder import RecordWriter, compile_encoder
from schemas.errors import InvalidRecord
from schemas.records import Origin, Record
from schemas.symbols import Symbol
from schemas.versions import FOLDERS, newest, parse, released

FRAMING_BYTES = 5
T = TypeVar("T")
_HINTS = {**vars(symbols), "Mapping": Mapping}


def framing(schema_id: int) -> bytes:
    """Return the five bytes that stand before an Avro body."""
    return b"\x00" + schema_id.to_bytes(4, "big")


def split(value: bytes | None) -> int:
    """Return the schema id of a framed value. Raises `InvalidRecord` where there is no framing."""
    if value is None:
        message = "the value is null"
        raise InvalidRecord(message)
    if len(value) < FRAMING_BYTES:
        message = f"{len(value)} bytes are too short for the framing of {FRAMING_BYTES} bytes"
        raise InvalidRecord(message)
    if value[0] != 0:
        message = f"the framing starts with byte {value[0]}, not 0"
        raise InvalidRecord(message)
    return int.from_bytes(value[1:FRAMING_BYTES], "big")


@dataclass(frozen=True, slots=True)
class WriterSchema:
    """A schema somebody wrote with: its id, its JSON and fastavro's parsed form."""

    schema_id: int
    definition: Mapping[str, Any]
    parsed: Any


class SchemaStore:
    """Schemas by id, and the ids to write with.

    Without a registry the ids to write with are the local ones; `write_with` replaces them by a registry's.
    """

    def __init__(self) -> None:
        self._by_id = {
            schema.local_id: WriterSchema(schema.local_id, schema.definition, schema.parsed) for schema in released()
        }
        self._write_ids = {folder: newest(folder).local_id for folder in FOLDERS.values()}
        self._framings = {folder: framing(schema_id) for folder, schema_id in self._write_ids.items()}

    def get(self, schema_id: int) -> WriterSchema | None:
        """Return the schema with this id, or None when it is not known yet."""
        return self._by_id.get(schema_id)

    def add(self, schema_id: int, text: str) -> None:
        """Add a schema a registry answered with. Raises `InvalidRecord` when the text is no Avro schema."""
        try:
            definition = json.loads(text)
            self._by_id[schema_id] = WriterSchema(schema_id, definition, parse(definition))
        except Exception as error:  # fastavro raises many kinds for a bad schema
            message = f"schema {schema_id} is not a valid Avro schema: {type(error).__name__}"
            raise InvalidRecord(message) from error

    def write_with(self, folder: str, schema_id: int) -> None:
        """Write the newest schema of this record under the id a registry gave it."""
        schema = newest(folder)
        self._by_id[schema_id] = WriterSchema(schema_id, schema.definition, schema.parsed)
        self._write_ids[folder] = schema_id
        self._framings[folder] = framing(schema_id)

    def write_id(self, folder: str) -> int:
        """Return the id to write this record with."""
        return self._write_ids[folder]

    def encode(self, record: Record, origin: Origin | None = None) -> bytes:
        """Return a record as framed bytes, with another `origin` where one is given.

        Raises `TypeError`, `ValueError`, `KeyError` or `struct.error` for a record that breaks its own types.
        """
        folder = FOLDERS[type(record)]
        return self._framings[folder] + _encoder(folder)(record, origin)

    def decode(self, value: bytes | None, record_type: type[T]) -> T:
        """Return the record in framed bytes. Raises `InvalidRecord`, which names the defect."""
        schema_id = split(value)
        return from_datum(
            record_type, self.decode_datum(schema_id, value or b"", FOLDERS[cast("type[Record]", record_type)])
        )

    def decode_datum(self, schema_id: int, value: bytes, folder: str) -> dict[str, Any]:
        """Return the fields of a framed value, resolved to this package's newest schema of `folder`."""
        writer = self._by_id.get(schema_id)
        if writer is None:
            message = f"schema id {schema_id} is not known"
            raise InvalidRecord(message)
        reader = newest(folder)
        body = io.BytesIO(value)
        body.seek(FRAMING_BYTES)
        try:
            same = writer.parsed is reader.parsed
            datum = schemaless_reader(body, writer.parsed, None if same else reader.parsed)
        except EOFError as error:
            message = f"the body is cut short: schema {schema_id} wants more than {len(value) - FRAMING_BYTES} bytes"
            raise InvalidRecord(message) from error
        except Exception as error:  # a damaged body makes fastavro raise many kinds
            message = f"the body does not fit schema {schema_id}: {type(error).__name__}"
            raise InvalidRecord(message) from error
        if not isinstance(datum, dict):
            message = f"schema {schema_id} is not a record"
            raise InvalidRecord(message)
        if body.tell() != len(value):
            message = f"{len(value) - body.tell()} bytes are left behind the body"
            raise InvalidRecord(message)
        return datum


@cache
def _encoder(folder: str) -> RecordWriter:
    return compile_encoder(newest(folder).definition)


def as_datum(record: Any) -> dict[str, Any]:
    """Return a record as the nested dictionaries and lists fastavro writes."""
    names, values, nested = _layout(cast("Hashable", type(record)))
    datum = dict(zip(names, values(record), strict=True))
    for name in nested:
        datum[name] = _plain(datum[name])
    return datum


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bytes):
        return value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return dict(value)
    return as_datum(value)


@cache
def _layout(record_type: Any) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]], tuple[str, ...]]:
    """Return a record's field names, how to get all their values at once, and which of them are not plain values."""
    names = _names(record_type)
    hints = typing.get_type_hints(record_type, {**vars(records), **_HINTS})
    return names, operator.attrgetter(*names), tuple(name for name in names if not _is_plain(hints[name]))


def _is_plain(hint: Any) -> bool:
    if isinstance(hint, types.UnionType):
        return all(_is_plain(argument) for argument in typing.get_args(hint))
    return hint is types.NoneType or (isinstance(hint, type) and issubclass(hint, str | int | float | bytes))


def from_datum(record_type: type[T], datum: Mapping[str, Any]) -> T:
    """Return nested dictionaries as a record of `record_type`. Unknown symbols become UNKNOWN."""
    return record_type(
        **{name: convert(datum[name]) for name, convert in _converters(cast("Hashable", record_type)).items()}
    )


@cache
def _names(record_type: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(record_type))


@cache
def _converters(record_type: Any) -> Mapping[str, Callable[[Any], Any]]:
    hints = typing.get_type_hints(record_type, {**vars(records), **_HINTS})
    return {name: _converter(hints[name]) for name in _names(record_type)}


def _converter(hint: Any) -> Callable[[Any], Any]:
    arguments = typing.get_args(hint)
    if isinstance(hint, types.UnionType):
        inner = _converter(next(argument for argument in arguments if argument is not types.NoneType))
        return lambda value: None if value is None else inner(value)
    if typing.get_origin(hint) is tuple:
        inner = _converter(arguments[0])
        return lambda value: tuple(inner(item) for item in value)
    if isinstance(hint, type) and issubclass(hint, Symbol):
        members = hint.__members__
        unknown = members["UNKNOWN"]
        return lambda value: members.get(value, unknown)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return lambda value: from_datum(hint, value)
    return as_bytes if hint is bytes else lambda value: value


def as_bytes(value: bytes | str) -> bytes:
    """Return bytes read by fastavro, which gives a schema's default for bytes as the text that spells it."""
    return value.encode("latin-1") if isinstance(value, str) else value
