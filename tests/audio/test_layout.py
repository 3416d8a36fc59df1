import copy
import json

import numpy as np
import pytest

from audio.layout import BAD_CODE, fixed_fields, layout, reader_fields
from schemas.symbols import FrameKind
from schemas.versions import newest

DEFINITION = json.loads(newest("audio_frame").text)


def changed(change) -> dict:
    definition = copy.deepcopy(DEFINITION)
    change(definition["fields"])
    return definition


def test_the_dtype_lies_as_avro_writes():
    found = layout(DEFINITION)
    assert found is not None
    assert found.width_bytes == 5 + 2 + 5 * 4 + 16 + 7 * 8
    assert found.dtype["kind"] == np.uint8
    assert found.dtype["sample_rate_hz"] == np.dtype("<f4")
    assert found.dtype["session_id"] == np.dtype("V16")
    assert found.dtype["sequence"] == np.dtype("<f8")
    assert found.names == tuple(field["name"] for field in DEFINITION["fields"][:-1])
    assert found.missing == ()


def test_a_byte_on_the_wire_is_twice_the_symbol_s_number():
    codes = layout(DEFINITION).codes["kind"]
    assert [codes[2 * kind.code] for kind in FrameKind] == [kind.code for kind in FrameKind]
    assert np.all(codes[1::2] == BAD_CODE)
    assert np.all(codes[2 * len(FrameKind) :] == BAD_CODE)


def test_symbols_in_another_order_are_mapped_by_name():
    def reverse(fields):
        fields[0]["type"]["symbols"] = ["UNKNOWN", "CLOSED", "NEW", "AUDIO"]

    codes = layout(changed(reverse)).codes["kind"]
    assert codes[[0, 2, 4, 6, 8]].tolist() == [0, FrameKind.CLOSED.code, 0, FrameKind.AUDIO.code, BAD_CODE]


def test_a_field_we_do_not_know_is_stepped_over():
    found = layout(changed(lambda fields: fields.insert(0, {"name": "gain", "type": "double"})))
    assert found.dtype.fields["kind"][1] == 8


def test_a_field_the_writer_does_not_know_is_missing():
    found = layout(changed(lambda fields: fields.pop(6)))
    assert [(field.name, field.default) for field in found.missing] == [("marker", False)]


def test_a_float_may_become_a_double():
    def widen(fields):
        fields[8]["type"] = "double"

    assert layout(changed(widen)).dtype["sample_rate_hz"] == np.dtype("<f8")


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.insert(3, {"name": "note", "type": "string"}),
        lambda fields: fields.insert(3, {"name": "count", "type": "long"}),
        lambda fields: fields.insert(3, {"name": "maybe", "type": ["null", "double"]}),
        lambda fields: fields.append({"name": "after", "type": "double"}),
        lambda fields: fields.pop(),
        lambda fields: fields.__setitem__(-1, {"name": "payload", "type": "string"}),
        lambda fields: fields[0]["type"].update(symbols=["UNKNOWN", *(f"S{number}" for number in range(63))]),
        lambda fields: fields[12]["type"].update(size=8),
        lambda fields: fields[8].update(type="boolean"),
        lambda fields: fields.insert(3, dict(fields[8])),
        lambda fields: fields.clear(),
    ],
)
def test_what_has_no_fixed_width_or_another_type_is_left_to_the_slow_path(change):
    assert layout(changed(change)) is None


@pytest.mark.parametrize("definition", ["string", ["null", "long"], {"type": "array", "items": "long"}, {"type": "x"}])
def test_a_schema_of_something_else_has_no_layout(definition):
    assert layout(definition) is None
    assert fixed_fields(definition) is None


def test_another_record_of_fixed_width_has_no_layout():
    assert layout(DEFINITION | {"name": "OtherFrame"}) is None


def test_the_reader_s_fields_are_those_of_the_newest_schema():
    assert [field.name for field in reader_fields()] == [field["name"] for field in DEFINITION["fields"][:-1]]
