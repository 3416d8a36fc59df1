import pytest
from pydantic import ValidationError

from ingest.media import Media
from ingest.single_call_settings import SingleCallSettings
from schemas.symbols import Channels, Codec


def test_audio_is_read_as_the_telephone_network_sends_it_unless_it_is_set():
    assert SingleCallSettings().media == Media(Codec.PCMU, 8000, Channels.MIXED)
    found = SingleCallSettings(codec="l16be", sample_rate_hz=16_000, channels="external_internal")
    assert found.media == Media(Codec.L16_BE, 16_000, Channels.EXTERNAL_INTERNAL)


@pytest.mark.parametrize(
    ("rate_hz", "taken"), [(7_999, False), (8_000, True), (8_001, True), (48_000, True), (48_001, False)]
)
def test_a_sample_rate_is_taken_from_eight_to_forty_eight_kilohertz(rate_hz, taken):
    if taken:
        assert SingleCallSettings(sample_rate_hz=rate_hz).media.sample_rate_hz == rate_hz
    else:
        with pytest.raises(ValidationError):
            SingleCallSettings(sample_rate_hz=rate_hz)


def test_audio_has_to_lie_somewhere():
    with pytest.raises(ValidationError):
        SingleCallSettings(payload_fields=())
