import copy
import dataclasses
import io
import json
import struct

import numpy as np
import pytest
from fastavro import schemaless_writer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from audio.frames import FrameEncoder, Frames, decode, unknown_ids, varint
from audio.layout import layout
from schemas.codec import FRAMING_BYTES, SchemaStore, as_datum, framing
from schemas.records import AudioFrame, SessionInfo
from schemas.symbols import Channels, Codec, FrameKind, Reason, Source, Symbol
from schemas.versions import newest, parse

WIDER, SLOW, NEWER, OLDER = 101, 102, 103, 104
SESSION = bytes(range(1, 17))
COUNTERS = st.integers(-1, 2**53 - 1).map(float)
SMALL = st.integers(-1, 2**24).map(float)
FIXED_BYTES = 99


def variant(change) -> dict:
    definition = copy.deepcopy(json.loads(newest("audio_frame").text))
    change(definition["fields"])
    return definition


VARIANTS = {
    # another fixed-width field, as a later version may add it: stays fast
    WIDER: variant(lambda fields: fields.insert(5, {"name": "gain", "type": "double", "default": 1})),
    # a field of variable width, which a later version may not have: slow, but read
    SLOW: variant(lambda fields: fields.insert(5, {"name": "note", "type": "string", "default": ""})),
    # one more symbol in each enum
    NEWER: variant(lambda fields: [field["type"]["symbols"].append("NEW") for field in fields[:5]]),
    # a version without some of our fields
    OLDER: variant(
        lambda fields: fields.__setitem__(
            slice(None), [f for f in fields if f["name"] not in ("marker", "stream", "channels")]
        )
    ),
}
EXTRA = {"gain": 2.5, "note": "variable"}


def store_with_variants() -> SchemaStore:
    store = SchemaStore()
    for schema_id, definition in VARIANTS.items():
        store.add(schema_id, json.dumps(definition))
    return store


STORE = store_with_variants()
ENCODER = FrameEncoder(STORE)
LOCAL = newest("audio_frame").local_id


def written(schema_id: int, datum: dict) -> bytes:
    """What another writer puts on the topic."""
    out = io.BytesIO()
    out.write(framing(schema_id))
    schemaless_writer(out, parse(VARIANTS.get(schema_id, newest("audio_frame").definition)), datum | EXTRA)
    return out.getvalue()


def audio(sequence: int = 0, payload: bytes = b"\xff" * 160, **changes) -> AudioFrame:
    frame = AudioFrame(
        kind=FrameKind.AUDIO,
        source=Source.AUDIOHOOK,
        codec=Codec.PCMU,
        channels=Channels.EXTERNAL_INTERNAL,
        sample_rate_hz=8000,
        session_id=SESSION,
        sequence=sequence,
        position_samples=80 * sequence,
        duration_samples=80,
        captured_at_s=1_700_000_000.123456,
        payload=payload,
    )
    return dataclasses.replace(frame, **changes)


def opened(info: SessionInfo | None = None, **changes) -> AudioFrame:
    payload = STORE.encode(info or SessionInfo(conversation_id="c-1"))
    return audio(payload=payload, kind=FrameKind.OPENED, **changes)


frames_of_any_kind = st.builds(
    AudioFrame,
    kind=st.sampled_from([kind for kind in FrameKind if kind not in (FrameKind.OPENED, FrameKind.INFO)]),
    reason=st.sampled_from(Reason),
    source=st.sampled_from(Source),
    codec=st.sampled_from(Codec),
    channels=st.sampled_from(Channels),
    late=st.booleans(),
    marker=st.booleans(),
    payload_type=SMALL,
    sample_rate_hz=SMALL,
    source_clock_hz=SMALL,
    source_sequence_bits=SMALL,
    source_timestamp_bits=SMALL,
    session_id=st.one_of(st.just(SESSION), st.binary(min_size=16, max_size=16)),
    stream=COUNTERS,
    sequence=COUNTERS,
    source_sequence=COUNTERS,
    source_timestamp=COUNTERS,
    position_samples=COUNTERS,
    duration_samples=COUNTERS,
    captured_at_s=st.floats(-1, 1e12),
    payload=st.one_of(
        st.binary(max_size=20),
        st.sampled_from([62, 63, 64, 65, 8190, 8191, 8192, 8193]).map(bytes),
    ),
)


