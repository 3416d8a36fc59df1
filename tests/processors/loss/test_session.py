from processors.loss.session import ALL, Counts, Session
from processors.loss.streams import Stream


def plain() -> Session:
    session = Session(rate_hz=8000, head=0, begin=0, window_start=0, anchor_us=0, first_us=0, audio_ms=0)
    session.watch.least_us = 0
    return session


def test_a_session_is_odd_while_its_next_frame_changes_more_than_counts():
    assert not plain().is_odd
    for change in (
        {"paused": 1},
        {"cause": 3},
        {"empty": 9},
        {"no_audio_alarm": 1},
        {"audio_ms": -1},
        {"told": {ALL: ()}},
    ):
        session = plain()
        for name, value in change.items():
            setattr(session, name, value)
        assert session.is_odd


def test_reports_of_their_own_have_all_streams_but_that_of_all_channels():
    session = plain()
    session.streams = {(2, 7): Stream(), ALL: Stream(), (1, 9): Stream()}
    assert session.keys() == [(1, 9), (2, 7)]
    assert len(list(session.parts())) == 4
    assert session.measured() is None


def test_a_session_measures_what_its_only_stream_or_its_messages_do():
    session = plain()
    assert session.measured() is session.arrivals
    session.streams = {ALL: Stream()}
    assert session.measured() is session.streams[ALL]
    assert session.window == Counts()
