import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.numbers import NEVER_WRAPS, extend, limit

widths = st.integers(8, 32)


@given(widths, st.integers(0, 1 << 40), st.data())
def test_a_number_is_extended_exactly_within_half_the_range(bits, highest, data):
    half = 1 << (bits - 1)
    sent = highest + data.draw(st.integers(-half, half - 1))
    assert extend(sent % (1 << bits), highest, bits) == sent


@given(st.integers(0, 1 << 53), st.integers(0, 1 << 53))
def test_a_number_that_never_wraps_is_itself(number, highest):
    assert extend(number, highest, NEVER_WRAPS) == number


@pytest.mark.parametrize(
    ("number", "highest", "extended"),
    [
        (0, 65_535, 65_536),
        (65_535, 65_536, 65_535),
        (65_535, 0, -1),
        (32_766, 65_535, 98_302),
        (32_768, 65_536, 32_768),
    ],
)
def test_numbers_of_16_bits_wrap_both_ways(number, highest, extended):
    assert extend(number, highest, 16) == extended


@pytest.mark.parametrize(("bits", "expected"), [(8, 128), (16, 3000), (32, 3000), (NEVER_WRAPS, 3000)])
def test_a_limit_is_never_more_than_half_the_range(bits, expected):
    assert limit(3000, bits) == expected