def columns(frames: Frames) -> dict[str, list]:
    """Everything a consumer can see, without where the payloads lie."""
    seen = {
        field.name: getattr(frames, field.name).tolist()
        for field in dataclasses.fields(Frames)
        if field.name not in ("buffer", "payload_start", "errors", "infos")
    }
    payloads = [frames.payload(row) for row in range(len(frames))]
    return seen | {"payload": payloads, "errors": frames.errors, "infos": frames.infos}


@given(st.lists(frames_of_any_kind, min_size=1, max_size=6))
@example([audio(), opened(sequence=1), audio(2, b"")])
def test_the_fast_path_gives_the_columns_of_the_slow_path(batch):
    fast = decode([ENCODER.encode(frame) for frame in batch], STORE)
    slow = decode([written(SLOW, as_datum(frame)) for frame in batch], STORE)
    assert columns(fast) == columns(slow)


@given(st.lists(st.tuples(frames_of_any_kind, st.sampled_from([LOCAL, WIDER, SLOW, NEWER])), max_size=8))
def test_a_poll_of_mixed_versions_gives_the_same_columns(batch):
    mixed = decode([written(schema_id, as_datum(frame)) for frame, schema_id in batch], STORE)
    plain = decode([ENCODER.encode(frame) for frame, _ in batch], STORE)
    assert columns(mixed) == columns(plain)


@given(frames_of_any_kind)
def test_a_sound_frame_comes_back_field_by_field(frame):
    sound = dataclasses.replace(
        frame,
        kind=FrameKind.AUDIO,
        session_id=SESSION,
        sequence=max(frame.sequence, 0),
        sample_rate_hz=8000,
        position_samples=max(frame.position_samples, 0),
        captured_at_s=1_700_000_000.5,
    )
    frames = decode([ENCODER.encode(sound)], STORE)
    assert frames.errors == {}
    assert frames.ok.tolist() == frames.identified.tolist() == [True]
    for name, value in as_datum(sound).items():
        if isinstance(getattr(sound, name), Symbol):
            assert getattr(frames, name)[0] == getattr(sound, name).code, name
        elif name not in ("payload", "captured_at_s", "session_id"):
            assert getattr(frames, name)[0] == value, name
    assert frames.payload(0) == sound.payload
    assert frames.session_id[0].tobytes() == SESSION
    assert frames.captured_at_us[0] == 1_700_000_000_500_000


def test_which_versions_are_fast():
    fast = {schema_id: layout(definition) is not None for schema_id, definition in VARIANTS.items()}
    assert fast == {WIDER: True, SLOW: False, NEWER: True, OLDER: True}
    assert layout(newest("audio_frame").definition).width_bytes == FIXED_BYTES


