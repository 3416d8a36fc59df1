from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.pace import Pace


def grants(pace, asked):
    """Return when each of those who ask at these times is granted."""
    return [now_s + pace.reserve(now_s) for now_s in asked]


def most_within(times, length_s):
    """Return the largest number of times in any half-open stretch of that length."""
    return max(bisect_left(times, start_s + length_s - 1e-9) - number for number, start_s in enumerate(times))


def test_who_comes_alone_waits_for_nothing():
    assert grants(Pace(20), [0, 1, 2, 100.5]) == [0, 1, 2, 100.5]


def test_five_hundred_at_once_stand_in_line_and_no_second_holds_more_than_the_rate():
    times = grants(Pace(20), [7.0] * 500)
    assert times == sorted(times)
    assert times[0] == 7
    assert times[-1] == pytest.approx(7 + 499 / 20)
    assert most_within(times, 1.0) == 20


def test_a_burst_goes_at_once_and_is_saved_up_again_by_waiting():
    pace = Pace(10, burst=3)
    assert grants(pace, [0.0] * 5) == pytest.approx([0, 0, 0, 0.1, 0.2])
    assert grants(pace, [0.4] * 3) == pytest.approx([0.4, 0.4, 0.5])
    assert grants(pace, [9.0] * 4) == pytest.approx([9, 9, 9, 9.1])


@given(
    st.floats(0.1, 500),
    st.integers(1, 20),
    st.lists(st.floats(0, 2), min_size=1, max_size=200),
    st.floats(0.01, 10),
)
def test_no_stretch_of_time_holds_more_than_the_burst_and_what_flows_in(rate, burst, steps, length_s):
    asked, now_s = [], 0.0
    for step_s in steps:
        now_s += step_s
        asked.append(now_s)
    times = grants(Pace(rate, burst), asked)
    assert all(given_s >= asked_s for given_s, asked_s in zip(times, asked, strict=True))
    assert times == sorted(times)
    assert most_within(times, length_s) <= burst + rate * length_s + 1e-6


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (float("nan"), 1), (1, 0)])
def test_a_pace_that_grants_nothing_is_refused(rate, burst):
    with pytest.raises(ValueError, match="positive rate"):
        Pace(rate, burst)
