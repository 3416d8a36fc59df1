"""Our encoder writes fastavro's bytes for every record, and refuses what a field cannot hold."""

import dataclasses
import io
import struct

import pytest
from fastavro import schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import as_datum
from schemas.encoder import compile_encoder, long_bytes
from schemas.records import ActivityWindow, AudioFrame, Origin, SilenceEvent
from schemas.symbols import SilenceEventKind
from schemas.versions import RECORD_TYPES, newest
from tests.schemas.strategies import records

ORIGIN = Origin(topic="calls.audio", partition=3, offset=2**40, index=1)


def by_fastavro(folder: str, datum) -> bytes:
    out = io.BytesIO()
    schemaless_writer(out, newest(folder).parsed, datum)
    return out.getvalue()


@pytest.mark.parametrize("folder", sorted(RECORD_TYPES))
@given(data=st.data())
def test_every_record_is_written_as_fastavro_writes_it(folder: str, data) -> None:
    record = data.draw(records(folder))
    assert compile_encoder(newest(folder).definition)(record) == by_fastavro(folder, as_datum(record))


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_long_is_written_as_fastavro_writes_it(value: int) -> None:
    out = io.BytesIO()
    schemaless_writer(out, "long", value)
    assert long_bytes(value) == out.getvalue()


def test_another_origin_replaces_the_records_own() -> None:
    nowhere = Origin(topic="", partition=-1, offset=-1, index=-1)
    window = ActivityWindow(conversation_id="c", session_id="s", origin=nowhere)
    write = compile_encoder(newest("activity_window").definition)
    assert write(window, ORIGIN) == write(dataclasses.replace(window, origin=ORIGIN))


@pytest.mark.parametrize(
    ("folder", "record", "error"),
    [
        ("audio_frame", AudioFrame(session_id=b"short"), ValueError),
        ("audio_frame", AudioFrame(sequence="one"), struct.error),
        (
            "silence_event",
            SilenceEvent(conversation_id="c", session_id=None, origin=ORIGIN),
            TypeError,
        ),
        (
            "silence_event",
            SilenceEvent(conversation_id="c", session_id="s", origin=ORIGIN, start_samples=2**63),
            ValueError,
        ),
        (
            "silence_event",
            SilenceEvent(conversation_id="c", session_id="s", origin=ORIGIN, sample_rate_hz=2**31),
            ValueError,
        ),
        ("silence_event", SilenceEvent(conversation_id="c", session_id="s", origin=ORIGIN, kind="HUM"), KeyError),
    ],
)
def test_a_value_its_field_cannot_hold_is_refused(folder: str, record, error) -> None:
    with pytest.raises(error):
        compile_encoder(newest(folder).definition)(record)


def test_symbols_and_their_spelling_are_the_same_to_it() -> None:
    write = compile_encoder(newest("silence_event").definition)
    spelled = SilenceEvent(conversation_id="c", session_id="s", origin=ORIGIN, kind="SILENCE")
    assert write(spelled) == write(dataclasses.replace(spelled, kind=SilenceEventKind.SILENCE))
