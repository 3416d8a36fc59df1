import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import runtime.supervision
from runtime.supervision import Again, Claim, ConnectionLost, GivenUp, Policy, Supervisor
from schemas.symbols import ClosedBy

DROPPED = ConnectionLost(1006, "", ClosedBy.NETWORK)
POLICY = Policy(attempts=5, first_delay_s=1.0, longest_delay_s=30.0, stable_s=10.0)
FULL = 1.0
"""Not a draw that can come, but the bound of all of them."""


def supervisor(policy=POLICY):
    started = Supervisor(policy)
    started.start(0.0)
    return started


def answered(status, *, has_token=True, retry_after_s=None, draw=FULL, on=None):
    """Return what is decided on one more dial at 100 s that is answered so."""
    on = on or supervisor()
    on.dialled()
    return on.refused(status, 100.0, draw, has_token=has_token, retry_after_s=retry_after_s)


def connected(on, opened_s, lost_s, *, messages=1, lost=DROPPED, quiet_s=0.0):  # noqa: PLR0913 - a life in one line
    """Return what is decided on one more connection that lived so long."""
    on.dialled()
    on.opened(opened_s)
    return on.lost(lost_s, FULL, lost, messages=messages, quiet_s=quiet_s)


def described(decision):
    return (decision.reason, decision.attempts, decision.status) if isinstance(decision, GivenUp) else decision


def test_the_first_dial_waits_for_nothing():
    assert Supervisor(POLICY).start(7.0) == Again(7.0)


def test_first_dials_are_spread_where_the_policy_says_so():
    on = Supervisor(Policy(start_spread_s=2.0))
    assert [on.start(7.0, draw) for draw in (0.0, 0.25, 0.75)] == [Again(7.0), Again(7.5), Again(8.5)]


def test_the_wait_after_a_failure_doubles_up_to_the_longest():
    on = supervisor(Policy(attempts=9, first_delay_s=1.0, longest_delay_s=30.0))
    delays = []
    for _ in range(8):
        on.dialled()
        delays.append(on.failed(0.0, FULL).at_s)
    assert delays == [1, 2, 4, 8, 16, 30, 30, 30]


def test_ten_attempts_from_two_seconds_cost_minutes_at_most():
    on = supervisor(Policy(attempts=10, first_delay_s=2.0))
    total_s = 0.0
    for _ in range(9):
        on.dialled()
        total_s += on.failed(0.0, FULL).at_s
    assert total_s == 2 + 4 + 8 + 16 + 5 * 30


@given(
    st.floats(0, 1, exclude_max=True),
    st.integers(1, 3000),
    st.floats(0.001, 60),
    st.floats(0.001, 600),
)
def test_every_wait_lies_between_nothing_and_its_bound(draw, failures, first_s, longest_s):
    on = supervisor(Policy(attempts=10_000, first_delay_s=first_s, longest_delay_s=longest_s))
    decision = None
    for _ in range(failures):
        on.dialled()
        decision = on.failed(0.0, draw)
    assert isinstance(decision, Again)
    assert 0 <= decision.at_s <= min(longest_s, first_s * 2.0 ** min(failures - 1, 900))


@given(st.integers(1, 40), st.lists(st.sampled_from(["failed", 401, 429, 500, 503, "dropped", "empty"]), max_size=80))
def test_whatever_happens_without_a_stable_connection_no_more_is_dialled_than_allowed(attempts, story):
    on = supervisor(Policy(attempts=attempts))
    dials = 0
    for event in [*story, *["failed"] * attempts]:
        on.dialled()
        dials += 1
        if event == "failed":
            decision = on.failed(0.0, 0.5)
        elif event in ("dropped", "empty"):
            on.opened(0.0)
            decision = on.lost(9.9 if event == "dropped" else 99.0, 0.5, DROPPED, messages=event == "dropped")
        else:
            decision = on.refused(event, 0.0, 0.5, has_token=True)
        if isinstance(decision, GivenUp):
            break
    assert isinstance(decision, GivenUp)
    assert decision.attempts == dials <= attempts