@given(frames_of_any_kind)
def test_the_encoder_writes_what_fastavro_writes(frame):
    assert ENCODER.encode(frame) == STORE.encode(frame)


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 8191, 8192, 8193, 2**20 - 1, 2**20, 2**20 + 1])
@pytest.mark.parametrize("schema_id", [LOCAL, SLOW])
def test_a_payload_of_any_length_is_found(length, schema_id):
    payload = bytes(range(256)) * (length // 256 + 1)
    batch = [audio(0, b"before"), audio(1, payload[:length]), audio(2, b"after")]
    frames = decode([written(schema_id, as_datum(frame)) for frame in batch], STORE)
    assert frames.errors == {}
    assert [frames.payload(row) for row in range(3)] == [b"before", payload[:length], b"after"]


@given(st.integers(0, 2**62))
def test_a_varint_is_avro_s(size):
    out = io.BytesIO()
    schemaless_writer(out, parse("long"), size)
    assert varint(size) == out.getvalue()


def test_new_symbols_are_unknown_in_both_paths():
    new = dict.fromkeys(("kind", "reason", "source", "codec", "channels"), "NEW")
    fast = decode([written(NEWER, as_datum(audio()) | new)], STORE)
    slow_schema = variant(lambda fields: fields.insert(5, {"name": "note", "type": "string", "default": ""}))
    for field in slow_schema["fields"][:5]:
        field["type"]["symbols"].append("NEW")
    store = SchemaStore()
    store.add(SLOW, json.dumps(slow_schema))
    out = io.BytesIO()
    out.write(framing(SLOW))
    schemaless_writer(out, parse(slow_schema), as_datum(audio()) | new | EXTRA)
    slow = decode([out.getvalue()], store)
    assert columns(fast) == columns(slow)
    assert fast.ok.tolist() == [True]
    assert fast.kind[0] == fast.codec[0] == 0


def test_fields_an_older_version_lacks_take_their_defaults_in_both_paths():
    fast = decode([written(OLDER, as_datum(audio(marker=True, stream=7)))], STORE)
    store = SchemaStore()
    definition = copy.deepcopy(VARIANTS[OLDER])
    definition["fields"].insert(3, {"name": "note", "type": "string", "default": ""})
    store.add(OLDER, json.dumps(definition))
    out = io.BytesIO()
    out.write(framing(OLDER))
    schemaless_writer(out, parse(definition), as_datum(audio(marker=True, stream=7)) | EXTRA)
    assert columns(fast) == columns(decode([out.getvalue()], store))
    assert (fast.marker[0], fast.stream[0], fast.channels[0]) == (False, -1, 0)


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("lacking", ["session_id", "payload", "sequence", "kind"])
def test_a_version_without_an_essential_field_is_read_by_its_default_or_refused(lacking, slow):
    note = [{"name": "note", "type": "string", "default": ""}] if slow else []
    definition = variant(
        lambda fields: fields.__setitem__(slice(None), note + [f for f in fields if f["name"] != lacking])
    )
    store = SchemaStore()
    store.add(7, json.dumps(definition))
    out = io.BytesIO()
    out.write(framing(7))
    schemaless_writer(out, parse(definition), as_datum(audio(5)) | EXTRA)
    frames = decode([out.getvalue()], store)
    assert frames.ok.tolist() == [lacking in ("payload", "kind")]
    assert frames.identified.tolist() == [lacking in ("payload", "kind")]
    assert set(frames.errors) == set(np.flatnonzero(~frames.ok).tolist())


GOOD = ENCODER.encode(audio(3))


AT = {name: at for name, (_, at) in layout(newest("audio_frame").definition).dtype.fields.items()}


def patched(name: str, data: bytes) -> bytes:
    """A good value with the bytes of one field replaced."""
    start = FRAMING_BYTES + AT[name]
    return GOOD[:start] + data + GOOD[start + len(data) :]


GARBAGE = {
    "null": (None, "null", False),
    "empty": (b"", "too short", False),
    "half a framing": (b"\x00\x40", "too short", False),
    "another first byte": (b"\x01" + GOOD[1:], "byte 1", False),
    "an unknown id": (framing(424242) + GOOD[5:], "not known", False),
    "nothing but framing": (GOOD[:5], "cut short", False),
    "a cut head": (GOOD[:40], "cut short", False),
    "no payload length": (GOOD[: 5 + FIXED_BYTES], "cut short", False),
    "a cut payload": (GOOD[:-1], "cut short", True),
    "a byte too much": (GOOD + b"\x00", "left behind", True),
    "a truncated varint": (GOOD[: 5 + FIXED_BYTES] + b"\x80", "does not fit", True),
    "a varint without end": (GOOD[: 5 + FIXED_BYTES] + b"\xff" * 30, "does not fit", True),
    "a negative length": (GOOD[: 5 + FIXED_BYTES] + b"\x03abc", "cut short", True),
    "an enum byte beyond the symbols": (patched("kind", b"\x7e"), "out of range", True),
    "an odd enum byte": (patched("kind", b"\x01"), "out of range", True),
    "an enum byte above 127": (patched("source", b"\xff"), "out of range", True),
    "a boolean of two": (patched("late", b"\x02"), "out of range", True),
    "a sequence that is no number": (patched("sequence", struct.pack("<d", float("nan"))), "sequence", False),
    "an infinite sequence": (patched("sequence", struct.pack("<d", float("inf"))), "sequence", False),
    "half a sequence number": (patched("sequence", struct.pack("<d", 0.5)), "sequence", False),
    "a sequence no double counts": (patched("sequence", struct.pack("<d", 2.0**53)), "sequence", False),
    "a negative sequence": (patched("sequence", struct.pack("<d", -1)), "negative", False),
    "a rate that is no number": (patched("sample_rate_hz", struct.pack("<f", float("nan"))), "sample_rate_hz", True),
    "audio without a rate": (patched("sample_rate_hz", struct.pack("<f", -1)), "sample rate", True),
    "audio without a position": (patched("position_samples", struct.pack("<d", -1)), "position", True),
    "an arrival beyond all calendars": (patched("captured_at_s", struct.pack("<d", 1e14)), "captured_at_s", True),
    "an arrival that is no number": (patched("captured_at_s", struct.pack("<d", float("nan"))), "captured_at_s", True),
    "no session": (patched("session_id", bytes(16)), "session id is zero", False),
    "an OPENED without SessionInfo": (ENCODER.encode(audio(kind=FrameKind.OPENED)), "SessionInfo", True),
    "an INFO of garbage": (
        ENCODER.encode(audio(kind=FrameKind.INFO, payload=framing(newest("session_info").local_id) + b"\xff")),
        "SessionInfo",
        True,
    ),
}


@pytest.mark.parametrize(("value", "why", "identified"), GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_a_row_with_a_reason_and_hurts_no_neighbour(value, why, identified):
    frames = decode([GOOD, value, GOOD], STORE)
    assert frames.ok.tolist() == [True, False, True]
    assert frames.identified.tolist() == [True, identified, True]
    assert set(frames.errors) == {1}
    assert why in frames.errors[1]
    assert frames.kind[1] < len(FrameKind)
    assert [frames.payload(row) for row in (0, 2)] == [b"\xff" * 160] * 2
    if identified:
        assert frames.session_id[1].tobytes() == SESSION
        assert frames.sequence[1] in (0, 3)


def test_a_numbered_packet_may_have_no_place_for_its_number_counts():
    frames = decode([ENCODER.encode(audio(position_samples=-1, source_sequence_bits=16, source_sequence=7))], STORE)
    assert frames.ok.tolist() == [True]
    assert frames.position_samples.tolist() == [-1]


@settings(max_examples=300)
@given(
    st.lists(
        st.one_of(
            st.none(),
            st.binary(max_size=130),
            st.binary(max_size=130).map(lambda tail: framing(LOCAL) + tail),
            st.tuples(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=9)).map(
                lambda cut: GOOD[: cut[0]] + cut[1] + GOOD[cut[0] + len(cut[1]) :]
            ),
            st.just(GOOD),
        ),
        max_size=6,
    )
)
def test_no_bytes_make_decode_raise_and_each_row_is_judged_alone(values):
    frames = decode(values, STORE)
    assert set(frames.errors) == set(np.flatnonzero(~frames.ok).tolist())
    alone = [columns(decode([value], STORE)) for value in values]
    together = columns(frames)
    for name in ("ok", "identified", "kind", "sequence", "session_id", "payload", "captured_at_us"):
        assert together[name] == [one[name][0] for one in alone]


@pytest.mark.parametrize("text", ['"string"', '["null", "string"]', '{"type": "array", "items": "long"}'])
def test_an_id_of_something_else_makes_dead_letters(text):
    store = SchemaStore()
    store.add(8, text)
    frames = decode([framing(8) + b"\x02a", ENCODER.encode(audio())], store)
    assert frames.ok.tolist() == [False, True]


def test_an_id_of_another_record_makes_dead_letters():
    other = {"type": "record", "name": "Other", "namespace": "x", "fields": [{"name": "payload", "type": "bytes"}]}
    store = SchemaStore()
    store.add(8, json.dumps(other))
    frames = decode([framing(8) + b"\x02a", STORE.encode(SessionInfo(conversation_id="c"))], store)
    assert frames.ok.tolist() == [False, False]
    assert frames.identified.tolist() == [False, False]


def test_an_empty_poll_has_no_rows():
    frames = decode([], STORE)
    assert len(frames) == 0
    assert frames.kind.tolist() == []


def test_infos_are_read_and_marks_have_none():
    info = SessionInfo(conversation_id="c-9", queue="q", organisation="o")
    frames = decode([ENCODER.encode(frame) for frame in (opened(info), audio(1), opened(sequence=2))], STORE)
    assert frames.infos == {0: info, 2: SessionInfo(conversation_id="c-1")}


def test_a_tick_is_identified_by_its_kind_alone():
    tick = AudioFrame(kind=FrameKind.TICK, captured_at_s=1.5)
    frames = decode([ENCODER.encode(tick)], STORE)
    assert frames.ok.tolist() == [True]
    assert (frames.kind[0], frames.sequence[0], frames.captured_at_us[0]) == (FrameKind.TICK.code, -1, 1_500_000)


def test_an_absent_arrival_is_minus_one():
    frames = decode([ENCODER.encode(audio(captured_at_s=-1))], STORE)
    assert frames.captured_at_us.tolist() == [-1]


def test_a_killed_row_keeps_its_identity():
    frames = decode([ENCODER.encode(opened(sequence=4))], STORE)
    frames.kill(0, "the detector failed")
    assert (frames.ok[0], frames.identified[0], frames.sequence[0]) == (False, True, 4)
    assert (frames.errors, frames.infos) == ({0: "the detector failed"}, {})


@given(st.integers(0, 5), st.integers(0, 5))
def test_a_slice_is_what_decoding_these_values_gives(start, stop):
    values = [ENCODER.encode(opened()), GOOD, None, GOOD[:-1], ENCODER.encode(audio(9, b"z"))]
    whole = decode(values, STORE)
    assert columns(whole.slice(start, stop)) == columns(decode(values[start:stop], STORE))


def test_unknown_ids_are_those_a_registry_must_be_asked_for():
    values = [GOOD, None, b"\x00", framing(31) + b"x", framing(32), framing(31) + b"y", b"\x07" + bytes(8)]
    assert unknown_ids(values, STORE) == {31, 32}


def test_the_schema_of_a_session_info_is_asked_for_too():
    newer = framing(77) + STORE.encode(SessionInfo(conversation_id="c"))[FRAMING_BYTES:]
    values = [ENCODER.encode(opened()), GOOD, ENCODER.encode(dataclasses.replace(opened(), payload=newer))]
    assert unknown_ids(values, STORE) == {77}
    assert unknown_ids([values[2][:-3], ENCODER.encode(dataclasses.replace(opened(), payload=b"x"))], STORE) == set()


def test_a_registry_s_id_is_written_and_read():
    store = SchemaStore()
    store.write_with("audio_frame", 12)
    value = FrameEncoder(store).encode(audio(5))
    assert value[:5] == framing(12)
    assert columns(decode([value], store)) == columns(decode([ENCODER.encode(audio(5))], store))


def test_a_number_that_does_not_fit_is_not_written():
    with pytest.raises(struct.error):
        ENCODER.encode(audio(sequence="one"))
