from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.loss.delays import BINS, LAST, LEAP_US, NONE, Delays, Spread, shift


def measured(transits_us) -> tuple[Delays, Spread]:
    delays, spread = Delays(clock_hz=8000, stamp_bits=32), Spread()
    for transit_us in transits_us:
        delays.take(transit_us)
    delays.over((spread,))
    return delays, spread


@given(st.lists(st.integers(-10_000_000, 10_000_000), min_size=2, max_size=50))
def test_jitter_is_that_of_rfc_3550(transits_us):
    jitter, seen = 0.0, []
    for before, now in pairwise(transits_us):
        jitter += (abs(now - before) - jitter) / 16
        seen.append(jitter)
    delays, spread = measured(transits_us)
    assert delays.jitter / 65_536 == pytest.approx(jitter, abs=0.001)
    assert spread.jitter_mean_ms == pytest.approx(sum(seen) / len(seen) / 1000, abs=1e-5)
    assert spread.jitter_max_ms == pytest.approx(max(seen) / 1000, abs=1e-5)


@given(st.lists(st.integers(-300_000, 300_000), min_size=1, max_size=80), st.sampled_from([50, 95, 99]))
def test_percentiles_are_those_of_the_delays_above_the_least_to_a_millisecond(transits_us, percent):
    _, spread = measured(transits_us)
    ordered = sorted(us - min(transits_us) for us in transits_us)
    exact_us = ordered[-(-len(ordered) * percent // 100) - 1]
    if exact_us < (LAST - 1) * 1000:
        assert spread.percentile_ms(percent) == pytest.approx(exact_us / 1000, abs=1)
    else:
        assert spread.percentile_ms(percent) >= LAST - 1
    assert spread.most_us == ordered[-1]


@given(st.lists(st.integers(-400_000, 400_000), min_size=1, max_size=40), st.randoms())
def test_the_order_of_arrival_does_not_matter_to_the_spread(transits_us, dice):
    mixed = transits_us[:]
    dice.shuffle(mixed)
    assert measured(mixed)[1].bins == measured(transits_us)[1].bins


def test_nothing_measured_is_no_number():
    spread = Spread()
    assert (spread.percentile_ms(50), spread.jitter_mean_ms, spread.jitter_max_ms, spread.most_us) == (-1, -1, -1, -1)


def test_shifted_counts_pile_up_in_the_last_bin():
    bins = np.zeros(BINS, np.int32)
    bins[[0, LAST - 1, LAST]] = 1, 2, 3
    shift(bins, 2)
    assert (bins[2], bins[LAST], bins.sum()) == (1, 5, 6)
    shift(bins, 10_000)
    assert bins[LAST] == 6


def test_stamps_are_unwrapped_and_leaps_are_told():
    delays = Delays(clock_hz=8000, stamp_bits=32, stamp=2**32 - 80, stamp_base=2**32 - 80)
    assert delays.unwrapped(80) == 2**32 + 80
    delays.take(delays.transit(2**32 - 80, 1_000_000))
    assert not delays.leaps(2**32 + 80, 1_020_000, forward=True)
    assert not delays.leaps(2**32 + 80, 60_000_000, forward=True)
    assert delays.leaps(2**32 + 8 * (LEAP_US // 1000 + 100), 1_020_000, forward=True)
    assert delays.leaps(2**32 - 8 * (LEAP_US // 1000 + 100), 1_020_000, forward=False)


def test_a_new_clock_takes_no_difference():
    delays, _ = measured([0, 1000])
    jitter = delays.jitter
    delays.begin(16_000, 32, 5)
    delays.take(10**9)
    assert (delays.jitter, delays.transit_us != NONE) == (jitter, True)
