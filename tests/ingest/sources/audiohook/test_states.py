import itertools

import pytest

from ingest.sources.audiohook.states import (
    ACTIVE_STATES,
    LIVE_STATES,
    MEANINGFUL,
    MESSAGES,
    PAUSED_STATES,
    TRANSITIONS,
    State,
    Trigger,
    after,
)


def test_every_state_can_be_reached_and_every_one_but_the_last_can_be_left():
    reached = {State.OPENING}
    for _ in State:
        reached |= {target for (state, _), target in TRANSITIONS.items() if state in reached}
    assert reached == set(State)
    assert {state for state, _ in TRANSITIONS} == set(State) - {State.GONE}


@pytest.mark.parametrize("state", [state for state in State if state not in (State.CLOSED, State.GONE)])
def test_close_is_answered_in_every_state_but_behind_it(state):
    assert Trigger.CLOSE in MEANINGFUL[state]
    assert after(state, Trigger.CLOSE) is State.CLOSED


@pytest.mark.parametrize(("state", "trigger"), list(itertools.product(State, Trigger)))
def test_only_resumed_leads_from_paused_to_active(state, trigger):
    if state in PAUSED_STATES and after(state, trigger) in ACTIVE_STATES:
        assert trigger is Trigger.RESUMED
    if state not in LIVE_STATES and after(state, trigger) in LIVE_STATES:
        assert (state, trigger) == (State.OPENING, Trigger.OPEN)


def test_every_message_that_moves_a_state_means_something_there():
    moving = {(state, trigger) for state, trigger in TRANSITIONS if trigger in MESSAGES.values()}
    assert all(trigger in MEANINGFUL[state] for state, trigger in moving)
