import numpy as np
import pytest

from audio.vad_matrix import Scratch, multiply


@pytest.mark.parametrize(("dtype", "bits"), [(np.float32, 24), (np.float64, 53)])
@pytest.mark.parametrize("streams", [1, 7, 64, 301])
def test_products_of_whole_numbers_are_exact_for_any_number_of_streams(dtype, bits, streams):
    chance = np.random.default_rng(streams)
    most = 2 ** (bits // 2 - 3)
    matrix = chance.integers(-most, most, (96, 32))
    columns = chance.integers(-most, most, (32, streams))
    out = np.empty((96, streams), dtype)
    multiply(matrix.astype(dtype), columns.astype(dtype), out)
    assert (out == matrix @ columns).all()


def test_room_is_kept_and_grows_with_what_is_asked_for():
    scratch = Scratch()
    first = scratch.array("a", 3, 4)
    first[:] = 5
    assert (scratch.array("a", 2, 5) == 5).all()
    assert scratch.array("a", 30, 4).shape == (30, 4)
    assert scratch.singles("b", 3, 5).dtype == np.float32
    assert scratch.singles("b", 3, 5).shape == (3, 5)
    assert not np.shares_memory(scratch.array("a", 2, 2), scratch.array("b", 2, 2))
