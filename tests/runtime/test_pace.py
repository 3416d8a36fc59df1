import asyncio
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.pace import Bucket, Pace
from tests.runtime.driven_loop import LoopClock, driven


def taken(bucket, asked):
    """Return when each of those who come at these times has taken one, if each comes back when told to."""
    times, now_s = [], 0.0
    for asked_s in asked:
        now_s = max(now_s, asked_s)
        while wait_s := bucket.take(now_s):
            now_s += wait_s
        times.append(now_s)
    return times


def most_within(times, length_s):
    """Return the largest number of times in any half-open stretch of that length."""
    return max(bisect_left(times, start_s + length_s - 1e-9) - number for number, start_s in enumerate(times))


def test_who_comes_alone_waits_for_nothing():
    assert taken(Bucket(20), [0, 1, 2, 100.5]) == [0, 1, 2, 100.5]


def test_who_is_told_to_wait_has_taken_nothing():
    bucket = Bucket(10)
    assert bucket.take(1.0) == 0
    assert [bucket.take(1.025) for _ in range(3)] == pytest.approx([0.075] * 3)
    assert bucket.take(1.1) == 0


def test_who_comes_late_is_not_caught_up_with():
    bucket = Bucket(10)
    assert bucket.take(0.0) == 0
    assert bucket.take(5.0) == 0
    assert bucket.take(5.0) == pytest.approx(0.1)


def test_a_burst_goes_at_once_and_is_saved_up_again_by_waiting():
    bucket = Bucket(10, burst=3)
    assert taken(bucket, [0.0] * 5) == pytest.approx([0, 0, 0, 0.1, 0.2])
    assert taken(bucket, [0.41] * 3) == pytest.approx([0.41, 0.41, 0.5])
    assert taken(bucket, [9.0] * 4) == pytest.approx([9, 9, 9, 9.1])


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
    times = taken(Bucket(rate, burst), asked)
    assert times == sorted(times)
    assert most_within(times, length_s) <= burst + rate * length_s + 1e-6


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (float("nan"), 1), (1, 0)])
@pytest.mark.parametrize("kind", [Bucket, Pace])
def test_a_pace_that_lets_nobody_through_is_refused(kind, rate, burst):
    with pytest.raises(ValueError, match="positive rate"):
        kind(rate, burst)


def test_five_hundred_at_once_come_in_their_order_and_no_second_holds_more_than_the_rate():
    async def herd():
        pace, clock, came = Pace(20), LoopClock(), []

        async def one(number):
            await pace.turn(clock)
            came.append((clock.monotonic_s(), number))

        async with asyncio.TaskGroup() as tasks:
            for number in range(500):
                tasks.create_task(one(number))
        return came

    came = driven(herd())
    assert [number for _, number in came] == list(range(500))
    assert most_within([at_s for at_s, _ in came], 1.0) == 20
    assert came[-1][0] == pytest.approx(499 / 20, abs=0.01)


class Stalling:
    """A clock that stands still for the caller: every look at it finds it much later than was slept."""

    def __init__(self):
        self.stalls_s = 0.0

    def wall_s(self):
        return self.monotonic_s()

    def monotonic_s(self):
        return asyncio.get_running_loop().time() + self.stalls_s


def test_a_process_that_stood_still_lets_nobody_catch_up():
    async def herd():
        pace, clock, came = Pace(10), Stalling(), []

        async def one():
            await pace.turn(clock)
            came.append(clock.monotonic_s())

        async with asyncio.TaskGroup() as tasks:
            for _ in range(30):
                tasks.create_task(one())
            await asyncio.sleep(1.05)
            clock.stalls_s = 1.5
        return came

    came = driven(herd())
    assert len(came) == 30
    assert most_within(came, 1.0) <= 10


def test_who_is_cancelled_in_line_holds_nobody_up():
    async def herd():
        pace, clock, came = Pace(1), LoopClock(), []

        async def one(number):
            await pace.turn(clock)
            came.append(number)

        async with asyncio.TaskGroup() as tasks:
            waiting = [tasks.create_task(one(number)) for number in range(4)]
            await asyncio.sleep(0.5)
            waiting[1].cancel()
            waiting[2].cancel()
        return came, clock.monotonic_s()

    came, over_s = driven(herd())
    assert came == [0, 3]
    assert over_s == pytest.approx(1.0, abs=0.01)
