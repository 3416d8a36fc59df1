import copy
import dataclasses
import io
import json
import struct

import pytest
from fastavro import schemaless_reader, schemaless_writer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.codec import FRAMING_BYTES, SchemaStore, as_datum, framing, from_datum, split
from schemas.errors import InvalidRecord
from schemas.records import (
    AuditEvent,
    CallEvent,
    ChangelogEntry,
    Gap,
    Origin,
    RecordingEvent,
    SessionInfo,
    SilenceEvent,
    TurnEntry,
)
from schemas.symbols import Channel, Reason, SilenceEventKind, TurnState
from schemas.versions import RECORD_TYPES, newest, parse, released
from tests.schemas.strategies import records as any_record

STORE = SchemaStore()
FEW = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
INFO = SessionInfo(conversation_id="c-1", organisation="o", queue="q")
EVENT = SilenceEvent(
    kind=SilenceEventKind.SILENCE,
    conversation_id="c-1",
    session_id="s-1",
    channel=Channel.EXTERNAL,
    start_samples=160,
    origin=Origin(topic="calls.audio", partition=1, offset=2, index=3),
)


def test_framing_is_a_zero_and_the_id_big_endian():
    assert framing(0x40C0FFEE) == bytes.fromhex("00 40 c0 ff ee")
    assert split(framing(77) + b"x") == 77


@pytest.mark.parametrize(
    ("value", "why"),
    [(None, "null"), (b"", "too short"), (b"\x00\x00\x00\x01", "too short"), (b"\x01\x00\x00\x00\x01x", "byte 1")],
)
def test_bytes_without_framing_are_refused_with_the_defect(value, why):
    with pytest.raises(InvalidRecord, match=why):
        STORE.decode(value, SessionInfo)


@pytest.mark.parametrize("folder", RECORD_TYPES)
def test_any_record_survives_the_round_trip(folder):
    @FEW
    @given(any_record(folder))
    def survives(record):
        value = STORE.encode(record)
        assert split(value) == newest(folder).local_id
        assert STORE.decode(value, RECORD_TYPES[folder]) == record

    survives()


@pytest.mark.parametrize("folder", RECORD_TYPES)
def test_garbage_raises_nothing_but_invalid_record(folder):
    head = framing(newest(folder).local_id)

    @FEW
    @given(st.binary(max_size=400), st.booleans())
    def is_refused_or_read(garbage, framed):
        try:
            record = STORE.decode(head + garbage if framed else garbage, RECORD_TYPES[folder])
        except InvalidRecord:
            return
        assert isinstance(record, RECORD_TYPES[folder])

    is_refused_or_read()


@FEW
@given(any_record("silence_event"), st.data())
def test_a_cut_record_is_refused(record, data):
    value = STORE.encode(record)
    cut = data.draw(st.integers(0, len(value) - 1))
    with pytest.raises(InvalidRecord):
        STORE.decode(value[:cut], SilenceEvent)


@given(st.binary(min_size=1, max_size=3))
def test_trailing_bytes_are_refused(tail):
    with pytest.raises(InvalidRecord, match=f"{len(tail)} bytes are left"):
        STORE.decode(STORE.encode(EVENT) + tail, SilenceEvent)


def test_an_unknown_id_is_refused():
    with pytest.raises(InvalidRecord, match="schema id 5 is not known"):
        STORE.decode(framing(5) + b"\x00", SessionInfo)


def test_a_defect_is_named_without_the_content():
    value = STORE.encode(dataclasses.replace(INFO, conversation_id="secret"))[:-3]
    with pytest.raises(InvalidRecord) as caught:
        STORE.decode(value, SessionInfo)
    assert "secret" not in str(caught.value)


def later_version(folder, change):
    """A schema somebody newer writes with."""
    definition = copy.deepcopy(json.loads(newest(folder).text))
    change(definition)
    return definition


def written(schema_id, definition, datum):
    out = io.BytesIO()
    out.write(framing(schema_id))
    schemaless_writer(out, parse(definition), datum)
    return out.getvalue()


def test_a_symbol_of_a_newer_writer_is_read_as_unknown():
    definition = later_version("silence_event", lambda schema: schema["fields"][0]["type"]["symbols"].append("HUM"))
    store = SchemaStore()
    store.add(9, json.dumps(definition))
    value = written(9, definition, as_datum(EVENT) | {"kind": "HUM"})
    assert store.decode(value, SilenceEvent) == dataclasses.replace(EVENT, kind=SilenceEventKind.UNKNOWN)


def test_a_field_of_a_newer_writer_is_passed_over():
    definition = later_version(
        "silence_event", lambda schema: schema["fields"].insert(3, {"name": "mood", "type": "string", "default": ""})
    )
    store = SchemaStore()
    store.add(9, json.dumps(definition))
    assert store.decode(written(9, definition, as_datum(EVENT) | {"mood": "good"}), SilenceEvent) == EVENT


