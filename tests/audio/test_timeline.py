from hypothesis import given
from hypothesis import strategies as st

from audio.timeline import Coverage, Missing, anchor_us, end_of, gaps
from schemas.symbols import Reason

STRETCHES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda item: (item[0], sum(item))))


@given(STRETCHES)
def test_coverage_is_the_set_of_covered_samples_whatever_the_order(stretches):
    coverage, samples = Coverage(), set()
    for start, stop in stretches:
        assert coverage.add(start, stop) == len(samples & set(range(start, stop)))
        samples |= set(range(start, stop))
        assert coverage.stop == (max(samples) + 1 if samples else None)
    assert {sample for start, stop in coverage.stretches for sample in range(start, stop)} == samples
    ends = [edge for stretch in coverage.stretches for edge in stretch]
    assert ends == sorted(set(ends))  # merged: no stretch touches the next


@given(STRETCHES, st.integers(0, 40), st.integers(0, 80))
def test_holes_are_what_coverage_leaves_out(stretches, start, stop):
    coverage = Coverage(stretches)
    covered = {sample for begin, end in stretches for sample in range(begin, end)}
    found = [sample for begin, end in coverage.holes(start, stop) for sample in range(begin, end)]
    assert found == [sample for sample in range(start, stop) if sample not in covered]


def listed(holes, marks, unmarked=Reason.UNKNOWN):
    return [(gap.reason, gap.start_samples, gap.duration_samples) for gap in gaps(holes, marks, unmarked)]


def test_a_hole_is_cut_where_marks_begin_and_end():
    marks = [Missing(20, 10, Reason.SOURCE_DISCARD), Missing(40, 100, Reason.OVERFLOW)]
    assert listed([(10, 50)], marks) == [
        (Reason.UNKNOWN, 10, 10),
        (Reason.SOURCE_DISCARD, 20, 10),
        (Reason.UNKNOWN, 30, 10),
        (Reason.OVERFLOW, 40, 10),
    ]


def test_a_mark_of_unknown_length_explains_the_hole_it_lies_in_and_no_later_one():
    mark = Missing(10, -1, Reason.RECONNECT)
    assert listed([(10, 30), (50, 60)], [mark]) == [(Reason.RECONNECT, 10, 20), (Reason.UNKNOWN, 50, 10)]


def test_a_mark_of_unknown_length_that_left_no_hole_is_listed_without_length():
    assert listed([], [Missing(10, -1, Reason.INGEST_LOST)]) == [(Reason.INGEST_LOST, 10, -1)]


def test_a_mark_whose_audio_came_after_all_is_not_listed():
    assert listed([], [Missing(10, 5, Reason.LATE)]) == []


def test_a_pause_that_took_no_media_time_is_listed():
    marks = [Missing(10, 0, Reason.SECURE_PAUSE), Missing(11, 0, Reason.SOURCE_DISCARD)]
    assert listed([], marks) == [(Reason.SECURE_PAUSE, 10, 0)]


def test_the_timeline_ends_behind_marks_that_lead_on_from_the_audio():
    coverage = Coverage([(0, 100)])
    leading_on = [Missing(120, 10, Reason.OVERFLOW), Missing(100, 20, Reason.SOURCE_DISCARD)]
    assert end_of(coverage, leading_on, 0) == 130
    assert end_of(coverage, [Missing(101, 20, Reason.SOURCE_DISCARD)], 0) == 100
    assert end_of(Coverage(), [], 40) == 40


def test_the_anchor_is_the_arrival_less_all_that_had_been_heard_by_then() -> None:
    assert anchor_us(1_700_000_000_200_000, 1600, 8000) == 1_700_000_000_000_000
    assert anchor_us(1_700_000_001_400_000, 11_200, 8000) == 1_700_000_000_000_000
    assert anchor_us(-1, 1600, 8000) == -1
