"""Hypothesis strategies for the records of the contract, made from their Avro schemas."""

from typing import Any

from hypothesis import strategies as st

from schemas.codec import from_datum
from schemas.records import Record
from schemas.versions import RECORD_TYPES, newest

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "bytes": st.binary(max_size=40),
    "string": TEXT,
}


def named_types(definition: Any) -> dict[str, Any]:
    """Every named type of a schema by its full name."""
    found: dict[str, Any] = {}
    if isinstance(definition, list):
        for item in definition:
            found |= named_types(item)
    elif isinstance(definition, dict):
        if "name" in definition and definition["type"] in ("record", "enum", "fixed"):
            found[f"{definition['namespace']}.{definition['name']}"] = definition
        for key in ("fields", "type", "items", "values"):
            found |= named_types(definition.get(key))
    return found


def data(kind: Any, named: dict[str, Any]) -> st.SearchStrategy[Any]:
    """What fastavro writes for a type; `named` resolves references."""
    if isinstance(kind, list):
        return st.one_of([data(item, named) for item in kind])
    if isinstance(kind, str):
        return _PRIMITIVES[kind] if kind in _PRIMITIVES else data(named[kind], named)
    match kind["type"]:
        case "enum":
            return st.sampled_from(kind["symbols"])
        case "fixed":
            return st.binary(min_size=kind["size"], max_size=kind["size"])
        case "array":
            return st.lists(data(kind["items"], named), max_size=3)
        case "map":
            return st.dictionaries(TEXT, data(kind["values"], named), max_size=3)
        case "record":
            return st.fixed_dictionaries({field["name"]: _field(field, named) for field in kind["fields"]})
        case inner:
            return data(inner, named)


def _field(field: dict[str, Any], named: dict[str, Any]) -> st.SearchStrategy[Any]:
    """A field's default more often than chance would have it: most fields of most records are absent."""
    values = data(field["type"], named)
    simple = isinstance(field.get("default", {}), int | float | None) or field["type"] == "string"
    return st.one_of(st.just(field["default"]), values) if simple and "default" in field else values


def records(folder: str) -> st.SearchStrategy[Record]:
    """Records of one folder, all fields of any value their schema allows."""
    definition = dict(newest(folder).definition)
    return data(definition, named_types(definition)).map(lambda datum: from_datum(RECORD_TYPES[folder], datum))