@pytest.mark.parametrize(
    ("status", "decision"),
    [
        (200, ("refused", 1, 200)),
        (302, ("refused", 1, 302)),
        (400, ("refused", 1, 400)),
        (401, Again(101.0)),
        (403, ("forbidden", 1, 403)),
        (404, ("not found", 1, 404)),
        (410, ("refused", 1, 410)),
        (426, ("refused", 1, 426)),
        (429, Again(101.0)),
        (500, Again(101.0)),
        (503, Again(101.0)),
        (599, Again(101.0)),
    ],
)
def test_an_answer_means_again_or_never(status, decision):
    assert described(answered(status)) == decision


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize(("draw", "at_s"), [(0.0, 107.0), (0.5, 107.5)])
def test_the_wait_a_peer_asks_for_is_kept_and_spread(status, draw, at_s):
    assert answered(status, retry_after_s=7.0, draw=draw) == Again(at_s)


def test_a_wait_a_token_server_asks_for_is_kept():
    on = supervisor()
    on.dialled()
    assert on.failed(100.0, 0.0, retry_after_s=7.0) == Again(107.0)


def test_without_a_token_to_renew_401_is_final():
    assert described(answered(401, has_token=False)) == ("unauthorized", 1, 401)


def test_a_second_token_refused_is_final():
    on = supervisor()
    assert answered(401, on=on) == Again(101.0)
    assert described(answered(401, on=on)) == ("unauthorized", 2, 401)


def test_401_counts_as_an_attempt():
    on = supervisor(Policy(attempts=1))
    assert described(answered(401, on=on)) == ("attempts", 1, 401)


def test_a_failure_between_two_refused_tokens_excuses_none():
    on = supervisor()
    answered(401, on=on)
    answered(503, on=on)
    assert described(answered(401, on=on)) == ("unauthorized", 3, 401)


def test_a_token_that_once_connected_may_be_refused_and_renewed_again():
    on = supervisor()
    answered(401, on=on)
    connected(on, 100.0, 101.0)
    assert isinstance(answered(401, on=on), Again)


@pytest.mark.parametrize(
    ("messages", "lived_s", "attempts"),
    [(1, 10.0, 0), (1, 9.9, 1), (0, 10.0, 1), (0, 1000.0, 1), (5, 1000.0, 0), (5, 0.0, 1)],
)
def test_only_a_connection_that_brought_a_message_and_lived_resets_the_attempts(messages, lived_s, attempts):
    on = supervisor()
    connected(on, 100.0, 100.0 + lived_s, messages=messages)
    assert on.attempt == attempts


@pytest.mark.parametrize(
    "lost",
    [
        ConnectionLost(1006, "", ClosedBy.TIMEOUT),
        ConnectionLost(1006, "", ClosedBy.NETWORK),
        ConnectionLost(1000, "idle", ClosedBy.REMOTE),
        ConnectionLost(1001, "", ClosedBy.REMOTE),
        ConnectionLost(4000, "", ClosedBy.REMOTE),
        ConnectionLost(1009, "", ClosedBy.LOCAL),
    ],
)
def test_however_a_healthy_life_ends_it_is_no_failed_attempt(lost):
    on = supervisor(Policy(attempts=1))
    for began_s in (100.0, 500.0):
        assert connected(on, began_s, began_s + 340.0, lost=lost, quiet_s=30.0) == Again(began_s + 341.0)
        assert on.attempt == 0


@pytest.mark.parametrize(("heard_s", "attempts"), [(10.0, 0), (9.9, 1), (0.1, 1)])
def test_a_connection_that_fell_silent_lived_until_its_last_message(heard_s, attempts):
    on = supervisor()
    silence = ConnectionLost(1006, "", ClosedBy.TIMEOUT)
    connected(on, 100.0, 100.0 + heard_s + 30.0, lost=silence, quiet_s=30.0)
    assert on.attempt == attempts


def test_a_peer_that_answers_each_time_and_says_nothing_more_is_given_up():
    on, silence = supervisor(Policy(attempts=3)), ConnectionLost(1006, "", ClosedBy.TIMEOUT)
    decisions = [connected(on, 0.0, 30.1, lost=silence, quiet_s=30.0) for _ in range(3)]
    assert described(decisions[-1]) == ("attempts", 3, None)


def test_a_peer_that_accepts_and_drops_is_given_up():
    on = supervisor(Policy(attempts=3))
    decisions = [connected(on, 100.0, 100.0, messages=1) for _ in range(3)]
    assert [described(decision) for decision in decisions] == [Again(101.0), Again(102.0), ("attempts", 3, None)]


