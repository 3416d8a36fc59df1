import numpy as np
import pytest

from simulators.audiohook import media
from simulators.audiohook.media import Audio
from simulators.conversation import script


def test_channels_are_selected_by_name_in_any_order():
    audio = Audio(b"aAbBcC")
    assert audio.select(("external", "internal")) == b"aAbBcC"
    assert audio.select(("internal", "external")) == b"AaBbCc"
    assert audio.select(("external",)) == b"abc"
    assert audio.select(("internal",)) == b"ABC"


def test_stereo_is_offered_whole_and_by_channel_and_mono_alone():
    assert [offer.channels for offer in Audio(b"").offers()] == [
        ("external", "internal"),
        ("external",),
        ("internal",),
    ]
    assert [offer.channels for offer in Audio(b"", ("external",)).offers()] == [("external",)]


def test_a_tone_has_the_length_and_level_asked_for():
    tone = media.tone(500, frequency_hz=400.0, rms=0.0106, channels=("external",))
    inverted = ~np.frombuffer(tone.payload, np.uint8).astype(np.int64) & 0xFF
    magnitude = ((((inverted & 15) << 1) + 33) << (inverted >> 4 & 7)) - 33
    assert tone.samples == 4000
    assert np.sqrt(np.mean((magnitude / 8192.0) ** 2)) == pytest.approx(0.0106, rel=0.02)


@pytest.mark.parametrize("code", [0xFF, 0x7F])
def test_silence_is_one_byte_throughout(code):
    assert media.silence(20, code).payload == bytes([code]) * 320


def test_repeated_audio_starts_over():
    assert media.silence(20).repeated(3).samples == 480


def test_a_wav_file_is_read_as_it_is_and_another_rate_is_refused(tmp_path):
    content = bytearray((script.FOLDER / "conversation.wav").read_bytes())
    path = tmp_path / "call.wav"
    path.write_bytes(content)
    assert media.wav(path) == media.conversation()
    content[24:28] = (16_000).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(ValueError, match="16000 Hz"):
        media.wav(path)
