import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.cognigy.bridge.audio import Chunker, Piece, callers, linear
from schemas.symbols import Channels, Codec

RATE_HZ = 8000


def piece(samples, position, codec=Codec.PCMU, at_us=0):
    payload = bytes((position + n) % 256 for n in range(samples))
    return Piece(payload * (1 if codec is Codec.PCMU else 2), codec, RATE_HZ, position, at_us)


@pytest.mark.parametrize(
    ("channels", "payload"),
    [
        (Channels.EXTERNAL, b"abcd"),
        (Channels.MIXED, b"abcd"),
        (Channels.EXTERNAL_INTERNAL, b"ac"),
        (Channels.INTERNAL_EXTERNAL, b"bd"),
        (Channels.INTERNAL, None),
        (Channels.BOT, None),
    ],
)
def test_only_the_caller_s_channel_goes_out(channels, payload):
    assert callers(b"abcd", Codec.PCMU, channels) == payload


def test_samples_of_two_bytes_stay_whole():
    assert callers(b"aAbBcCdD", Codec.L16_LE, Channels.INTERNAL_EXTERNAL) == b"bBdD"


@pytest.mark.parametrize(
    ("payload", "codec"), [(b"", Codec.PCMU), (b"abc", Codec.L16_LE), (b"ab", Codec.OPUS), (b"a", Codec.COMFORT_NOISE)]
)
def test_what_holds_no_samples_we_know_goes_nowhere(payload, codec):
    assert callers(payload, codec, Channels.EXTERNAL) is None


def test_samples_of_every_codec_are_the_same_as_numbers():
    wanted = np.array([0, 32124], "<i2").tobytes()
    assert linear(Piece(b"\xff\x80", Codec.PCMU, RATE_HZ, 0, 0)).payload == wanted
    assert linear(Piece(np.array([0, 32124], ">i2").tobytes(), Codec.L16_BE, RATE_HZ, 0, 0)).payload == wanted
    assert linear(Piece(wanted, Codec.L16_LE, RATE_HZ, 0, 0)).payload == wanted
    assert linear(Piece(b"\xd5\x55", Codec.PCMA, RATE_HZ, 5, 9)) == Piece(
        np.array([8, -8], "<i2").tobytes(), Codec.L16_LE, RATE_HZ, 5, 9
    )


@given(st.lists(st.integers(1, 500), min_size=1, max_size=20), st.sampled_from([20, 100, 200]))
def test_chunks_have_one_length_and_lose_no_sample_however_the_frames_are_cut(lengths, chunk_ms):
    chunker, position, chunks = Chunker(chunk_ms), 0, []
    for length in lengths:
        chunks += chunker.take(piece(length, position))
        position += length
    size = RATE_HZ * chunk_ms // 1000
    assert [(chunk.position_samples, chunk.samples) for chunk in chunks] == [
        (number * size, size) for number in range(position // size)
    ]
    assert b"".join(chunk.payload for chunk in chunks) == bytes(n % 256 for n in range(position // size * size))


def test_what_stands_before_a_gap_goes_out_short_and_the_next_says_where_it_begins():
    chunker = Chunker(100)
    assert chunker.take(piece(160, 0)) == []
    (short,) = chunker.take(piece(160, 1600))
    assert (short.position_samples, short.samples) == (0, 160)
    full = chunker.take(piece(800, 1760))
    assert [(chunk.position_samples, chunk.samples) for chunk in full] == [(1600, 800)]


def test_another_codec_begins_another_chunk():
    chunker = Chunker(100)
    chunker.take(piece(160, 0))
    (short,) = chunker.take(piece(160, 160, Codec.L16_LE))
    assert short.codec is Codec.PCMU
