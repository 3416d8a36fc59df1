import numpy as np
import pytest

from audio import g711
from processors.silence.ranks import fits, measure, ranking
from schemas.symbols import Codec

TABLES = {Codec.PCMU: g711.PCMU, Codec.PCMA: g711.PCMA}
LOUDEST = {Codec.PCMU: 0x00, Codec.PCMA: 0xAA}


@pytest.mark.parametrize("codec", TABLES)
@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("block_bytes", [8, 160, 320])
def test_blocks_measure_as_their_samples_do(codec, sides, block_bytes):
    blocks = np.random.default_rng(block_bytes).integers(0, 256, (900, block_bytes), np.uint8)
    blocks[:256] = np.arange(256, dtype=np.uint8)[:, None]
    samples = TABLES[codec].astype(np.int64)[blocks].reshape(900, -1, sides)
    sums, peaks, clipped = measure(blocks, sides, ranking(codec.code))
    assert sums.T.tolist() == (samples**2).sum(1).tolist()
    assert peaks.T.tolist() == (samples**2).max(1).tolist()
    assert clipped.T.tolist() == (np.abs(samples) == np.abs(TABLES[codec]).max()).sum(1).tolist()


@pytest.mark.parametrize("codec", TABLES)
def test_the_longest_block_that_fits_does_not_overflow_when_all_of_it_is_loud(codec):
    how = ranking(codec.code)
    size = 8 * how.most_words
    assert fits(size, how)
    assert not fits(size + 8, how)
    sums, _, clipped = measure(np.full((1, size), LOUDEST[codec], np.uint8), 1, how)
    assert sums.tolist() == [[size * int(TABLES[codec].astype(np.int64).max() ** 2)]]
    assert clipped.tolist() == [[size]]


def test_blocks_that_are_no_whole_words_do_not_fit():
    how = ranking(Codec.PCMU.code)
    assert [fits(size, how) for size in (0, 7, 8, 12, 320)] == [False, False, True, False, True]


def test_linear_samples_have_no_ranks():
    assert ranking(Codec.L16_LE.code) is None
