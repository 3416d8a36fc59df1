import pytest

from ingest.backlog import Backlog

FRAME_S = 0.02


class Stream:
    """A sender of 20 ms packets, and which of them were held up."""

    def __init__(self) -> None:
        self.backlog = Backlog()
        self.now_s = 50.0
        self.end_s = 0.0
        self.held: list[bool] = []

    def send(self, seconds: float, pace: float = 1.0) -> "Stream":
        """Send `pace` times as fast as it is spoken."""
        for _ in range(round(seconds / FRAME_S)):
            self.now_s += FRAME_S / pace
            self.end_s += FRAME_S
            self.held.append(self.backlog.holds(self.end_s, self.now_s))
        return self

    def lose(self, seconds: float, missing_s: float = 0.0) -> "Stream":
        """Lose the connection for a while; so much of the audio is gone."""
        self.backlog.interrupt()
        self.now_s += seconds
        self.end_s += missing_s
        return self

    def wait(self, seconds: float) -> "Stream":
        self.now_s += seconds
        return self


AT_ONCE = float("inf")


def test_three_seconds_at_once_are_held_up_but_for_the_last_of_them_and_what_follows_is_live():
    stream = Stream().send(2).lose(3).send(3, AT_ONCE).send(2)
    assert stream.held[:100] == [False] * 100
    assert sum(stream.held[100:250]) == pytest.approx(140, abs=1)
    assert stream.held[100:250] == sorted(stream.held[100:250], reverse=True)
    assert not any(stream.held[250:])


def test_a_stream_that_goes_on_live_after_a_gap_was_never_held_up():
    assert not any(Stream().send(2).lose(3, missing_s=3).send(2).held)


@pytest.mark.parametrize(("delay_s", "held"), [(0.18, 0), (0.2, 0), (0.22, 5)])
def test_a_stream_that_is_later_than_before_is_taken_as_live_after_a_window(delay_s, held):
    stream = Stream().send(1)
    assert sum(stream.lose(delay_s).send(1).held) == held
    assert not any(stream.lose(0).send(1).held[-50:])


def test_without_a_lost_connection_nothing_is_held_up():
    assert not any(Stream().send(1).wait(30).send(1).held)


def test_what_comes_in_two_goes_is_held_up_in_both():
    stream = Stream().send(1).lose(3).send(1, AT_ONCE).wait(0.3).send(1.9, AT_ONCE).send(1)
    assert all(stream.held[50:145])
    assert not any(stream.held[-35:])


@pytest.mark.parametrize(("pace", "held"), [(1.4, False), (1.6, True)])
def test_a_stream_that_catches_up_is_held_up_until_it_has(pace, held):
    assert Stream().send(1).lose(10).send(3, pace).held[-1] is held


def test_a_stream_that_stays_thin_is_live_after_a_second():
    stream = Stream().send(1).lose(3)
    for _ in range(30):
        stream.wait(0.06).send(FRAME_S)
    assert not stream.held[-1]
