import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.wav import WavFormat
from audio.wav_reading import HEAD_BYTES, NotReadable, WavHead, is_wav, read_head
from schemas.symbols import Channels, Codec

PCM_GUID = bytes.fromhex("0100000000001000800000aa00389b71")


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def form(tag: int = 1, channels: int = 1, rate: int = 8000, bits: int = 16, more: bytes = b"") -> bytes:
    block = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits) + more)


def wav(*chunks: bytes, data: bytes = bytes(8), size: int | None = None, name: bytes = b"RIFF") -> bytes:
    samples = b"data" + struct.pack("<I", len(data) if size is None else size) + data
    body = b"WAVE" + b"".join(chunks) + samples
    return name + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.PCMA, Codec.L16_LE])
@pytest.mark.parametrize("channels", [Channels.MIXED, Channels.EXTERNAL_INTERNAL])
def test_what_we_write_can_be_read(codec: Codec, channels: Channels) -> None:
    written = WavFormat(codec, channels, 8000)
    head = read_head(written.header(100) + written.silence(100))
    count = len(written.channel_names)
    assert head == WavHead(codec, count, 8000, written.header_bytes, 100 * written.block_bytes)
    assert head.block_bytes == written.block_bytes


def test_chunks_before_the_samples_are_passed_over() -> None:
    file = wav(chunk(b"JUNK", bytes(27)), form(), chunk(b"LIST", b"odd"), chunk(b"fact", bytes(4)))
    assert read_head(file).data_offset == len(file) - 8


@pytest.mark.parametrize(("guid", "codec", "bits"), [(1, Codec.L16_LE, 16), (7, Codec.PCMU, 8), (6, Codec.PCMA, 8)])
def test_an_extensible_format_is_read_by_its_subformat(guid: int, codec: Codec, bits: int) -> None:
    more = struct.pack("<HHI", 22, bits, 3) + bytes([guid]) + PCM_GUID[1:]
    head = read_head(wav(form(0xFFFE, 2, 16_000, bits, more)))
    assert (head.codec, head.channel_count, head.sample_rate_hz) == (codec, 2, 16_000)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_size_that_was_never_filled_in_means_to_the_end(size: int) -> None:
    assert read_head(wav(form(), size=size)).data_bytes == -1


def test_a_long_file_says_its_size_elsewhere() -> None:
    sizes = chunk(b"ds64", struct.pack("<QQQI", 2**33 + 72, 2**33, 2**32, 0))
    assert read_head(wav(sizes, form(), size=0xFFFFFFFF, name=b"RF64")).data_bytes == 2**33


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (b"RIFX" + bytes(40), "is no WAV file"),
        (wav(form(bits=8)), "holds samples of format 0x1 with 8 bits"),
        (wav(form(bits=24)), "holds samples of format 0x1 with 24 bits"),
        (wav(form(tag=3, bits=32)), "holds samples of format 0x3"),
        (wav(form(0xFFFE, bits=16)), "holds samples of format 0xfffe"),
        (wav(form(0xFFFE, more=struct.pack("<HHI", 22, 16, 3) + PCM_GUID[:-1] + b"?")), "format 0xfffe"),
        (wav(form(channels=3)), "has 3 channels"),
        (wav(form(channels=0)), "has 0 channels"),
        (wav(form(rate=0)), "contradicts itself: 0 samples per second"),
        (wav(form().replace(struct.pack("<HH", 2, 16), struct.pack("<HH", 3, 16))), "blocks of 3 bytes"),
        (wav(chunk(b"fmt ", bytes(15))), "a format chunk that is too short"),
        (wav(), "has samples before it says how they lie"),
        (wav(form())[:40], "has no samples"),
        (wav(form(), chunk(b"JUNK", bytes(HEAD_BYTES)))[:HEAD_BYTES], "has no samples within its first"),
    ],
)
def test_what_cannot_be_read_says_why(file: bytes, why: str) -> None:
    with pytest.raises(NotReadable, match=why):
        read_head(file)


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise_anything_else(rest: bytes) -> None:
    head = b"RIFF\0\0\0\0WAVE" + rest
    assert is_wav(head)
    try:
        found = read_head(head)
    except NotReadable:
        return
    assert found.data_offset <= len(head)


@given(st.data())
def test_no_changed_byte_makes_it_raise_anything_else(draw: st.DataObject) -> None:
    file = bytearray(wav(form(), chunk(b"LIST", b"abc")))
    for at in draw.draw(st.lists(st.integers(0, len(file) - 1), max_size=4)):
        file[at] = draw.draw(st.integers(0, 255))
    try:
        found = read_head(bytes(file))
    except NotReadable:
        return
    assert found.channel_count in (1, 2)
