"""No personal value leaves the redaction, whatever the schema nests it in."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.versions import RECORD_TYPES, newest
from sinks.audit_log.chain import canonical
from sinks.audit_log.redaction import Digester, plain, redactor

DIGESTER = Digester(b"key")
MARKER = "personal-4711"
FOLDERS = sorted(RECORD_TYPES)


def marked(schema, named, *, personal):
    """A value of the schema: every string and byte string in a personal field, however deep, is the marker."""
    if isinstance(schema, list):
        return marked(next(branch for branch in schema if branch != "null"), named, personal=personal)
    if isinstance(schema, str):
        simple = {"boolean": True, "int": 1, "long": 2, "float": 0.5, "double": 0.25, "null": None}
        simple["string"], simple["bytes"] = (MARKER, MARKER.encode()) if personal else ("plain", b"plain")
        return (
            simple[schema] if schema in simple else marked(named[schema.rpartition(".")[2]], named, personal=personal)
        )
    if "name" in schema:
        named[schema["name"]] = schema
    match schema["type"]:
        case "record":
            return {
                field["name"]: marked(field["type"], named, personal=personal or field["pii"])
                for field in schema["fields"]
            }
        case "array":
            return [marked(schema["items"], named, personal=personal)] * 2
        case "map":
            return {MARKER if personal else "plain": marked(schema["values"], named, personal=personal)}
        case "enum":
            return schema["symbols"][-1]
        case "fixed":
            return bytes(schema["size"])
        case inner:
            return marked(inner, named, personal=personal)


def has_personal(schema):
    return '"pii": true' in json.dumps(schema)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_personal_field_of_any_schema_reaches_the_log(folder):
    definition = newest(folder).definition
    datum = marked(definition, {}, personal=False)
    assert (MARKER in str(datum)) == has_personal(definition)

    text = canonical(redactor(definition, DIGESTER)(datum, "place")).decode()

    assert MARKER not in text
    assert MARKER.encode().hex() not in text
    assert ("hmac-sha256:" in text) == has_personal(definition)


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_not_personal_is_kept(folder):
    definition = newest(folder).definition
    datum = marked(definition, {}, personal=False)

    kept = redactor(definition, DIGESTER)(datum, "place")

    for field in definition["fields"]:
        if not field["pii"] and not has_personal(field["type"]):
            assert kept[field["name"]] == plain(datum[field["name"]])


def test_a_field_nobody_classified_counts_as_personal():
    definition = {"type": "record", "name": "R", "fields": [{"name": "text", "type": "string"}]}
    assert redactor(definition, DIGESTER)({"text": MARKER}, "place")["text"].startswith("hmac-sha256:")


def test_a_personal_field_inside_records_lists_and_maps_is_found():
    inner = {"type": "record", "name": "I", "fields": [{"name": "phone", "type": "string", "pii": True}]}
    definition = {
        "type": "record",
        "name": "R",
        "fields": [
            {"name": "list", "type": {"type": "array", "items": inner}, "pii": False},
            {"name": "map", "type": {"type": "map", "values": "I"}, "pii": False},
            {"name": "either", "type": ["null", "I"], "pii": False},
            {"name": "union", "type": ["string", "I"], "pii": False},
        ],
    }
    phone = {"phone": MARKER}
    datum = {"list": [phone], "map": {"x": phone}, "either": phone, "union": phone}

    kept = redactor(definition, DIGESTER)(datum, "place")

    assert MARKER not in str(kept)
    assert list(kept["list"][0]) == ["phone"]
    assert redactor(definition, DIGESTER)({**datum, "either": None}, "place")["either"] is None


def test_an_absent_personal_value_stays_absent():
    definition = newest("call_event").definition
    datum = {**marked(definition, {}, personal=False), "text": None, "agent": None}
    kept = redactor(definition, DIGESTER)(datum, "place")
    assert kept["text"] is None
    assert kept["agent"] is None


def test_equal_digits_at_two_places_cannot_be_recognised_but_equal_agents_can():
    definition = newest("call_event").definition
    datum = {**marked(definition, {}, personal=False), "digit": "7", "agent": "ann"}
    keep = redactor(definition, DIGESTER)
    here, there = keep(datum, "calls.events/0/1"), keep(datum, "calls.events/0/2")
    assert here["digit"] != there["digit"]
    assert here["agent"] == there["agent"]
    assert here == keep(datum, "calls.events/0/1")


def test_digests_of_two_keys_differ_and_name_their_key():
    other = Digester(b"another")
    assert DIGESTER.linkable("agent", "ann") != other.linkable("agent", "ann")
    assert DIGESTER.key_id != other.key_id


@given(st.floats(), st.binary(max_size=20))
def test_floats_are_exact_strings_and_bytes_their_digest_and_length(number, data):
    text = plain(number)
    assert isinstance(text, str)
    assert repr(float(text)) == repr(number)
    assert plain([data])[0]["length_bytes"] == len(data)
