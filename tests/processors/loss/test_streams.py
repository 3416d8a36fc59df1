import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.symbols import Channel, Codec, LossReportKind
from tests.processors.loss.calls import BASE_S, Call, run


def final_of(call: Call):
    finals = run(call.close()).of(LossReportKind.FINAL, Channel.EXTERNAL)
    (final,) = [report for report in finals if report.segment == -1]
    return final


def stamped(call: Call, number: int, at_ms: float, stamp: int, **fields) -> Call:
    stated = {"source_timestamp": stamp % 2**32, "source_timestamp_bits": 32, "source_clock_hz": 8000}
    return call.packet(number % 65_536, number, **{**stated, "captured_at_s": BASE_S + at_ms / 1000, **fields})


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_disorder_within_the_window_changes_what_is_reordered_and_nothing_that_is_lost(seed):
    dice = random.Random(seed)
    kept = [number for number in range(300) if dice.random() > 0.05 or number in {0, 299}]
    mixed = sorted(kept, key=lambda number: number + dice.uniform(0, 3))
    reports = []
    for numbers in (kept, mixed):
        call = Call().open()
        for number in numbers:
            call.packet(number, captured_at_s=BASE_S + number / 50)
        reports.append(final_of(call))
    plain, shuffled = reports
    same = ("expected", "received", "unique", "duplicates", "late", "lost", "lost_signed", "burst_ratio", "r_factor")
    assert [getattr(plain, name) for name in same] == [getattr(shuffled, name) for name in same]
    assert plain.reordered == 0
    assert (shuffled.reordered > 0) == (mixed != kept)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_duplicates_change_nothing_but_duplicates(seed):
    dice = random.Random(seed)
    kept = [number for number in range(300) if dice.random() > 0.05]
    copied = sorted(kept + dice.sample(kept, 30))
    late_s = [dice.uniform(0, 0.01) for _ in range(300)]
    reports = []
    for numbers in (kept, copied):
        call = Call().open()
        for number in numbers:
            call.packet(number, captured_at_s=BASE_S + number / 50 + late_s[number])
        reports.append(final_of(call))
    plain, doubled = reports
    told = ("frames", "bytes", "frames_per_s", "bytes_per_s", "received", "duplicates", "lost_signed")
    assert doubled.duplicates == 30
    assert doubled.lost_signed == plain.lost_signed - 30
    assert replace(doubled, **{name: getattr(plain, name) for name in told}, origin=plain.origin) == plain


def test_jitter_is_of_the_source_s_clock_and_not_of_positions():
    call = Call().open()
    for number in range(200):
        stamped(call, number, 20 * number + 2 * (number % 2), 320 * number, source_clock_hz=16_000)
    final = final_of(call)
    assert final.jitter_ms == pytest.approx(2, abs=0.01)
    assert (final.delay_p50_ms, final.delay_max_ms) == (0, 2)


def test_silence_that_was_not_sent_and_keys_that_were_pressed_are_no_jitter():
    call, at_ms = Call().open(), 0
    for number in range(100):
        marker = number == 50
        at_ms += 3000 if marker else 20
        stamped(call, number, at_ms, 160 * number, marker=marker)
    for number in range(100, 110):
        stamped(call, number, at_ms + 20 * (number - 99), 16_000, codec=Codec.TELEPHONE_EVENT, payload=b"")
    for number in range(110, 130):
        stamped(call, number, at_ms + 20 * (number - 99), 160 * number, marker=number == 110)
    final = final_of(call)
    assert (final.jitter_max_ms, final.delay_max_ms, final.lost) == (0, 0, 0)


def test_a_number_that_goes_on_with_a_time_that_does_not_is_a_jump_and_restarts_with_the_next():
    call = Call().open()
    for number in range(100):
        stamped(call, number, 20 * number, 160 * number)
    for number in range(600, 700):
        stamped(call, number, 20 * (number - 500), 10**9 + 160 * number)
    final = final_of(call)
    assert (final.expected, final.lost, final.restarts) == (200, 0, 1)


def test_quality_is_told_with_its_inputs_and_only_where_it_can_be():
    call = Call().open()
    for number in range(500):
        if number % 20:
            call.packet(number)
    final = final_of(call)
    assert (final.packet_loss_percent, final.equipment_impairment, final.loss_robustness) == (
        pytest.approx(100 * 24 / 499),
        0,
        25.1,
    )
    assert (final.concealment, final.quality_in_range, final.burst_ratio) == (True, True, 1)
    assert final.mos_lq_est == pytest.approx(3.94, abs=0.02)
    opus = Call().open()
    for number in range(100):
        opus.packet(number, codec=Codec.OPUS)
    final = final_of(opus)
    assert (final.mos_lq_est, final.r_factor, final.packet_loss_percent, final.quality_in_range) == (
        -1,
        None,
        -1,
        False,
    )