def test_a_field_an_older_writer_lacks_takes_its_default():
    definition = later_version("silence_event", lambda schema: schema["fields"].pop())
    store = SchemaStore()
    store.add(9, json.dumps(definition))
    assert store.decode(written(9, definition, as_datum(EVENT)), SilenceEvent) == EVENT


OLDER = [schema for schema in released() if schema is not newest(schema.folder)]


def fitted(field: dict, value: object) -> object:
    """A value as a schema with this field can say it: a later symbol is UNKNOWN."""
    symbols = field["type"].get("symbols") if isinstance(field["type"], dict) else None
    return value if symbols is None or value in symbols else "UNKNOWN"


@pytest.mark.parametrize("older", OLDER, ids=lambda schema: f"{schema.folder} v{schema.version}")
def test_older_versions_of_a_record_are_read_and_can_read_it(older):
    known = {field["name"]: field for field in older.definition["fields"]}
    absent = {field["name"]: field.get("default") for field in newest(older.folder).definition["fields"]}

    @FEW
    @given(any_record(older.folder))
    def copes(record):
        datum = as_datum(record)
        told = {name: fitted(field, datum[name]) for name, field in known.items()}
        read = STORE.decode(written(older.local_id, older.definition, datum | told), RECORD_TYPES[older.folder])
        assert as_datum(read) == absent | told
        body = io.BytesIO(STORE.encode(record)[FRAMING_BYTES:])
        assert schemaless_reader(body, newest(older.folder).parsed, older.parsed) == told

    assert older.parsed != newest(older.folder).parsed
    copes()


def test_bytes_an_older_writer_lacks_are_bytes():
    definition = later_version("changelog_entry", lambda schema: schema["fields"].pop())
    store = SchemaStore()
    store.add(9, json.dumps(definition))
    entry = ChangelogEntry(version=1, position=2)
    assert definition["fields"][-1]["name"] != "state"
    assert store.decode(written(9, definition, as_datum(entry)), ChangelogEntry).state == b""


def test_another_record_s_schema_is_refused():
    with pytest.raises(InvalidRecord, match="does not fit"):
        STORE.decode(STORE.encode(EVENT), SessionInfo)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '{"type": "record"}', '{"type": "nothing"}', "7", "null"])
def test_a_text_that_is_no_schema_is_refused(text):
    with pytest.raises(InvalidRecord, match="schema 9 is not a valid Avro schema"):
        SchemaStore().add(9, text)


def test_a_schema_that_is_no_record_does_not_fit():
    store = SchemaStore()
    store.add(9, '"string"')
    with pytest.raises(InvalidRecord):
        store.decode(framing(9) + b"\x02a", SessionInfo)


def test_a_registry_s_id_is_written_and_the_local_one_stays_readable():
    store = SchemaStore()
    local = store.encode(INFO)
    store.write_with("session_info", 17)
    value = store.encode(INFO)
    assert split(value) == 17 == store.write_id("session_info")
    assert store.decode(value, SessionInfo) == store.decode(local, SessionInfo) == INFO


def test_a_record_that_breaks_its_own_types_is_not_written():
    with pytest.raises((TypeError, ValueError)):
        STORE.encode(dataclasses.replace(INFO, conversation_id=7))


def test_the_body_is_what_avro_says():
    entry = TurnEntry(
        turn_id="t", state=TurnState.SENDING, origin=Origin(topic="", partition=0, offset=1, index=0), attempt=1
    )
    assert STORE.encode(entry)[FRAMING_BYTES:].hex(" ") == "02 74 04 00 00 00 02 01 00 00 02 00"


def test_nested_records_lists_and_maps_are_plain_data():
    event = RecordingEvent(
        conversation_id="c",
        session_id="s",
        gaps=(Gap(reason=Reason.RECONNECT, start_samples=8),),
        origin=Origin(topic="calls.audio", partition=0, offset=0, index=0),
    )
    datum = as_datum(event)
    assert datum["gaps"] == [{"reason": "RECONNECT", "start_samples": 8, "duration_samples": -1, "estimated": False}]
    assert from_datum(RecordingEvent, datum) == event
    audit = AuditEvent(event_id="e", details={"key": "value"})
    assert from_datum(AuditEvent, as_datum(audit)) == audit


def test_floats_keep_their_width():
    value = STORE.encode(CallEvent(conversation_id="c", session_id="s", confidence=0.1))
    assert STORE.decode(value, CallEvent).confidence in (0.1, struct.unpack("<f", struct.pack("<f", 0.1))[0])
