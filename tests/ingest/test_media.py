import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.media import CODECS, PAYLOAD_FIELDS, Media, from_base64, payload_of
from ingest.text import MalformedMessage
from schemas.symbols import Channels, Codec
from tests.ingest.single_calls import ANYTHING, FRAME, FRAME_TEXT


@pytest.mark.parametrize(
    ("codec", "channels", "size", "samples"),
    [
        (Codec.PCMU, Channels.MIXED, 160, 160),
        (Codec.PCMA, Channels.EXTERNAL, 1, 1),
        (Codec.L16_LE, Channels.MIXED, 320, 160),
        (Codec.L16_BE, Channels.INTERNAL, 2, 1),
        (Codec.PCMU, Channels.EXTERNAL_INTERNAL, 320, 160),
        (Codec.L16_LE, Channels.INTERNAL_EXTERNAL, 640, 160),
    ],
)
def test_a_payload_holds_so_many_samples_of_each_channel(codec, channels, size, samples):
    assert Media(codec, 8000, channels).samples(bytes(size)) == samples


@pytest.mark.parametrize(
    ("media", "size", "defect"),
    [
        (Media(), 0, "payload is empty"),
        (Media(Codec.L16_LE), 319, "payload holds no whole samples"),
        (Media(Codec.PCMU, 8000, Channels.EXTERNAL_INTERNAL), 161, "payload holds no whole samples"),
        (Media(Codec.L16_LE, 8000, Channels.EXTERNAL_INTERNAL), 322, "payload holds no whole samples"),
    ],
)
def test_a_payload_of_no_whole_samples_is_refused(media, size, defect):
    with pytest.raises(MalformedMessage) as refused:
        media.samples(bytes(size))
    assert str(refused.value) == defect


def test_the_length_of_samples_is_known_of_every_codec_of_the_settings():
    assert {Media(codec).samples(bytes(4)) for codec in CODECS.values()} == {2, 4}


@pytest.mark.parametrize("field", PAYLOAD_FIELDS)
def test_audio_is_found_in_any_of_the_usual_fields(field):
    assert payload_of({"type": "audio", field: FRAME_TEXT}, PAYLOAD_FIELDS) == FRAME


def test_the_first_of_the_fields_wins_and_no_other_is_looked_at():
    assert payload_of({"b": "AQ==", "a": "Ag=="}, ("a", "b")) == b"\x02"
    with pytest.raises(MalformedMessage, match="payload is not a string"):
        payload_of({"b": "AQ==", "a": None}, ("a", "b"))
    with pytest.raises(MalformedMessage, match="audio without a payload"):
        payload_of({"data": "AQ=="}, ("a", "b"))


@pytest.mark.parametrize("text", ["A", "AQ=", "AQ==\n", "A Q==", "é", "{}"])
def test_what_is_no_base64_is_refused_without_a_quote(text):
    with pytest.raises(MalformedMessage) as refused:
        from_base64(text)
    assert str(refused.value) == "payload is not base64"


@given(ANYTHING)
def test_any_value_is_read_or_refused(value):
    try:
        assert isinstance(from_base64(value), bytes)
    except MalformedMessage:
        assert value != FRAME_TEXT


@given(st.binary())
def test_any_payload_is_measured_or_refused(payload):
    for codec in CODECS.values():
        try:
            assert Media(codec).samples(payload) > 0
        except MalformedMessage:
            assert len(payload) % 2 or not payload
