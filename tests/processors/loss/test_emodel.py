import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.loss.emodel import R_DEFAULT, Impairment, delay_impairment, effective_impairment, mos, quality
from schemas.symbols import Codec

LOSSES = (0, 0.5, 1, 2, 3, 5, 10, 20)
GOLDEN = {
    (False, 1.0): "93.2/4.41 83.3/4.14 75.3/3.83 63.0/3.26 54.2/2.79 42.1/2.17 26.8/1.48 15.0/1.12",
    (False, 2.0): "93.2/4.41 82.8/4.12 73.4/3.75 57.4/2.96 44.1/2.27 23.3/1.36 <0/1.00 <0/1.00",
    (True, 1.0): "93.2/4.41 91.3/4.37 89.6/4.33 86.2/4.23 83.1/4.13 77.4/3.92 66.1/3.41 51.1/2.63",
    (True, 2.0): "93.2/4.41 91.3/4.37 89.5/4.33 85.9/4.23 82.5/4.11 76.0/3.86 61.6/3.18 39.1/2.02",
}
"""R and MOS of G.711 for each share of loss, by concealment and burst ratio."""

CELLS = [
    (concealment, burst_ratio, loss, cell)
    for (concealment, burst_ratio), line in GOLDEN.items()
    for loss, cell in zip(LOSSES, line.split(), strict=True)
]


@pytest.mark.parametrize(("concealment", "burst_ratio", "loss", "cell"), CELLS)
@pytest.mark.parametrize("codec", [Codec.PCMU, Codec.PCMA])
def test_g711_is_rated_as_the_model_says(codec, concealment, burst_ratio, loss, cell):
    found = quality(codec.code, loss, burst_ratio, concealment=concealment)
    assert found is not None
    rating, score = cell.split("/")
    assert f"{found.mos_lq_est:.2f}" == score
    if rating == "<0":
        assert (found.r_factor, found.in_range) == (0, False)
    else:
        assert f"{found.r_factor:.1f}" == rating
        assert found.in_range


def test_the_inputs_stand_beside_the_result():
    found = quality(Codec.PCMA.code, 5, 1.5, concealment=True)
    assert found is not None
    assert (found.packet_loss_percent, found.burst_ratio) == (5, 1.5)
    assert (found.equipment_impairment, found.loss_robustness, found.concealment) == (0, 25.1, True)
    again = effective_impairment(Impairment(found.equipment_impairment, found.loss_robustness), 5, 1.5)
    assert found.r_factor == R_DEFAULT - again


@pytest.mark.parametrize(
    "codec", [Codec.UNKNOWN, Codec.OPUS, Codec.L16_LE, Codec.L16_BE, Codec.COMFORT_NOISE, Codec.TELEPHONE_EVENT]
)
def test_a_codec_without_agreed_values_has_no_quality(codec):
    assert quality(codec.code, 0, 1, concealment=True) is None


@pytest.mark.parametrize(("loss", "burst_ratio"), [(-1, 1), (-1, -1), (math.nan, 1), (101, 1), (5, -1), (5, math.nan)])
def test_nothing_measured_gives_no_quality(loss, burst_ratio):
    assert quality(Codec.PCMU.code, loss, burst_ratio, concealment=False) is None


def test_a_stream_that_lost_nothing_has_no_burst_ratio_and_needs_none():
    found = quality(Codec.PCMU.code, 0, -1, concealment=False)
    assert found is not None
    assert (found.r_factor, found.burst_ratio, found.in_range) == (R_DEFAULT, 1, True)


def test_losses_that_are_spread_more_evenly_than_at_random_are_rated_as_random_ones():
    assert quality(Codec.PCMU.code, 5, 0.95, concealment=True) == quality(Codec.PCMU.code, 5, 1, concealment=True)


@pytest.mark.parametrize(("loss", "burst_ratio"), [(20.1, 1), (1, 2.1), (100, 0)])
def test_what_is_outside_the_model_is_flagged(loss, burst_ratio):
    found = quality(Codec.PCMU.code, loss, burst_ratio, concealment=True)
    assert found is not None
    assert not found.in_range


@given(st.floats(0, 100), st.floats(0, 50), st.booleans())
def test_a_rating_stays_on_its_scale_and_more_loss_never_sounds_better(loss, burst_ratio, concealment):
    found = quality(Codec.PCMU.code, loss, burst_ratio, concealment=concealment)
    less = quality(Codec.PCMU.code, loss / 2, burst_ratio, concealment=concealment)
    assert found is not None
    assert less is not None
    assert 0 <= found.r_factor <= R_DEFAULT
    assert 1 <= found.mos_lq_est <= 4.41
    assert found.r_factor <= less.r_factor
    assert found.mos_lq_est <= less.mos_lq_est


