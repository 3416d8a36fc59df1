"""How the records that raise are found: which steps a task is asked for, and that a poll full of them stays cheap."""

import pytest

from runtime.errors import UsageError
from runtime.poison import Poison
from runtime.task import ProcessorFailed
from runtime.testing import Driver, LogRecord
from tests.runtime.counting import POISON, CountingProcessor
from tests.runtime.test_task import frame

RECORDS = [LogRecord(offset, 0, None, None) for offset in range(10, 26)]


class Stepped:
    """A task that notes its steps and raises on some offsets, whether it is told that they are dead or not."""

    def __init__(self, raisers: set[int], *, stubborn: bool = False) -> None:
        self.raisers, self.stubborn = raisers, stubborn
        self.done: list[int] = []
        self.attempts = 0
        self.marks = 0

    def step(self, records, dead) -> None:
        self.attempts += 1
        offsets = [record.offset for record in records]
        if any(o in self.raisers and (self.stubborn or o not in dead) for o in offsets):
            raise ProcessorFailed(offsets[0], offsets[-1], ValueError("secret content"))
        self.done += offsets

    def mark(self) -> int:
        self.marks += 1
        return len(self.done)

    def go_back(self, mark: int) -> None:
        assert mark == len(self.done)


def test_nothing_is_cut_or_marked_before_a_raise() -> None:
    task = Stepped(set())
    Poison().run(task, RECORDS)
    assert (task.attempts, task.marks, len(task.done)) == (1, 0, 16)


def test_the_first_raise_spends_the_task_and_the_second_attempt_finds_all_raisers_of_the_poll() -> None:
    poison = Poison()
    with pytest.raises(ProcessorFailed):
        poison.run(Stepped({12, 17, 18}), RECORDS)
    task = Stepped({12, 17, 18})
    poison.run(task, RECORDS)
    assert poison.dead == dict.fromkeys((12, 17, 18), "the processor raised ValueError")
    assert task.done == list(range(10, 26))


def test_polls_behind_a_raise_are_marked_for_a_while_so_that_the_next_raiser_restores_nothing() -> None:
    poison = Poison()
    with pytest.raises(ProcessorFailed):
        poison.run(Stepped({12}), RECORDS)
    poison.run(Stepped({12}), RECORDS)
    poison.run(Stepped({105}), [LogRecord(offset, 0, None, None) for offset in range(100, 110)])
    assert set(poison.dead) == {12, 105}
    far = Stepped(set())
    poison.run(far, [LogRecord(offset, 0, None, None) for offset in range(100_000, 100_010)])
    assert far.marks == 0


def test_what_raises_only_in_company_is_no_dead_letter() -> None:
    class Company(Stepped):
        def step(self, records, dead) -> None:
            self.raisers = {12} if len(records) > 7 else set()
            super().step(records, dead)

    poison = Poison()
    with pytest.raises(ProcessorFailed):
        poison.run(Company(set()), RECORDS)
    task = Company(set())
    longer = [LogRecord(offset, 0, None, None) for offset in range(10, 1010)]
    poison.run(task, longer)
    assert poison.dead == {}
    assert task.done == list(range(10, 1010))
    assert task.attempts < 40, "behind it steps grow again"


def test_a_raise_on_a_dead_record_is_a_fault_of_the_processor() -> None:
    poison = Poison()
    with pytest.raises(ProcessorFailed):
        poison.run(Stepped({12}, stubborn=True), RECORDS)
    with pytest.raises(UsageError, match="offset 12"):
        poison.run(Stepped({12}, stubborn=True), RECORDS)


def test_what_a_commit_has_put_behind_is_forgotten() -> None:
    poison = Poison()
    poison.dead = {12: "x", 14: "y"}
    poison.forget_before(13)
    assert list(poison.dead) == [14]


def test_ten_raisers_in_a_poll_cost_a_few_hundred_steps_not_thousands() -> None:
    class Counted(CountingProcessor):
        calls = 0

        def process(self, batch, state, emit) -> None:
            Counted.calls += 1
            super().process(batch, state, emit)

    driver = Driver(Counted())
    for sequence in range(2000):
        payload = POISON if sequence % 200 == 7 else b"\xff"
        driver.send(frame(1, sequence, payload=payload), timestamp_ms=0)
    driver.run()
    assert [dict(letter.headers)["__connect.errors.offset"] for letter in driver.dead_letters] == [
        b"%d" % offset for offset in range(7, 2000, 200)
    ]
    assert Counted.calls < 500
