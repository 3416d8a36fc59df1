import numpy as np
import pytest

from audio.g711 import PCMA, PCMU
from processors.silence.decoding import decoded, ranges_of
from schemas.symbols import Channels, Codec

BYTES = np.arange(256, dtype=np.uint8)


def code(codec: Codec, channels: Channels = Channels.EXTERNAL) -> int:
    return codec.code << 8 | channels.code


@pytest.mark.parametrize(("codec", "table"), [(Codec.PCMU, PCMU), (Codec.PCMA, PCMA)])
@pytest.mark.parametrize("lengths", [[3, 3], [2, 5]])
def test_ranges_of_bytes_become_samples_one_range_after_another(codec, table, lengths):
    pcm = decoded(BYTES, np.array([200, 10]), np.array(lengths), code(codec))
    expected = [*table[200 : 200 + lengths[0]], *table[10 : 10 + lengths[1]]]
    assert pcm.tolist() == [expected, [0] * len(expected)]


@pytest.mark.parametrize(("channels", "left"), [(Channels.EXTERNAL_INTERNAL, 0), (Channels.INTERNAL_EXTERNAL, 1)])
@pytest.mark.parametrize(("codec", "dtype"), [(Codec.L16_LE, "<i2"), (Codec.L16_BE, ">i2")])
def test_sides_that_lie_beside_each_other_are_told_apart(channels, left, codec, dtype):
    samples = np.arange(-40, 40, dtype=dtype)
    pcm = decoded(samples.view(np.uint8), np.array([0]), np.array([40]), code(codec, channels))
    assert pcm[left].tolist() == list(range(-40, 40, 2))
    assert pcm[1 - left].tolist() == list(range(-39, 40, 2))
    assert pcm.dtype == np.int16


def test_ranges_may_overlap_and_end_with_the_buffer():
    assert ranges_of(BYTES, np.array([253, 252]), 3).tolist() == [[253, 254, 255], [252, 253, 254]]
