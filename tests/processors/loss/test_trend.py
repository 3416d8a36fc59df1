from processors.loss.trend import Measured, Trend
from processors.loss.tuning import Tuning


def test_it_looks_back_over_enough_and_no_further():
    trend, tuning = Trend(), Tuning()
    assert trend.take(Measured(250, 250, 50, 50, 10), tuning) is None
    assert trend.take(Measured(0, 0, 0, 0, 0), tuning) is None
    assert trend.take(Measured(250, 250, 0, 0, 0), tuning) == Measured(500, 500, 50, 50, 10)
    assert trend.take(Measured(250, 250, 0, 0, 0), tuning) == Measured(500, 500, 0, 0, 0)
    assert len(trend.recent) == 2


def test_after_a_minute_few_packets_are_enough():
    trend, tuning = Trend(), Tuning()
    looks = [trend.take(Measured(25, 25, 1, 1, 1), tuning) for _ in range(14)]
    assert looks[:11] == [None] * 11
    assert looks[11] == looks[13] == Measured(300, 300, 12, 12, 12)


def test_the_burst_ratio_is_that_of_the_sum():
    assert Trend.burst_ratio(Measured(100, 100, 20, 20, 5)) == 4 * 0.8
    assert Trend.burst_ratio(Measured(100, 100, 0, 0, 0)) == -1
