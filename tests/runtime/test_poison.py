"""Which steps a poll is cut into until the one record that raises is known."""

import pytest

from runtime.errors import UsageError
from runtime.poison import Poison
from runtime.task import ProcessorFailed
from runtime.testing import LogRecord

RECORDS = [LogRecord(offset, 0, None, None) for offset in range(10, 16)]


def offsets(parts) -> list[list[int]]:
    return [[record.offset for record in part] for part in parts]


def failed(first: int, last: int) -> ProcessorFailed:
    return ProcessorFailed(first, last, ValueError("secret content"))


def test_nothing_is_cut_before_a_raise() -> None:
    assert offsets(Poison().parts(RECORDS)) == [[10, 11, 12, 13, 14, 15]]


def test_after_a_raise_the_records_up_to_the_end_of_the_failed_step_run_alone() -> None:
    poison = Poison()
    poison.failed(failed(11, 13))
    assert offsets(poison.parts(RECORDS)) == [[10], [11], [12], [13], [14, 15]]
    assert offsets(poison.parts(RECORDS[4:])) == [[14, 15]]


def test_the_record_that_raises_alone_is_dead_and_its_reason_quotes_no_content() -> None:
    poison = Poison()
    poison.failed(failed(10, 15))
    poison.failed(failed(12, 12))
    assert poison.dead == {12: "the processor raised ValueError"}
    assert offsets(poison.parts(RECORDS)) == [[10, 11, 12, 13, 14, 15]]


def test_a_raise_on_a_dead_record_is_a_fault_of_the_processor() -> None:
    poison = Poison()
    poison.failed(failed(12, 12))
    with pytest.raises(UsageError, match="offset 12"):
        poison.failed(failed(12, 12))


def test_what_a_commit_has_put_behind_is_forgotten() -> None:
    poison = Poison()
    poison.failed(failed(12, 12))
    poison.failed(failed(14, 14))
    poison.forget_before(13)
    assert list(poison.dead) == [14]
