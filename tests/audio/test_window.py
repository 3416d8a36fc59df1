import pytest

from audio.window import AdaptiveWindow, FixedWindow

S = 1_000_000
MS = 1_000


def test_a_fixed_window_stays_as_it_is():
    window = FixedWindow(80)
    window.late(200 * MS, S)
    window.passed(100 * S)
    assert window.us == 80 * MS


def test_an_adaptive_window_begins_short():
    assert AdaptiveWindow().us == 50 * MS


@pytest.mark.parametrize(("needed_ms", "becomes_ms"), [(50, 60), (57, 60), (95, 100), (99, 100), (100, 50), (400, 50)])
def test_it_rises_to_what_a_late_packet_needed_if_that_is_allowed(needed_ms, becomes_ms):
    window = AdaptiveWindow()
    window.late(needed_ms * MS, S)
    assert window.us == becomes_ms * MS


def test_a_packet_that_needed_less_does_not_shorten_it():
    window = AdaptiveWindow()
    window.late(85 * MS, S)
    window.late(55 * MS, 2 * S)
    assert window.us == 90 * MS


def test_it_falls_by_a_step_for_each_ten_seconds_without_late_packets_down_to_where_it_began():
    window = AdaptiveWindow()
    window.late(75 * MS, S)
    fell = []
    for second in (10, 11, 20, 21, 31, 32, 100):
        window.passed(second * S)
        fell.append(window.us // MS)
    assert fell == [80, 70, 70, 60, 50, 50, 50]


def test_it_stays_up_while_packets_are_late():
    window = AdaptiveWindow()
    for second in range(1, 60, 5):
        window.late(75 * MS, second * S)
        window.passed((second + 4) * S)
    assert window.us == 80 * MS


def test_time_that_goes_back_shortens_nothing():
    window = AdaptiveWindow()
    window.late(75 * MS, 100 * S)
    window.passed(S)
    window.passed(10 * S)
    assert window.us == 80 * MS


def test_lost_packets_do_not_raise_it():
    window = AdaptiveWindow()
    for second in range(100):
        window.passed(second * S)
    assert window.us == 50 * MS


@pytest.mark.parametrize(("least", "most"), [(60, 50), (-1, 50)])
def test_limits_that_are_no_window_are_refused(least, most):
    with pytest.raises(ValueError, match="no window"):
        AdaptiveWindow(least, most)
