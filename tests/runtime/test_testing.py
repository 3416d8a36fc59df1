"""The shipped driver: what it commits, what a crash takes away, and that its clock stamps records."""

import pytest

from runtime.clock import ManualClock
from runtime.testing import Driver
from tests.runtime.counting import EVERY, CountingProcessor
from tests.runtime.test_task import frame


def filled(count: int) -> Driver:
    driver = Driver(CountingProcessor())
    for sequence in range(count):
        driver.send(frame(1, sequence), timestamp_ms=sequence)
    return driver


def test_outputs_are_there_once_they_are_committed() -> None:
    driver = filled(EVERY)
    assert driver.run(commit=False) == []
    frozen = driver.commit()
    assert driver.outputs == list(frozen.outputs)
    assert len(driver.outputs) == 1


def test_a_crash_takes_away_what_was_not_committed_and_it_comes_again_once() -> None:
    driver = filled(3 * EVERY)
    driver.step(EVERY)
    driver.commit()
    driver.step(EVERY)
    driver.crash()
    driver.run()
    assert [record.frames for record in driver.records("calls.activity")] == [EVERY, 2 * EVERY, 3 * EVERY]


def test_records_take_their_time_from_the_clock_unless_they_bring_one() -> None:
    clock = ManualClock(wall_s=100.0)
    driver = Driver(CountingProcessor(), clock=clock)
    driver.send(frame(1, 0))
    clock.advance(1.5)
    driver.send(frame(1, 1))
    driver.send(frame(1, 2), timestamp_ms=7)
    assert [record.timestamp for record in driver.log] == [100_000, 101_500, 7]


def test_topics_without_a_record_type_or_name_are_refused() -> None:
    with pytest.raises(KeyError):
        filled(1).records("calls.nothing")
