import pytest

from ingest.link import Link, exhausted, numbered
from ingest.protocol import SendText
from schemas.symbols import CallEventKind, ClosedBy


def test_the_first_connection_makes_no_loss_good():
    link = Link()
    assert not link.up
    assert link.connected(10.0) is None
    assert link.up


def test_a_session_is_told_how_old_the_lost_connection_was_and_who_ended_it():
    link = Link()
    link.connected(10.0)
    link.disconnected(42.5, 1001, "bye", ClosedBy.REMOTE)
    assert not link.up
    loss = link.connected(50.0)
    assert loss is not None
    fact = loss.reconnected("k", position_samples=7, last_frame_s=42.0)
    event = fact.event
    assert fact.said_s == 42.5
    assert (event.kind, event.code, event.message) == (CallEventKind.RECONNECT, 1001, "bye")
    assert (event.closed_by, event.position_samples) == (ClosedBy.REMOTE, 7)
    assert (event.connection_age_ms, event.last_frame_age_ms) == (32_500, 500)


def test_without_a_frame_its_age_is_not_stated():
    link = Link()
    link.connected(10.0)
    link.disconnected(11.0, 1006, "", ClosedBy.NETWORK)
    loss = link.connected(12.0)
    assert loss is not None
    event = loss.reconnected("k").event
    assert (event.message, event.last_frame_age_ms, event.position_samples) == (None, -1, -1)


def test_a_loss_is_told_once():
    link = Link()
    link.connected(0.0)
    link.disconnected(1.0, 1006, "", ClosedBy.NETWORK)
    link.disconnected(2.0, 1000, "again", ClosedBy.LOCAL)
    loss = link.connected(3.0)
    assert loss is not None
    assert (loss.at_s, loss.code) == (1.0, 1006)
    assert link.connected(4.0) is None


@pytest.mark.parametrize("position", [-1, 8000])
def test_a_spent_budget_is_an_event_where_the_session_stands(position):
    found = exhausted("k", position)
    assert (found.key, found.event.kind) == ("k", CallEventKind.RECONNECT_EXHAUSTED)
    assert found.event.position_samples == position


def test_only_what_tells_of_a_reconnect_gets_the_number_of_its_try():
    link = Link()
    link.connected(10.0)
    link.disconnected(42.5, 1001, "bye", ClosedBy.REMOTE)
    loss = link.connected(50.0)
    assert loss is not None
    effects = [loss.reconnected("k"), SendText("subscribe"), exhausted("k")]
    again, *others = numbered(effects, 3)
    assert (again.event.attempt, again.event.code) == (3, 1001)
    assert others == effects[1:]
