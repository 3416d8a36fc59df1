import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.loss.packing import pack, unpack


@given(st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3), max_size=5))
def test_what_is_packed_comes_back_and_what_follows_it_is_left(rows):
    numbers = np.array(rows, np.int64).reshape(-1, 3).T
    found, rest = unpack(memoryview(pack(numbers) + b"rest"))
    assert found.tolist() == numbers.tolist()
    assert bytes(rest) == b"rest"


def test_small_numbers_take_a_byte_each():
    assert len(pack(np.full((4, 100), -128, np.int64))) == 8 + 4 + 400


def test_columns_that_end_too_early_are_an_error():
    content = pack(np.ones((4, 4), np.int64))
    for size in range(len(content)):
        with pytest.raises((ValueError, struct.error)):
            unpack(memoryview(content[:size]))
