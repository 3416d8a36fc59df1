import json

import pytest

from schemas import symbols
from schemas.symbols import Symbol
from schemas.versions import released
from tests.schemas.strategies import named_types

ENUMS = {
    (schema.folder, schema.version, name): definition
    for schema in released()
    for name, definition in named_types(json.loads(schema.text)).items()
    if definition["type"] == "enum"
}
CLASSES = {name: kind for name, kind in vars(symbols).items() if isinstance(kind, type) and issubclass(kind, Symbol)}
ONE_BYTE_SYMBOLS = 64


@pytest.mark.parametrize("enum", ENUMS.values(), ids=map(str, ENUMS))
def test_an_enum_starts_with_unknown_and_falls_back_to_it(enum):
    assert enum["symbols"][0] == "UNKNOWN"
    assert enum["default"] == "UNKNOWN"


@pytest.mark.parametrize("enum", ENUMS.values(), ids=map(str, ENUMS))
def test_a_symbol_takes_one_byte_on_the_wire(enum):
    assert len(enum["symbols"]) < ONE_BYTE_SYMBOLS


@pytest.mark.parametrize(("key", "enum"), ENUMS.items(), ids=map(str, ENUMS))
def test_the_python_symbols_start_with_the_released_ones_in_their_order(key, enum):
    ours = [symbol.value for symbol in CLASSES[enum["name"]]]
    assert ours[: len(enum["symbols"])] == enum["symbols"], key


def test_every_python_enum_stands_in_some_schema_with_all_its_symbols():
    longest = {}
    for enum in ENUMS.values():
        longest[enum["name"]] = max(longest.get(enum["name"], []), enum["symbols"], key=len)
    assert longest == {name: [symbol.value for symbol in kind] for name, kind in CLASSES.items() if name != "Symbol"}


def test_one_enum_has_the_same_symbols_wherever_a_newest_schema_uses_it():
    newest = {}
    for (folder, version, _), enum in ENUMS.items():
        newest.setdefault((folder, enum["name"]), []).append((version, enum["symbols"]))
    spellings = {}
    for (_, name), versions in newest.items():
        spellings.setdefault(name, set()).add(tuple(max(versions)[1]))
    assert {name: len(found) for name, found in spellings.items() if len(found) > 1} == {}


def test_a_code_is_the_number_of_the_symbol_on_the_wire():
    for kind in CLASSES.values():
        assert [symbol.code for symbol in kind] == list(range(len(kind)))


def test_a_symbol_is_the_string_avro_writes():
    assert symbols.FrameKind.AUDIO == "AUDIO"
    assert f"{symbols.Reason.SOCKET_LOST}" == "SOCKET_LOST"