def test_a_stable_connection_gives_the_whole_budget_back():
    on = supervisor(Policy(attempts=3))
    for _ in range(2):
        on.dialled()
        on.failed(0.0, FULL)
    assert connected(on, 100.0, 200.0) == Again(201.0)
    delays = []
    for _ in range(2):
        on.dialled()
        delays.append(on.failed(0.0, FULL).at_s)
    assert delays == [2, 4]
    on.dialled()
    assert described(on.failed(0.0, FULL)) == ("attempts", 3, None)


@pytest.mark.parametrize("code", [1000, 1001])
def test_a_close_of_ours_is_no_failed_attempt_but_still_waits(code):
    on = supervisor(Policy(attempts=1))
    for _ in range(4):
        decision = connected(on, 100.0, 101.0, messages=0, lost=ConnectionLost(code, "", ClosedBy.LOCAL))
        assert decision == Again(102.0)
        assert on.attempt == 0


@pytest.mark.parametrize(
    "lost",
    [
        ConnectionLost(1000, "", ClosedBy.REMOTE),
        ConnectionLost(1001, "", ClosedBy.REMOTE),
        ConnectionLost(1006, "", ClosedBy.TIMEOUT),
        ConnectionLost(1009, "", ClosedBy.LOCAL),
        ConnectionLost(1011, "", ClosedBy.LOCAL),
    ],
)
def test_any_other_end_is_a_failed_attempt(lost):
    on = supervisor(Policy(attempts=1))
    assert described(connected(on, 100.0, 101.0, lost=lost)) == ("attempts", 1, None)


def test_after_giving_up_everything_begins_anew():
    on = supervisor(Policy(attempts=1))
    assert isinstance(answered(401, on=on), GivenUp)
    assert on.start(100.0) == Again(100.0)
    assert on.attempt == 0
    assert described(answered(401, on=on)) == ("attempts", 1, 401)


def test_giving_up_says_why_and_after_how_many_attempts():
    assert str(GivenUp("forbidden", 2, 403)) == "given up after 2 attempts: forbidden, last answer 403"
    assert str(GivenUp("attempts", 5, None)) == "given up after 5 attempts: attempts"
    assert (
        str(GivenUp("not found", 1, 404, "no c-1")) == "given up after 1 attempts: not found, last answer 404; no c-1"
    )


@pytest.mark.parametrize(
    ("status", "has_token", "named"),
    [
        (401, False, "INGEST_OAUTH_CLIENT_ID"),
        (403, True, "the scope media:stream:read"),
        (404, True, "the conversation c-1"),
        (410, True, "does not want"),
    ],
)
def test_a_final_refusal_names_what_the_operator_has_to_look_at(status, has_token, named):
    claim = Claim("media:stream:read", "the conversation c-1", "INGEST_OAUTH_CLIENT_ID")
    decision = answered(status, has_token=has_token, on=Supervisor(POLICY, claim))
    assert isinstance(decision, GivenUp)
    assert named in decision.meaning
    assert named in str(decision)


def test_a_second_token_refused_names_the_client_and_a_spent_budget_is_said_too():
    on = Supervisor(POLICY, Claim(client="INGEST_OAUTH_CLIENT_ID"))
    answered(401, on=on)
    assert "new one: check INGEST_OAUTH_CLIENT_ID" in answered(401, on=on).meaning
    assert "attempts" in answered(503, on=Supervisor(Policy(attempts=1))).meaning


def test_without_a_claim_a_refusal_still_says_what_it_means():
    assert [answered(status).meaning for status in (403, 404)] == [
        "the OAuth client lacks the scope this peer demands",
        "the peer does not know what the URL names",
    ]


def test_the_end_of_a_connection_quotes_nothing_of_the_peer():
    assert "secret" not in str(ConnectionLost(1008, "secret", ClosedBy.REMOTE))


def test_what_decides_imports_no_shell():
    tree = ast.parse(Path(runtime.supervision.__file__).read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any(isinstance(node, ast.Import) for node in ast.walk(tree))
    assert modules == {"collections.abc", "dataclasses", "types", "schemas.symbols"}
