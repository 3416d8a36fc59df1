"""Each alarm is raised once and cleared once, whatever happens in between."""

import random
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from schemas.symbols import LossReportKind
from tests.processors.loss.calls import Run, log_of
from tests.processors.loss.test_determinism import random_call


@given(seed=st.integers(0, 2**32 - 1))
def test_every_alarm_is_raised_and_cleared_in_turn_and_none_outlives_its_session(seed):
    found = Run().feed(log_of(random_call(random.Random(seed), 0)))
    emitted = [record for _, record in found.found] + found.expire(20_000) + found.expire(2**40)
    states = defaultdict(list)
    for record in emitted:
        if record.alarm_threshold is not None:
            states[record.alarm, record.channel, record.stream].append(record.kind)
    for kinds in states.values():
        assert kinds[::2] == [LossReportKind.ALARM_RAISED] * (len(kinds) // 2)
        assert kinds[1::2] == [LossReportKind.ALARM_CLEARED] * (len(kinds) // 2)
