from audio.arrival import GIVE_UP_US, ArrivalWatch, Stall

FRAME_US = 200_000


def arrivals(watch, delays_ms, start=0):
    """Feed 200-ms frames that arrive so much later than due; return the stalls."""
    found = []
    for index, delay_ms in enumerate(delays_ms, start):
        stop_us = (index + 1) * FRAME_US
        found.append(watch.frame(index * 1600, stop_us, 5_000_000_000 + stop_us + 1000 * delay_ms))
    return [stall for stall in found if stall is not None]


def test_frames_held_up_and_then_delivered_at_once_are_one_stall_of_the_longest_delay():
    held_up = [10, 12, 10, 910, 710, 510, 310, 110, 11, 10]
    assert arrivals(ArrivalWatch(), held_up) == [Stall(position_samples=3 * 1600, delay_ms=900)]


def test_jitter_below_the_threshold_is_no_stall():
    assert arrivals(ArrivalWatch(), [10, 190, 30, 205, 10] * 20) == []


def test_clocks_that_drift_make_no_stall():
    assert arrivals(ArrivalWatch(), [index // 10 for index in range(4000)]) == []


def test_a_delay_that_never_recovers_becomes_the_new_normal():
    watch = ArrivalWatch()
    found = arrivals(watch, [10] * 5 + [1010] * (GIVE_UP_US // FRAME_US + 20))
    assert found == [Stall(position_samples=5 * 1600, delay_ms=1000, recovered=False)]
    assert watch.since_us == -1


def test_a_late_frame_that_fills_a_hole_says_nothing_of_arrival():
    watch = ArrivalWatch()
    arrivals(watch, [10] * 10)
    assert watch.frame(0, FRAME_US, 5_000_000_000 + 100 * FRAME_US) is None
    assert arrivals(watch, [10], start=10) == []


def test_after_a_restart_delays_are_measured_anew():
    watch = ArrivalWatch()
    assert arrivals(watch, [10, 10, 900]) == []
    assert watch.restart() == Stall(position_samples=2 * 1600, delay_ms=890, recovered=False)
    assert arrivals(watch, [900] * 5, start=3) == []
