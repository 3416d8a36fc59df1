from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.audiohook.timeline import Timeline
from ingest.text import MalformedMessage

_STEPS = st.lists(st.one_of(st.integers(0, 4000), st.decimals(0, 100, places=9)), max_size=60)


@given(_STEPS)
def test_the_position_is_what_was_received_plus_the_exact_sum_of_what_was_skipped(steps):
    timeline = Timeline(8000)
    received, skipped = 0, Decimal(0)
    for step in steps:
        before = timeline.position_samples
        if isinstance(step, int):
            assert timeline.receive(step) == before
            received += step
        else:
            moved = timeline.skip(step)
            skipped += step
            assert timeline.position_samples == before + moved
        assert timeline.position_samples == received + round(skipped * 8000)


def test_drift_is_the_stated_position_minus_ours_and_told_when_it_changes():
    timeline = Timeline(8000)
    timeline.receive(1600)
    assert not timeline.compare(Decimal("0.2"))
    assert timeline.compare(Decimal("0.3"))
    assert timeline.drift_samples == 800
    assert not timeline.compare(Decimal("0.3"))
    assert timeline.compare(Decimal("0.1"))
    assert timeline.drift_samples == -800


def test_a_position_beyond_what_can_be_counted_is_refused_and_leaves_the_timeline_as_it_was():
    timeline = Timeline(48_000)
    for _ in range(187):
        timeline.skip(Decimal(999_999_999))
    before = timeline.position_samples
    with pytest.raises(MalformedMessage):
        timeline.skip(Decimal(999_999_999))
    assert timeline.position_samples == before < 2**53
