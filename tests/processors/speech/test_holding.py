"""What waits: in order, until audio enough followed it, and never without bound."""

from processors.speech.holding import MOST_HOLDS, MOST_RECORDS, Bounds, Held, Session

BOUNDS = Bounds(margin_us=0, hold_us=100)
LAYOUT, MEDIA = 1, 8000 << 8 | 3


class Gone(list):
    def __call__(self, held: Held, passes: bool) -> None:
        self.append((held.value, passes))


def frame(name: int, start_us: int, end_us: int, lane: int = 0) -> Held:
    return Held(None, bytes([name]), True, False, LAYOUT, lane, start_us, end_us)


def test_a_frame_goes_once_the_audio_behind_it_is_long_enough():
    session, gone = Session(), Gone()
    for number in range(12):
        session.audio(frame(number, 10 * number, 10 * number + 10), MEDIA, numbered=False)
        session.release(BOUNDS, gone)
    assert gone == [(b"\0", False), (b"\1", False)]


def test_a_numbered_one_waits_for_the_packet_behind_too():
    session, gone = Session(), Gone()
    for number in range(12):
        session.audio(frame(number, 10 * number, 10 * number + 10), MEDIA, numbered=True)
        session.release(BOUNDS, gone)
    assert gone == [(b"\0", False)]


def test_audio_behind_the_head_does_not_count_but_lets_nothing_wait_for_ever():
    session, gone = Session(), Gone()
    session.audio(frame(0, 1000, 1010), MEDIA, numbered=False)
    for number in range(1, MOST_HOLDS * 10):
        session.audio(frame(number, 0, 10), MEDIA, numbered=False)
        session.release(BOUNDS, gone)
        assert not gone
    session.audio(frame(99, 0, 10), MEDIA, numbered=False)
    session.release(BOUNDS, gone)
    assert gone == [(b"\0", True)]


def test_no_more_than_so_many_records_wait():
    session, gone = Session(), Gone()
    for _ in range(MOST_RECORDS + 3):
        session.audio(frame(7, 5, 5), MEDIA, numbered=False)
        session.release(BOUNDS, gone)
    assert (len(session.waiting), gone) == (MOST_RECORDS, [(b"\7", True)] * 3)


def test_a_numbered_packet_from_far_behind_makes_those_that_wait_pass():
    session, gone = Session(), Gone()
    session.audio(frame(0, 9_000_000, 9_000_020), MEDIA, numbered=True)
    session.audio(frame(1, 0, 20), MEDIA, numbered=True)
    session.release(BOUNDS, gone)
    assert gone == [(b"\0", True)]
    assert session.lanes[0].head_us == 20


def test_when_all_is_certain_everything_goes_and_when_not_doubt_passes():
    for certain in (True, False):
        session, gone = Session(), Gone()
        session.audio(frame(0, 0, 10), MEDIA, numbered=False)
        session.audio(frame(1, 10, 200), MEDIA, numbered=False)
        session.flush(BOUNDS, gone, certain=certain)
        assert gone == [(b"\0", False), (b"\1", not certain)]
