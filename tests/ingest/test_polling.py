"""Who is asked about when, on a manual time."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.polling import Limits, Polls

FAST = Limits(per_minute=60_000)


def polls(*conversations: str, limits: Limits = FAST) -> Polls:
    made = Polls(limits)
    for conversation in conversations:
        made.watch(conversation)
    return made


def asked(made: Polls, now_s: float) -> list[str]:
    """Ask about all whose turn it is, spaced as they have to be, and answer at once; return who they were."""
    found = []
    while (watched := made.take(now_s)) is not None:
        made.answered(watched, now_s, now_s)
        made.done(watched, now_s)
        found.append(watched.conversation)
        now_s += 0.001
    return found


def test_each_is_asked_about_every_interval_and_not_before():
    made = polls("a", "b")
    assert asked(made, 100) == ["a", "b"]
    assert asked(made, 104.99) == []
    assert made.wait_s(104.99) == pytest.approx(0.01)
    assert asked(made, 105) == ["a", "b"]


def test_nothing_watched_is_nothing_to_wait_for():
    made = polls()
    assert made.take(0) is None
    assert made.wait_s(0) == math.inf


def test_a_new_one_comes_before_those_that_waited():
    made = polls("a", "b", limits=Limits(per_minute=60))
    for now_s in (0, 1):
        made.done(made.take(now_s), now_s)
    made.watch("new")
    assert made.take(100).conversation == "new"
    assert made.take(101).conversation == "a"


def test_questions_are_spread_evenly_below_the_rate():
    made = polls(*"abcdefgh", limits=Limits(per_minute=240))
    assert made.take(0).conversation == "a"
    assert made.take(0.2) is None
    assert made.wait_s(0.2) == pytest.approx(0.05)
    assert made.take(0.25).conversation == "b"


def test_no_more_are_under_way_than_the_limit():
    made = polls(*"abc", limits=Limits(per_minute=60_000, concurrency=2))
    first, second = made.take(0), made.take(1)
    assert (made.take(2), made.wait_s(2)) == (None, math.inf)
    made.done(first, 3)
    assert made.take(3).conversation == "c"
    made.done(second, 4)


def test_watching_twice_is_watching_once_and_an_answer_behind_the_end_is_known_as_such():
    made = polls("a")
    watched = made.take(0)
    made.watch("a")
    assert len(made) == 1
    assert made.is_watched(watched)
    assert made.unwatch("a") is watched
    assert made.unwatch("a") is None
    made.watch("a")
    assert not made.is_watched(watched)
    made.done(watched, 1)
    assert made.take(1) is not watched


def test_all_wait_where_the_platform_wants_it():
    made = polls("a", "b")
    made.hold(30)
    made.hold(20)
    assert made.take(29.9) is None
    assert made.wait_s(0) == 30
    assert asked(made, 30) == ["a", "b"]


def test_a_question_may_be_put_again_at_once_within_the_rate():
    made = polls("a", limits=Limits(per_minute=240))
    made.done(made.take(0), 0.1, again=True)
    assert made.take(0.1) is None
    assert made.take(0.25).conversation == "a"


def test_a_slow_answer_does_not_stretch_the_interval():
    made = polls("a")
    made.done(made.take(0), 3)
    assert made.wait_s(3) == 2
    made.done(made.take(5), 12)
    assert made.wait_s(12) == 0


def test_the_age_of_an_answer_is_from_its_question_to_the_next_answer():
    made = polls("a")
    watched = made.take(0)
    assert made.answered(watched, 0.1, 0.6) is None
    made.done(watched, 0.6)
    made.take(5)
    assert made.answered(watched, 5.0, 5.5) == pytest.approx(5.4)


def test_an_answer_that_is_too_old_is_stale_once():
    made = polls("a", "never told")
    watched = made.take(10)
    made.answered(watched, 10, 10.5)
    made.done(watched, 10.5)
    watched.told = True
    assert made.stale(24.9) == []
    assert made.stale(25) == [watched]
    assert made.stale(26) == []


def test_what_is_to_become_stale_is_waited_for_also_while_nothing_can_be_asked():
    made = polls("a")
    watched = made.take(0)
    made.answered(watched, 0, 0)
    made.done(watched, 0)
    watched.told = True
    made.hold(300)
    assert made.wait_s(1) == 14
    assert made.stale(15) == [watched]
    assert made.wait_s(15) == 285


def test_a_round_takes_longer_where_there_are_more_than_the_rate_allows():
    assert polls(*map(str, range(20)), limits=Limits()).round_s == 5
    assert polls(*map(str, range(200)), limits=Limits()).round_s == 50


@given(
    st.integers(1, 40),
    st.integers(1, 600),
    st.integers(1, 8),
    st.floats(0.1, 10),
    st.lists(st.floats(0, 3), min_size=1, max_size=50),
)
def test_rate_and_number_at_once_are_never_exceeded_and_nobody_is_forgotten(number, rate, concurrency, every_s, took):
    limits = Limits(interval_s=every_s, per_minute=rate, concurrency=concurrency)
    made = polls(*map(str, range(number)), limits=limits)
    now_s, turn, sent, under_way, seen = 0.0, 0, [], [], set()
    while len(sent) < 3 * number:
        for ends_s, watched in [entry for entry in under_way if entry[0] <= now_s]:
            made.done(watched, now_s)
            under_way.remove((ends_s, watched))
        watched = made.take(now_s)
        if watched is not None:
            sent.append(now_s)
            seen.add(watched.conversation)
            under_way.append((now_s + took[turn % len(took)], watched))
            turn += 1
            assert len(under_way) <= concurrency
            continue
        now_s = min([now_s + made.wait_s(now_s), *(ends_s for ends_s, _ in under_way)]) + 1e-9
    assert seen == set(map(str, range(number)))
    assert all(later - sooner >= 59.99 for sooner, later in zip(sent, sent[rate:], strict=False))