@pytest.mark.parametrize(("rating", "score"), [(90, 4.34), (80, 4.02), (70, 3.60), (60, 3.10), (50, 2.58)])
def test_scores_are_those_of_annex_b(rating, score):
    assert round(mos(rating), 2) == score


def test_a_score_is_never_below_one_nor_above_four_and_a_half():
    assert [mos(rating) for rating in (-40, 0, 1, 3.25, 6.5)] == [1, 1, 1, 1, pytest.approx(1.0, abs=1e-3)]
    assert 1 + 0.035 * 3.25 + 3.25 * (3.25 - 60) * (100 - 3.25) * 7e-6 < 0.99, "the cubic alone dips below 1"
    assert mos(100) == mos(140) == 4.5


@pytest.mark.parametrize(
    ("one_way_ms", "exact", "straight_line"), [(150, 0.16, 3.6), (200, 3.0, 7.3), (300, 14.8, 20.7), (500, 30.6, 47.5)]
)
def test_delay_impairs_by_the_exact_formula_and_not_by_the_straight_lines(one_way_ms, exact, straight_line):
    assert delay_impairment(one_way_ms) == pytest.approx(exact, abs=0.05)
    lines = 0.024 * one_way_ms + 0.11 * max(0, one_way_ms - 177.3)
    assert lines == pytest.approx(straight_line, abs=0.1)
    assert delay_impairment(one_way_ms) < lines


def test_the_exponent_of_the_delay_is_six_times_the_sensitivity_and_not_six_less_it():
    x = math.log2(2)
    misread = 25 * ((1 + x**5) ** (1 / 5) - 3 * (1 + (x / 3) ** 5) ** (1 / 5) + 2)
    assert delay_impairment(200) != pytest.approx(misread, abs=0.1)


@pytest.mark.parametrize("one_way_ms", [0, 50, 100])
def test_a_delay_nobody_notices_impairs_nothing(one_way_ms):
    assert delay_impairment(one_way_ms) == 0


def test_the_default_rating_is_what_the_whole_arithmetic_gives():
    ro, simultaneous, idle = defaults()
    assert (round(ro, 3), round(simultaneous, 3), round(idle, 3)) == (94.769, 1.414, 0.149)
    assert round(ro - simultaneous - idle, 3) == 93.206
    assert round(ro - simultaneous - idle, 1) == R_DEFAULT


def defaults() -> tuple[float, float, float]:
    """Ro, Is and Idle of G.107 (7.2 to 7.4) with every parameter at its default."""
    slr, rlr, stmr, ds, dr, telr, wepl, nc, nfor, ps, pr, qdu = 8, 2, 15, 3, 3, 65, 110, -70, -64, 35, 35, 1
    olr = slr + rlr
    nos = ps - slr - ds - 100 + 0.004 * (ps - olr - ds - 14) ** 2
    pre = pr + 10 * math.log10(1 + 10 ** ((10 - (stmr + dr)) / 10))
    nor = rlr - 121 + pre + 0.008 * (pre - 35) ** 2
    noise = 10 * math.log10(sum(10 ** (level / 10) for level in (nc, nos, nor, nfor + rlr)))
    ro = 15 - 1.5 * (slr + noise)

    xolr = olr + 0.2 * (64 + noise - rlr)
    loudness = 20 * ((1 + (xolr / 8) ** 8) ** (1 / 8) - xolr / 8)
    stmro = -10 * math.log10(10 ** (-stmr / 10) + 10 ** (-telr / 10))
    sidetone = (
        12 * (1 + ((stmro - 13) / 6) ** 8) ** (1 / 8)
        - 28 * (1 + ((stmro + 1) / 19.4) ** 35) ** (1 / 35)
        - 13 * (1 + ((stmro - 3) / 33) ** 13) ** (1 / 13)
        + 29
    )
    q = 37 - 15 * math.log10(qdu)
    g = 1.07 + 0.258 * q + 0.0602 * q**2
    y, z = (ro - 100) / 15 + 46 / 8.4 - g / 9, 46 / 30 - g / 40
    quantizing = 15 * math.log10(1 + 10**y + 10**z)

    rle = 10.5 * (wepl + 7)
    idle = (ro - rle) / 2 + math.sqrt((ro - rle) ** 2 / 4 + 169)
    return ro, loudness + sidetone + quantizing, idle
