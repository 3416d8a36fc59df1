import pytest

from processors.cognigy.breaker import Breaker, Patience, RetryBudget

PATIENCE = Patience(failures=3, first_rest_s=2, longest_rest_s=10, probes=1)


def down(at_s=0.0, draw=1.0):
    breaker = Breaker(PATIENCE)
    for _ in range(3):
        breaker.failed(at_s, draw)
    return breaker


def test_some_failures_in_a_row_close_the_way_and_an_answer_among_them_does_not():
    breaker = Breaker(PATIENCE)
    for _ in range(5):
        breaker.failed(0, 1)
        breaker.failed(0, 1)
        breaker.succeeded()
    assert (breaker.is_down, breaker.claim(0)) == (False, True)
    assert (down().is_down, down().claim(0), down().outage) == (True, False, 1)


def test_after_the_rest_one_may_probe_and_the_others_wait():
    breaker = down()
    assert (breaker.rests(1.9), breaker.claim(1.9), breaker.rests(2)) == (True, False, False)
    assert [breaker.claim(2) for _ in range(3)] == [True, False, False]


def test_a_probe_that_succeeds_opens_the_way():
    breaker = down()
    assert breaker.claim(2)
    breaker.succeeded()
    assert (breaker.is_down, breaker.claim(2), breaker.claim(2)) == (False, True, True)


def test_rests_double_while_probes_fail_up_to_the_longest():
    breaker, at_s, rests = down(), 0.0, []
    for _ in range(5):
        at_s += breaker.wait_s(at_s)
        assert breaker.claim(at_s)
        breaker.failed(at_s, 1)
        rests.append(round(breaker.wait_s(at_s), 3))
    assert rests == [4, 8, 10, 10, 10]
    assert breaker.outage == 1


def test_half_of_a_rest_is_drawn_so_that_processes_do_not_probe_at_once():
    assert (down(draw=0).rests(0.99), down(draw=0).rests(1)) == (True, False)


def test_who_failed_late_lengthens_nothing():
    breaker = down()
    breaker.failed(1, 1)
    assert not breaker.rests(2)


def test_a_probe_that_came_to_nothing_leaves_its_place():
    breaker = down()
    assert breaker.claim(2)
    breaker.abandoned()
    assert breaker.claim(2)


def test_the_next_outage_is_another_one():
    breaker = down()
    breaker.claim(2)
    breaker.succeeded()
    for _ in range(3):
        breaker.failed(5, 1)
    assert (breaker.outage, breaker.rests(6.9), breaker.rests(7)) == (2, True, False)


@pytest.mark.parametrize("firsts", [0, 5, 100])
def test_retries_are_a_share_of_what_was_sent_first_and_a_few_more(firsts):
    budget = RetryBudget(0.1, 3)
    while budget.take():
        pass
    for _ in range(firsts):
        budget.sent()
    taken = 0
    while budget.take():
        taken += 1
    assert taken == min(3, firsts // 10)
