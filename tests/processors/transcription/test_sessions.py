import pytest

from audio.session import IDLE_MS
from processors.transcription.sessions import Accepted, Noticed, Session, Sessions
from schemas.errors import InvalidRecord
from schemas.symbols import Reason
from tests.processors.transcription.calls import Call


def taken(sessions: Sessions, event, now_ms: int = 0) -> Session:
    session, _ = sessions.accept(event, now_ms)
    assert session is not None
    return session


def test_a_counter_at_or_below_the_last_is_a_repeat():
    sessions, call = Sessions(), Call()
    first, second = call.opened(), call.text()
    taken(sessions, first)
    taken(sessions, second)
    assert [sessions.accept(event, 0) for event in (first, second)] == [Accepted(None, Noticed.REPEAT)] * 2


def test_a_counter_beyond_the_next_is_a_hole_and_counts():
    sessions, call = Sessions(), Call()
    assert [sessions.accept(event, 0).noticed for event in (call.opened(), call.alive())] == [None, None]
    call.counter += 3
    session, noticed = sessions.accept(call.text(), 0)
    assert (session.last, noticed) == (5, Noticed.HOLE)


def test_a_session_that_starts_late_is_partial_until_it_is_told_about():
    sessions, call = Sessions(), Call()
    call.counter = 5
    assert taken(sessions, call.text()).partial
    session = taken(sessions, call.told())
    assert (session.partial, session.info) == (False, call.info)


def test_a_session_that_starts_with_opened_is_whole():
    call = Call()
    session = taken(Sessions(), call.opened())
    assert (session.partial, session.info, session.queue) == (False, call.info, "billing")


def test_an_opened_without_info_leaves_a_session_partial():
    assert taken(Sessions(), Call().opened(session_info=None)).partial


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.IDLE])
def test_what_comes_after_closed_is_dropped(reason):
    sessions, call = Sessions(), Call()
    for event in (call.opened(), call.closed(reason)):
        taken(sessions, event)
    assert sessions.accept(call.text(), 0) == (None, Noticed.AFTER_CLOSED)


def test_what_was_dropped_does_not_keep_a_session():
    sessions, call = Sessions(), Call()
    for event in (call.opened(), call.closed()):
        taken(sessions, event)
    sessions.accept(call.text(), IDLE_MS - 1)
    assert sessions.expire(IDLE_MS) == []
    assert len(sessions) == 0


def test_a_session_is_idle_after_fifteen_minutes_and_not_before():
    sessions, call = Sessions(), Call()
    taken(sessions, call.opened(), 1000)
    session = taken(sessions, call.alive(), 2000)
    assert sessions.expire(2000 + IDLE_MS - 1) == []
    assert sessions.expire(2000 + IDLE_MS) == [session]
    assert session.closed is Reason.IDLE


def test_an_idle_session_is_forgotten_after_fifteen_more_minutes():
    sessions = Sessions()
    taken(sessions, Call().opened())
    sessions.expire(IDLE_MS)
    assert (sessions.expire(2 * IDLE_MS - 1), len(sessions)) == ([], 1)
    assert (sessions.expire(2 * IDLE_MS), len(sessions)) == ([], 0)


def test_a_return_after_idle_reopens_a_session_as_partial():
    sessions, call = Sessions(), Call()
    session = taken(sessions, call.opened())
    session.announced = True
    sessions.expire(IDLE_MS)
    assert taken(sessions, call.alive(), IDLE_MS) is session
    assert (session.closed, session.partial, session.announced) == (None, True, False)
    assert session.info == call.info


def test_sessions_that_end_together_are_in_the_order_of_their_ids():
    sessions = Sessions()
    for number in range(20):
        taken(sessions, Call(number).opened(), number)
    ids = [session.session_id for session in sessions.expire(2 * IDLE_MS)]
    assert ids == sorted(ids)
    assert len(ids) == 20


def test_a_session_that_was_touched_is_not_expired_with_older_ones():
    sessions, calls = Sessions(), [Call(number) for number in range(3)]
    for call in calls:
        taken(sessions, call.opened())
    taken(sessions, calls[0].alive(), 10)
    assert {session.conversation_id for session in sessions.expire(IDLE_MS)} == {"conversation-1", "conversation-2"}


def test_a_session_cannot_move_to_another_conversation():
    sessions, call = Sessions(), Call()
    taken(sessions, call.opened())
    call.conversation = "somebody else's"
    with pytest.raises(InvalidRecord, match=r"^conversation_id is not that of") as error:
        sessions.check(call.text())
    assert "somebody" not in str(error.value)
