"""The window of bad records: counted in records, the same however they were polled, and when it is full."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.bad_share import BadLimit, BadShare, TooManyBad
from runtime.errors import StateCorrupted
from runtime.testing import Driver
from tests.runtime.counting import POISON, CountingProcessor
from tests.runtime.test_task import frame

LIMIT = BadLimit(max_ratio=0.5, window_records=10)


def stopped_at(share: BadShare, bad: list[bool], cuts: list[int]) -> tuple[int, tuple[int, ...]] | bytes:
    """Feed records one poll after the other; return where it stopped, or what is packed at the end."""
    try:
        for start, stop in zip([0, *cuts], [*cuts, len(bad)], strict=True):
            rows = [(row - start, 100 + row, "bad") for row in range(start, stop) if bad[row]]
            share.take(stop - start, rows)
    except TooManyBad as error:
        return error.last, error.offsets
    return share.packed()


def test_half_of_the_window_may_be_bad_and_one_more_may_not() -> None:
    assert isinstance(stopped_at(BadShare(LIMIT), [True] * 5 + [False] * 5, []), bytes)
    assert stopped_at(BadShare(LIMIT), [True] * 5 + [False] * 4 + [True], []) == (109, (100, 101, 102))


def test_a_bad_record_leaves_the_window_when_that_many_others_followed() -> None:
    bad = [True] * 5 + [False] * 5
    assert isinstance(stopped_at(BadShare(LIMIT), bad * 4, []), bytes)
    assert stopped_at(BadShare(LIMIT), [*bad[:-1], True], []) == (109, (100, 101, 102))


def test_what_lies_behind_the_window_is_no_part_of_the_state() -> None:
    share = BadShare(LIMIT)
    share.take(5, [(row, 100 + row, "bad") for row in range(5)])
    full = len(share.packed())
    share.take(11, [])
    assert len(share.packed()) < full - 4 * 8
    assert share.packed() == BadShare(LIMIT, records=16).packed()


def test_a_ratio_of_one_lets_everything_pass() -> None:
    assert isinstance(stopped_at(BadShare(BadLimit(1, 10)), [True] * 100, []), bytes)


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 2**32))
def test_any_polls_stop_at_the_same_record_or_leave_the_same_count(bad: list[bool], seed: int) -> None:
    chance = random.Random(seed)
    cuts = sorted(chance.sample(range(len(bad)), k=min(len(bad), 5)))
    assert stopped_at(BadShare(LIMIT), bad, cuts) == stopped_at(BadShare(LIMIT), bad, [])


def test_the_count_goes_on_where_it_was_packed() -> None:
    share = BadShare(LIMIT)
    share.take(7, [(2, 102, "bad"), (3, 103, "bad")])
    again = BadShare.unpacked(LIMIT, share.packed())
    assert again.packed() == share.packed()
    with pytest.raises(TooManyBad) as caught:
        again.take(4, [(row, 107 + row, "bad") for row in range(4)])
    assert caught.value.last == 110


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b"", lambda b: b + bytes(16)])
def test_other_bytes_are_refused(change) -> None:
    share = BadShare(LIMIT)
    share.take(7, [(2, 102, "bad")])
    with pytest.raises(StateCorrupted):
        BadShare.unpacked(LIMIT, change(share.packed()))


@pytest.mark.parametrize("poll", [1, 7, 100])
def test_undecodable_and_raising_records_count_alike_through_crashes(poll: int) -> None:
    driver = Driver(CountingProcessor(), bad_limit=LIMIT)
    for sequence in range(20):
        if sequence in {4, 6, 13}:
            driver.send_value(b"garbage")
        else:
            driver.send(frame(1, sequence, payload=POISON if sequence in {5, 11, 12} else b"\xff"), timestamp_ms=0)

    def step_and_crash() -> None:
        position = -1
        while driver.step(poll):
            entry = driver.commit().entry
            if entry.position > position:
                position = entry.position
                driver.crash()

    with pytest.raises(TooManyBad) as caught:
        step_and_crash()
    assert caught.value.offsets == (4, 5, 6)
    assert caught.value.last == 13
