from hypothesis import given
from hypothesis import strategies as st

from ingest.admission import Bucket, Complaints, Places


def test_a_bucket_gives_its_burst_at_once_and_then_its_rate():
    bucket = Bucket(rate_per_s=2, burst=3)
    assert [bucket.take(10) for _ in range(4)] == [0, 0, 0, 0.5]
    assert bucket.take(10.25) == 0.25
    assert bucket.take(10.5) == 0
    assert bucket.take(10.5) == 0.5
    assert [bucket.take(100) for _ in range(4)] == [0, 0, 0, 0.5]


@given(
    st.floats(0.1, 1000),
    st.integers(1, 20),
    st.lists(st.floats(0, 3), max_size=60),
)
def test_no_more_than_burst_and_rate_are_granted_in_any_time(rate, burst, steps):
    bucket = Bucket(rate, burst)
    now, granted = 0.0, []
    for step in steps:
        now += step
        if not bucket.take(now):
            granted.append(now)
    for first in range(len(granted)):
        for last in range(first, len(granted)):
            assert last - first + 1 <= burst + rate * (granted[last] - granted[first]) + 1e-6


def test_places_are_counted_in_all_and_by_organisation():
    places = Places(3, 2)
    assert [places.take(holder, "a") for holder in "xyz"] == [True, True, False]
    assert places.take("x", "a")
    assert places.take("z", None)
    assert places.full
    assert not places.take("w", None)
    places.give_back("x")
    places.give_back("x")
    assert not places.full
    assert places.take("w", "a")


def test_without_a_number_an_organisation_may_have_all_places():
    places = Places(2, None)
    assert [places.take(holder, "a") for holder in "xyz"] == [True, True, False]


def test_what_happens_often_is_said_once_in_a_while_with_its_number():
    complaints = Complaints(interval_s=1)
    assert [complaints.count("a", now) for now in (0, 0.1, 0.9, 1.0, 1.1)] == [1, 0, 0, 3, 0]
    assert complaints.count("b", 1.1) == 1
