import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulators.conversation import mulaw


def decode(codes):
    inverted = ~codes.astype(np.int64) & 0xFF
    magnitude = ((((inverted & 15) << 1) + 33) << (inverted >> 4 & 7)) - 33
    return np.where(inverted & 0x80, -magnitude, magnitude) / 8192.0


def test_every_code_decodes_to_a_level_that_encodes_back_to_it():
    codes = np.arange(256, dtype=np.uint8)
    again = mulaw.encode(decode(codes))
    again[mulaw.NEGATIVE_SILENCE] = mulaw.NEGATIVE_SILENCE  # 0 has two codes
    assert np.array_equal(again, codes)


@given(st.floats(-1.5, 1.5))
def test_a_level_is_kept_within_half_a_step_and_clipped_beyond_full_scale(level):
    value = decode(mulaw.encode(np.array([level])))[0]
    limited = max(-8031 / 8192, min(8031 / 8192, level))
    assert abs(value - limited) <= max(abs(limited) / 32 + 1.6 / 8192, 0.0)
