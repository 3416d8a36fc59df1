from audio.session import IDLE_MS
from callstream.replay.look_back import FIRST_STEP_MS, MARGIN_MS, REMEMBERED_MS, LookBack, Sighting, Window, sighting
from tests.callstream.replay.logs import START_MS, STORE, Calls, Events, session

NOBODY = Sighting(frozenset(), frozenset())


def window(first_ms, last_ms, seen=(), begun=()):
    """Records every 5 s."""
    found = Window()
    times = [*range(first_ms, last_ms, 5_000), last_ms]
    found.add(times, Sighting(frozenset(seen), frozenset(begun)))
    return found


def test_sessions_are_seen_in_frames_and_begin_with_number_0():
    log = Calls(3).log
    whole = sighting("calls.audio", [record.value for record in log], STORE)
    assert session(0) in whole.begun <= whole.seen
    rest = sighting("calls.audio", [record.value for record in log[1:]], STORE)
    assert session(0) not in rest.begun
    assert sighting("calls.audio", [b"garbage", None], STORE) == NOBODY


def test_sessions_are_seen_in_events_and_ticks_are_nobodys():
    log = Events(3).log
    whole = sighting("calls.events", [record.value for record in log], STORE)
    assert len(whole.begun) > 3
    assert whole.begun <= whole.seen
    assert sighting("calls.utterances", [record.value for record in log], STORE) == NOBODY


def test_what_is_remembered_covers_a_session_closed_as_idle_and_kept_for_its_return():
    assert REMEMBERED_MS > 2 * IDLE_MS
    assert FIRST_STEP_MS > REMEMBERED_MS


def test_windows_begin_at_whole_seconds_each_twice_as_far_back():
    look = LookBack(START_MS)
    assert look.start_ms == START_MS - 123 - FIRST_STEP_MS
    look.earlier(Window())
    assert look.start_ms == START_MS - 123 - 2 * FIRST_STEP_MS
    assert not look.enough


def test_enough_is_seen_when_time_has_passed_and_every_session_has_its_beginning():
    look = LookBack(START_MS)
    look.earlier(window(START_MS - FIRST_STEP_MS, START_MS - 1, [b"a", b"b"], [b"b"]))
    assert (look.enough, look.missing) == (False, 1)
    look.earlier(window(START_MS - 2 * FIRST_STEP_MS, START_MS - FIRST_STEP_MS - 1, [b"a", b"c"], [b"a"]))
    assert (look.enough, look.missing) == (True, 0)
    expected = START_MS - 2 * FIRST_STEP_MS - MARGIN_MS
    assert look.margin_ms == expected - expected % 1000


def test_an_outage_is_no_time_that_passed():
    look = LookBack(START_MS)
    look.earlier(window(START_MS - FIRST_STEP_MS, START_MS - FIRST_STEP_MS + 60_000))
    assert not look.enough


def test_where_nothing_lies_further_back_it_is_enough():
    look = LookBack(60_000)
    look.earlier(window(1_000, 59_000, [b"a"]))
    assert (look.enough, look.missing) == (True, 1)
