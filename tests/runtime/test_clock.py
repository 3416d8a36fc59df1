from runtime.clock import ManualClock, SystemClock


def test_manual_time_stands_until_it_is_advanced():
    clock = ManualClock(wall_s=100.0)
    assert (clock.wall_s(), clock.monotonic_s()) == (100.0, 0.0)
    clock.advance(2.5)
    assert (clock.wall_s(), clock.monotonic_s()) == (102.5, 2.5)


def test_the_machine_s_time_does_not_step_back():
    clock = SystemClock()
    readings = [clock.monotonic_s() for _ in range(100)]
    assert readings == sorted(readings)
    assert clock.wall_s() > ManualClock().wall_s()
