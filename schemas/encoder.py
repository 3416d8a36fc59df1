"""Records → Avro bodies, by functions made once per schema.

fastavro looks at the schema anew for every record and finds a union's branch by trying; here each record type gets one
flat function, whose text is made from its schema as `dataclasses` makes constructors: runs of doubles are packed
together, and what is short and repeated is looked up. That costs a quarter. The bytes are fastavro's, and a test
compares them for every record. Encoding follows Avro 1.12, "Binary Encoding".
"""

import operator
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

Writer = Callable[[Any], bytes]
RecordWriter = Callable[..., bytes]
"""`write(record, origin=None)`: the body of a record, with another `origin` where one is given."""
_INT_BITS, _LONG_BITS = 32, 64
_SEVEN_BITS = 0x7F
_PACKED = {"double": "d", "float": "f"}
_REMEMBERED = 8192


def compile_encoder(definition: Mapping[str, Any]) -> RecordWriter:
    """Return a function from a record (its dataclass) to its Avro body under this schema.

    The function raises `TypeError`, `ValueError`, `KeyError` or `struct.error` for a value its field cannot hold.
    """
    return _record(definition, {})


@lru_cache(maxsize=_REMEMBERED)
def long_bytes(value: int) -> bytes:
    """Return an int or long: zigzag, seven bits a byte, lowest first."""
    if not -(1 << (_LONG_BITS - 1)) <= value < 1 << (_LONG_BITS - 1):
        message = "the number does not fit 64 bits"
        raise ValueError(message)
    rest = (value << 1) ^ (value >> (_LONG_BITS - 1))
    out = []
    while rest > _SEVEN_BITS:
        out.append(rest & _SEVEN_BITS | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


@lru_cache(maxsize=_REMEMBERED)
def _int_bytes(value: int) -> bytes:
    if not -(1 << (_INT_BITS - 1)) <= value < 1 << (_INT_BITS - 1):
        message = "the number does not fit 32 bits"
        raise ValueError(message)
    return long_bytes(value)


def _data(value: bytes) -> bytes:
    return long_bytes(len(value)) + value


@lru_cache(maxsize=_REMEMBERED)
def _string(value: str) -> bytes:
    return _data(str.encode(value))


_PLAIN: Mapping[str, Writer] = {
    "string": _string,
    "bytes": _data,
    "boolean": {False: b"\x00", True: b"\x01"}.__getitem__,
    "long": long_bytes,
    "int": _int_bytes,
    "double": struct.Struct("<d").pack,
    "float": struct.Struct("<f").pack,
}


def _writer(schema: Any, named: dict[str, Writer]) -> Writer:
    """Return the writer of one type; `named` holds the types defined so far by full name."""
    if isinstance(schema, str):
        return _PLAIN[schema] if schema in _PLAIN else named[schema]
    if isinstance(schema, Sequence):
        return _optional(schema, named)
    make = _COMPLEX.get(schema["type"])
    return _writer(schema["type"], named) if make is None else make(schema, named)


def _name(schema: Mapping[str, Any], writer: Writer, named: dict[str, Writer]) -> Writer:
    named[f"{schema['namespace']}.{schema['name']}"] = writer
    return writer


def _optional(branches: Sequence[Any], named: dict[str, Writer]) -> Writer:
    null, other = branches
    if null != "null":
        message = "the contract's unions are null and one other type"
        raise ValueError(message)
    inner = _writer(other, named)

    def write(value: Any) -> bytes:
        return b"\x00" if value is None else b"\x02" + inner(value)

    return lru_cache(maxsize=_REMEMBERED)(write) if other == "string" else write


def _enum(schema: Mapping[str, Any], named: dict[str, Writer]) -> Writer:
    symbols = {symbol: long_bytes(number) for number, symbol in enumerate(schema["symbols"])}
    return _name(schema, symbols.__getitem__, named)


def _fixed(schema: Mapping[str, Any], named: dict[str, Writer]) -> Writer:
    size = schema["size"]

    def write(value: bytes) -> bytes:
        if len(value) != size:
            message = f"{len(value)} bytes in a field of {size}"
            raise ValueError(message)
        return value

    return _name(schema, write, named)


def _array(schema: Mapping[str, Any], named: dict[str, Writer]) -> Writer:
    item = _writer(schema["items"], named)

    def write(values: Sequence[Any]) -> bytes:
        if not values:
            return b"\x00"
        return b"".join((long_bytes(len(values)), *map(item, values), b"\x00"))

    return write


def _map(schema: Mapping[str, Any], named: dict[str, Writer]) -> Writer:
    value_writer = _writer(schema["values"], named)

    def write(values: Mapping[str, Any]) -> bytes:
        if not values:
            return b"\x00"
        pairs = (_string(key) + value_writer(value) for key, value in values.items())
        return b"".join((long_bytes(len(values)), *pairs, b"\x00"))

    return write


def _record(schema: Mapping[str, Any], named: dict[str, Writer]) -> RecordWriter:
    """Return a record's writer: all values at once, each part by its own writer, then joined."""
    names = [field["name"] for field in schema["fields"]]
    known: dict[str, Any] = {"values": operator.attrgetter(*names)}
    parts = []
    for kind, run in groupby(enumerate(schema["fields"]), key=lambda item: _packed(item[1]["type"])):
        indexed = list(run)
        if kind is not None:
            known[f"write{indexed[0][0]}"] = struct.Struct(f"<{len(indexed)}{kind}").pack
            parts.append(f"write{indexed[0][0]}({', '.join(f'value{index}' for index, _ in indexed)})")
            continue
        for index, field in indexed:
            known[f"write{index}"] = _writer(field["type"], named)
            parts.append(f"write{index}(value{index})")
    lines = [
        "def write(record, origin=None):",
        f"    {', '.join(f'value{index}' for index in range(len(names)))} = values(record)",
        f"    return b''.join(({', '.join(parts)},))",
    ]
    if "origin" in names:
        lines.insert(2, f"    if origin is not None: value{names.index('origin')} = origin")
    # the text holds numbers and the names above only: nothing of the schema gets into it
    exec("\n".join(lines), known)  # noqa: S102
    write: RecordWriter = known["write"]
    _name(schema, write, named)
    return write


def _packed(schema: Any) -> str | None:
    return _PACKED.get(schema) if isinstance(schema, str) else None


_COMPLEX: Mapping[str, Callable[[Mapping[str, Any], dict[str, Writer]], Writer]] = {
    "record": _record,
    "enum": _enum,
    "fixed": _fixed,
    "array": _array,
    "map": _map,
}
