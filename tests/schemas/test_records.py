import dataclasses
import json
import types
import typing
from collections.abc import Mapping

import pytest

from schemas import records
from schemas.symbols import Symbol
from schemas.versions import RECORD_TYPES, newest
from tests.schemas.strategies import named_types

PRIMITIVES = {"string": str, "long": int, "int": int, "float": float, "double": float, "boolean": bool, "bytes": bytes}
NESTED = {
    (folder, name): definition
    for folder in RECORD_TYPES
    for name, definition in named_types(json.loads(newest(folder).text)).items()
    if definition["type"] == "record"
}


def python_type(kind, named):
    """The type annotation a field of this Avro type must have."""
    if isinstance(kind, list):
        assert kind[0] == "null"
        assert len(kind) == 2
        return python_type(kind[1], named) | None
    if isinstance(kind, str):
        return PRIMITIVES[kind] if kind in PRIMITIVES else python_type(named[kind], named)
    match kind["type"]:
        case "record" | "enum":
            return vars(records)[kind["name"]]
        case "fixed":
            return bytes
        case "array":
            return tuple[python_type(kind["items"], named), ...]
        case "map":
            return Mapping[str, python_type(kind["values"], named)]
        case inner:
            return python_type(inner, named)


def default_of(field):
    """The schema's default as the record must have it, or MISSING."""
    if "default" not in field:
        return dataclasses.MISSING
    default = field["default"]
    if isinstance(default, list):
        return tuple(default)
    kind = field["type"]
    if kind == "bytes" or (isinstance(kind, dict) and kind["type"] == "fixed"):
        return default.encode("latin-1")
    return default


def default_in(field):
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


@pytest.mark.parametrize(("key", "definition"), NESTED.items(), ids=map(str, NESTED))
def test_a_record_has_the_fields_of_its_schema_in_their_order_with_their_types(key, definition):
    record = vars(records)[definition["name"]]
    named = named_types(json.loads(newest(key[0]).text))
    hints = typing.get_type_hints(record)
    assert {name: hints[name] for name in (field.name for field in dataclasses.fields(record))} == {
        field["name"]: python_type(field["type"], named) for field in definition["fields"]
    }
    assert [field.name for field in dataclasses.fields(record)] == [field["name"] for field in definition["fields"]]


@pytest.mark.parametrize(("key", "definition"), NESTED.items(), ids=map(str, NESTED))
def test_a_record_has_the_defaults_of_its_schema(key, definition):
    ours = {field.name: default_in(field) for field in dataclasses.fields(vars(records)[definition["name"]])}
    assert ours == {field["name"]: default_of(field) for field in definition["fields"]}, key


@pytest.mark.parametrize("definition", NESTED.values(), ids=map(str, NESTED))
def test_an_absent_quantity_is_minus_one_or_null(definition):
    odd = [
        field["name"]
        for field in definition["fields"]
        if field["type"] in ("long", "int", "float", "double") and field.get("default", -1) not in (-1, 0)
    ]
    assert odd == []
    named = named_types(definition)
    for field in definition["fields"]:
        if isinstance(python_type(field["type"], named), types.UnionType):
            assert field["default"] is None


def test_every_derived_record_says_where_it_comes_from_and_whose_call_it_is():
    common = {"conversation_id", "session_id", "organisation", "queue", "agent", "channel"}
    for record in typing.get_args(records.Derived):
        names = {field.name for field in dataclasses.fields(record)}
        assert names >= common | {"origin", "settings_hash", "partial"}, record


def test_records_are_frozen_and_without_dict():
    for record in typing.get_args(records.Record):
        assert record.__dataclass_params__.frozen
        assert not hasattr(record, "__dict__") or "__slots__" in vars(record)


def test_every_record_of_the_contract_has_a_schema():
    assert set(typing.get_args(records.Record)) == set(RECORD_TYPES.values())


def test_symbols_in_records_are_symbols():
    frame = records.AudioFrame()
    assert isinstance(frame.kind, Symbol)
