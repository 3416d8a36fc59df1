"""Order per key, the contiguous prefix and hysteresis, for any order in which jobs end."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import UsageError
from runtime.lanes import Lanes, Ticket

KEYS = (b"a", b"b", b"c")


def lanes(position: int = 0, max_waiting: int = 1000, max_ahead: int = 1000) -> Lanes[str]:
    return Lanes(position, max_waiting=max_waiting, max_ahead=max_ahead)


@st.composite
def logs(draw: st.DrawFn) -> list[tuple[int, list[bytes]]]:
    """Records with holes between their offsets, each with the keys of its jobs."""
    steps = draw(st.lists(st.tuples(st.integers(1, 3), st.lists(st.sampled_from(KEYS), max_size=3)), max_size=15))
    offset, found = 9, []
    for step, keys in steps:
        offset += step
        found.append((offset, keys))
    return found


@given(logs(), st.integers(0, 2**32 - 1))
def test_any_interleaving_keeps_the_order_of_a_key_and_commits_only_what_is_finished(log, seed) -> None:
    host, under_way, ended, dice = lanes(10), [], [], random.Random(seed)
    left = {offset: len(keys) for offset, keys in log if keys}
    committed, coming = 10, list(log)
    while coming or under_way or left:
        action = dice.choice(["add", "start", "end", "commit"])
        if action == "add" and coming:
            offset, keys = coming.pop(0)
            host.add(offset, [(key, f"{offset}") for key in keys], 0.0)
        elif action == "start":
            ticket = host.start()
            if ticket is not None:
                assert ticket.key not in {other.key for other in under_way}
                under_way.append(ticket)
        elif action == "end" and under_way:
            ticket = under_way.pop(dice.randrange(len(under_way)))
            host.done(ticket)
            ended.append(ticket)
            left[ticket.offset] -= 1
            if not left[ticket.offset]:
                del left[ticket.offset]
        elif action == "commit":
            assert host.committable >= committed
            committed = host.committable
            host.committed(committed)
        assert all(offset >= host.committable for offset in left if offset < host.position)
    assert host.committable == host.position == (log[-1][0] + 1 if log else 10)
    for key in KEYS:
        order = [ticket.offset for ticket in ended if ticket.key == key]
        assert order == sorted(order)
    assert len(ended) == sum(len(keys) for _, keys in log)


@given(logs())
def test_everything_that_may_start_does_start_one_job_for_each_key(log) -> None:
    host = lanes()
    for offset, keys in log:
        host.add(offset, [(key, "") for key in keys], 0.0)
    started = list(iter(host.start, None))
    assert {ticket.key for ticket in started} == {key for _, keys in log for key in keys}
    assert len(started) == len({ticket.key for ticket in started})


def test_a_slow_key_holds_the_commit_up_and_no_other_key() -> None:
    host = lanes()
    for offset, key in enumerate([b"slow", b"a", b"a", b"b"]):
        host.add(offset, [(key, "")], 0.0)
    slow = host.start()
    while (ticket := host.start()) is not None:
        host.done(ticket)
    assert (host.committable, host.waiting, host.uncommitted) == (0, 1, 3)
    host.done(slow)
    assert (host.committable, host.waiting) == (4, 0)
    host.committed(4)
    assert host.uncommitted == 0


def test_a_record_without_jobs_is_finished_at_once_but_waits_for_those_before_it() -> None:
    host = lanes(5)
    host.add(5, [], 0.0)
    assert host.committable == 6
    host.add(6, [(b"a", "")], 0.0)
    host.add(7, [], 0.0)
    assert host.committable == 6


def test_reading_stops_at_the_bound_and_goes_on_at_half() -> None:
    host = lanes(max_waiting=4)
    full = []
    for offset in range(4):
        host.add(offset, [(b"%d" % offset, "")], 0.0)
        full.append(host.full)
    assert full == [False, False, False, True]
    for expected in (True, False, False):
        host.done(host.start())
        assert host.full is expected


def test_reading_stops_too_when_too_much_is_finished_and_not_committed() -> None:
    host = lanes(max_ahead=4)
    for offset in range(4):
        host.add(offset, [], 0.0)
    assert host.full
    host.committed(1)
    assert host.full
    host.committed(2)
    assert not host.full


def test_the_age_of_the_oldest_unfinished_record_is_known() -> None:
    host = lanes()
    host.add(0, [], 1.0)
    host.add(1, [(b"a", "")], 2.0)
    host.add(2, [(b"b", "")], 3.0)
    assert host.oldest_at_s == 2.0
    host.done(host.start())
    assert host.oldest_at_s == 3.0
    host.done(host.start())
    assert host.oldest_at_s is None


def test_an_offset_that_steps_back_is_a_programming_error() -> None:
    host = lanes(3)
    with pytest.raises(UsageError, match="offset 2"):
        host.add(2, [], 0.0)


def test_only_a_job_under_way_can_be_done() -> None:
    host = lanes()
    host.add(0, [(b"a", "")], 0.0)
    with pytest.raises(UsageError, match="not under way"):
        host.done(Ticket(0, b"a", ""))
    ticket = host.start()
    host.done(ticket)
    with pytest.raises(UsageError, match="not under way"):
        host.done(ticket)
