import copy
import dataclasses
import hashlib
import itertools
import json
from importlib import resources
from pathlib import Path

import avro.schema
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from schemas.versions import (
    LOCAL_ID_BASE,
    RECORD_TYPES,
    SchemaVersion,
    canonical_fingerprint,
    fingerprint_lines,
    newest,
    parse,
    released,
    without_logical_types,
)
from tests.schemas.strategies import named_types

RELEASED = {f"{schema.folder} v{schema.version}": schema for schema in released()}
FROZEN = Path(__file__).parent.parent / "data" / "released_schemas.txt"
"""One line for each released schema: folder, version, digest. Lines are only added: released schemas never change."""


def digest_line(schema: SchemaVersion) -> str:
    """All of a schema that a reader can notice, defaults and classification included, its prose not."""
    meaning = json.dumps(without_docs(json.loads(schema.text)), sort_keys=True)
    return f"{schema.folder} v{schema.version} {hashlib.sha256(meaning.encode()).hexdigest()[:32]}"


def without_docs(definition):
    if isinstance(definition, dict):
        return {key: without_docs(value) for key, value in definition.items() if key != "doc"}
    return [without_docs(item) for item in definition] if isinstance(definition, list) else definition


def fields(schema: SchemaVersion):
    """Every field of a schema and of the records inside it, with the record's name."""
    for record in named_types(json.loads(schema.text)).values():
        for field in record.get("fields", ()):
            yield record["name"], field


def problems(reader: str, writer: str) -> list[str]:
    """Why a reader with one schema cannot read what a writer wrote with the other; empty when it can."""
    result = ReaderWriterCompatibilityChecker().get_compatibility(avro.schema.parse(reader), avro.schema.parse(writer))
    return (
        [] if result.compatibility is SchemaCompatibilityType.compatible else sorted(result.messages) or ["it cannot"]
    )


def v2(folder: str, change) -> str:
    """The newest schema of a folder with a change, as text."""
    definition = copy.deepcopy(json.loads(newest(folder).text))
    change(definition)
    return json.dumps(definition)


@pytest.mark.parametrize("folder", RECORD_TYPES)
def test_every_released_version_reads_every_other(folder):
    texts = [schema.text for schema in released() if schema.folder == folder]
    assert [problems(reader, writer) for reader, writer in itertools.product(texts, texts)] == [[]] * len(texts) ** 2


def test_the_compatibility_check_lets_a_field_with_default_pass_both_ways():
    new = v2("session_info", lambda schema: schema["fields"].append({"name": "site", "type": "string", "default": ""}))
    old = newest("session_info").text
    assert problems(new, old) == problems(old, new) == []


def test_the_compatibility_check_finds_a_field_without_default():
    new = v2("session_info", lambda schema: schema["fields"].append({"name": "site", "type": "string"}))
    assert problems(new, newest("session_info").text) != []


def test_the_compatibility_check_finds_a_changed_type_and_a_changed_name():
    def change_type(schema):
        schema["fields"][0]["type"] = "long"

    def change_name(schema):
        schema["fields"][0]["name"] = "call_id"

    old = newest("session_info").text
    assert problems(v2("session_info", change_type), old) != []
    assert problems(v2("session_info", change_name), old) != []


def test_the_compatibility_check_lets_an_appended_symbol_pass_both_ways():
    new = v2("audio_frame", lambda schema: schema["fields"][0]["type"]["symbols"].append("NEW"))
    old = newest("audio_frame").text
    assert problems(new, old) == problems(old, new) == []


@pytest.mark.parametrize("schema", RELEASED.values(), ids=RELEASED)
def test_every_field_is_documented_and_classified(schema):
    undocumented = [f"{record}.{field['name']}" for record, field in fields(schema) if not field.get("doc", "").strip()]
    unclassified = [
        f"{record}.{field['name']}" for record, field in fields(schema) if not isinstance(field.get("pii"), bool)
    ]
    assert (undocumented, unclassified) == ([], [])


def test_what_people_say_and_who_they_are_is_personal():
    personal = {
        (schema.folder, field["name"]) for schema in released() for _, field in fields(schema) if field.get("pii")
    }
    assert {
        ("audio_frame", "payload"),
        ("bot_audio", "payload"),
        ("utterance", "text"),
        ("bot_turn", "text"),
        ("call_event", "text"),
        ("call_event", "digit"),
        ("session_info", "name"),
        ("session_info", "address"),
    } <= personal


@pytest.mark.parametrize("schema", RELEASED.values(), ids=RELEASED)
def test_names_are_the_contract_s_own(schema):
    expected = "".join(part.capitalize() for part in schema.folder.split("_"))
    assert schema.full_name == f"callstream.{expected}"
    assert all(field["name"] == field["name"].lower() for _, field in fields(schema))


def test_the_audio_frame_has_a_fixed_width_and_its_payload_last():
    for schema in released():
        if schema.folder != "audio_frame":
            continue
        *fixed, payload = [field["type"] for _, field in fields(schema)]
        assert payload == "bytes"
        kinds = {kind if isinstance(kind, str) else kind["type"] for kind in fixed}
        assert kinds <= {"enum", "boolean", "fixed", "float", "double"}


def test_the_fingerprints_file_is_current():
    assert resources.files("schemas").joinpath("fingerprints.txt").read_text(encoding="utf-8") == fingerprint_lines()


def test_released_schemas_are_frozen():
    frozen = FROZEN.read_text(encoding="utf-8").splitlines()
    assert frozen == [digest_line(schema) for schema in released()], "add a version; a released schema never changes"


def test_the_digest_sees_a_changed_default_and_a_changed_classification():
    schema = newest("session_info")
    for change in ({"default": "x"}, {"pii": True}):
        changed = v2("session_info", lambda definition, change=change: definition["fields"][1].update(change))
        assert digest_line(dataclasses.replace(schema, text=changed)) != digest_line(schema)


def test_local_ids_do_not_collide_and_stay_in_their_range():
    ids = [schema.local_id for schema in released()]
    assert len(set(ids)) == len(ids)
    assert all(LOCAL_ID_BASE <= schema_id < LOCAL_ID_BASE + 2**24 for schema_id in ids)


@pytest.mark.parametrize("schema", RELEASED.values(), ids=RELEASED)
def test_a_changed_schema_has_another_id(schema):
    definition = json.loads(schema.text)
    definition["fields"].append({"name": "site", "type": "string", "default": ""})
    assert canonical_fingerprint(definition) & 0xFFFFFF != schema.fingerprint & 0xFFFFFF


def test_the_fingerprint_is_the_specification_s():
    # Avro specification 1.12, "Schema Fingerprints": Rabin fingerprint of the canonical form "null"
    assert canonical_fingerprint("null") == 0x63DD24E7CC258F8A


def test_every_folder_of_schemas_is_known():
    folders = {
        entry.name
        for entry in resources.files("schemas").iterdir()
        if entry.is_dir() and any(file.name.endswith(".avsc") for file in entry.iterdir())
    }
    assert folders == set(RECORD_TYPES)


def test_times_are_read_as_integers():
    definition = {
        "type": "record",
        "name": "R",
        "fields": [{"name": "t", "type": {"type": "long", "logicalType": "x"}}],
    }
    assert "logicalType" not in json.dumps(without_logical_types([definition]))
    assert parse(definition)["fields"][0]["type"] == {"type": "long"}


def test_versions_are_numbered_without_holes():
    for folder in RECORD_TYPES:
        versions = [schema.version for schema in released() if schema.folder == folder]
        assert versions == list(range(1, len(versions) + 1))
        assert newest(folder).version == len(versions)
