import io
import struct
import wave

import pytest

from audio.wav import MAX_DATA_BYTES, WavFormat
from schemas.symbols import Channels, Codec

STEREO = WavFormat(Codec.PCMU, Channels.EXTERNAL_INTERNAL, 8000)


def test_a_mu_law_header_has_58_bytes_with_tag_7_a_fact_chunk_and_block_align_of_the_channels():
    header = STEREO.header(1000)
    assert len(header) == STEREO.header_bytes == 58
    assert header == bytes.fromhex(
        "52494646"  # RIFF
        "02080000"  # 50 + 2000
        "57415645"  # WAVE
        "666d742012000000"  # fmt, 18 bytes
        "07000200401f0000803e0000020008000000"  # tag 7, 2 channels, 8000, 16000, align 2, 8 bits, no extension
        "6661637404000000e8030000"  # fact: 1000 samples
        "64617461d0070000"  # data: 2000 bytes
    )


def test_an_a_law_header_differs_by_its_tag_only():
    alaw = WavFormat(Codec.PCMA, Channels.EXTERNAL_INTERNAL, 8000)
    assert alaw.header(5) == STEREO.header(5).replace(b"\x07\x00\x02\x00", b"\x06\x00\x02\x00")


def test_linear_audio_is_what_the_standard_library_reads():
    form = WavFormat(Codec.L16_BE, Channels.INTERNAL_EXTERNAL, 16000)
    samples = struct.pack(">4h", 1, -2, 300, -400)
    with wave.open(io.BytesIO(form.header(2) + form.stored(samples))) as opened:
        assert opened.getparams()[:4] == (2, 2, 16000, 2)
        assert struct.unpack("<4h", opened.readframes(2)) == (1, -2, 300, -400)


@pytest.mark.parametrize(
    ("codec", "silence"),
    [(Codec.PCMU, b"\xff"), (Codec.PCMA, b"\xd5"), (Codec.L16_LE, b"\0\0"), (Codec.L16_BE, b"\0\0")],
)
def test_silence_is_the_codecs_zero(codec, silence):
    assert WavFormat(codec, Channels.EXTERNAL, 8000).silence(3) == 3 * silence


def test_every_mu_law_byte_is_stored_as_received_and_a_cut_off_block_is_left_out():
    assert STEREO.stored(bytes(range(256))) == bytes(range(256))
    assert STEREO.stored(b"\x01\x02\x03") == b"\x01\x02"


def test_odd_data_is_padded_and_the_padding_counts_in_the_file_not_in_the_data():
    mono = WavFormat(Codec.PCMU, Channels.EXTERNAL, 8000)
    header = mono.header(3)
    assert mono.padding(3) == b"\0"
    assert mono.padding(4) == b""
    assert struct.unpack_from("<I", header, 4) == (58 - 8 + 4,)
    assert struct.unpack_from("<I", header, 54) == (3,)


def test_more_than_the_sizes_can_say_is_refused():
    mono = WavFormat(Codec.PCMU, Channels.EXTERNAL, 8000)
    assert len(mono.header(MAX_DATA_BYTES)) == 58
    with pytest.raises(ValueError, match="more than a WAV file can say"):
        mono.header(MAX_DATA_BYTES + 1)


@pytest.mark.parametrize(
    "form",
    [
        WavFormat(Codec.OPUS, Channels.EXTERNAL, 48000),
        WavFormat(Codec.PCMU, Channels.UNKNOWN, 8000),
        WavFormat(Codec.PCMU, Channels.EXTERNAL, 0),
    ],
)
def test_what_cannot_be_placed_sample_by_sample_is_not_writable(form):
    assert not form.writable
