"""How many restarts are too many: per partition, within a window."""

import pytest

from runtime.clock import ManualClock
from runtime.errors import Unavailable
from runtime.kafka import TopicPartition
from runtime.restart_limit import RestartLimit, TooManyRestarts

ONE, TWO = TopicPartition("calls.audio", 1), TopicPartition("calls.audio", 2)
CAUSE = Unavailable("no answer")


def test_the_last_allowed_restart_of_a_partition_names_it_and_the_newest_cause() -> None:
    limit = RestartLimit(3, 60, ManualClock())
    limit.restarted(ONE, CAUSE)
    limit.restarted(ONE, CAUSE)
    limit.restarted(TWO, CAUSE)
    with pytest.raises(TooManyRestarts, match=r"calls.audio/1 was restarted 3 times in 60 s, lastly for: no answer"):
        limit.restarted(ONE, CAUSE)


def test_restarts_that_lie_behind_the_window_do_not_count() -> None:
    clock = ManualClock()
    limit = RestartLimit(3, 60, clock)
    for _ in range(10):
        clock.advance(30)
        limit.restarted(ONE, CAUSE)
    clock.advance(1)
    with pytest.raises(TooManyRestarts):
        limit.restarted(ONE, CAUSE)
