import numpy as np
import pytest

from audio import g711
from processors.silence.ranks import MOST_SAMPLES, fits, measure, ranking
from schemas.symbols import Codec

TABLES = {Codec.PCMU: g711.PCMU, Codec.PCMA: g711.PCMA}
LOUDEST = {Codec.PCMU: 0x00, Codec.PCMA: 0xAA}


@pytest.mark.parametrize("codec", TABLES)
@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("length", [8, 160, 248])
def test_blocks_measure_as_their_samples_do(codec, sides, length):
    blocks = np.random.default_rng(length).integers(0, 256, (900, length * sides), np.uint8)
    blocks[:256] = np.arange(256, dtype=np.uint8)[:, None]
    samples = TABLES[codec].astype(np.int64)[blocks].reshape(900, -1, sides)
    sums, peaks, clipped, totals = measure(blocks, sides, ranking(codec.code))
    assert sums.T.tolist() == (samples**2).sum(1).tolist()
    assert peaks.T.tolist() == (samples**2).max(1).tolist()
    assert totals.T.tolist() == samples.sum(1).tolist()
    assert clipped.T.tolist() == (np.abs(samples) == np.abs(TABLES[codec]).max()).sum(1).tolist()


@pytest.mark.parametrize("codec", TABLES)
@pytest.mark.parametrize("sign", [0, 0x80])
def test_the_longest_block_that_fits_does_not_overflow_when_all_of_it_is_loud(codec, sign):
    size = MOST_SAMPLES // 8 * 8
    blocks = np.full((1, 2 * size), LOUDEST[codec] ^ sign, np.uint8)
    sample = int(TABLES[codec][LOUDEST[codec] ^ sign])
    assert fits(size, 2)
    sums, peaks, clipped, totals = measure(blocks, 2, ranking(codec.code))
    assert sums.tolist() == [[size * sample**2]] * 2
    assert peaks.tolist() == [[sample**2]] * 2
    assert clipped.tolist() == [[size]] * 2
    assert totals.tolist() == [[size * sample]] * 2


def test_blocks_that_are_too_long_or_no_whole_words_do_not_fit():
    assert [fits(samples, 1) for samples in (0, 7, 8, 12, 160, 256)] == [False, False, True, False, True, False]
    assert [fits(samples, 2) for samples in (4, 6, 252, 256)] == [True, False, True, False]


def test_linear_samples_have_no_ranks():
    assert ranking(Codec.L16_LE.code) is None
