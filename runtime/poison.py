"""How a task finds the records that make its processor raise. Pure; shared by the worker and the driver.

The first raise spends the task: its last committed state is restored, and what was read since is read again. From there
on the task marks its state before each step; a step that raises is undone and halved until the one record is known. It
becomes a dead letter, all others are processed as ever. So a raiser costs some dozen steps, and a poll full of raisers
is read twice, not twice for each of them. Some thousand records without a raise end the marking.
"""

from collections.abc import Sequence
from typing import Any

from runtime.errors import UsageError
from runtime.processor import InputRecord
from runtime.task import ProcessorFailed, Task

_CAREFUL_RECORDS = 20_000
"""For how many offsets behind a raise each poll's state is marked."""


class Poison:
    """What is known of the records a partition's processor cannot take."""

    def __init__(self) -> None:
        self.dead: dict[int, str] = {}
        """Offset → reason, for `Task.step`."""
        self._careful_until = -1

    def run(self, task: Task[Any], records: Sequence[InputRecord]) -> None:
        """Process consecutive records, those that make the processor raise as dead letters.

        Raises `ProcessorFailed` when the task is spent and must be restored: the next run over the same records will
        find what raised. Raises `UsageError` when the processor raises on a record it was told is dead, and what
        `Task.step` raises else.
        """
        if records[0].offset <= self._careful_until:
            self._run_carefully(task, records)
            return
        try:
            task.step(records, self.dead)
        except ProcessorFailed:
            self._careful_until = records[-1].offset + _CAREFUL_RECORDS
            raise

    def _run_carefully(self, task: Task[Any], records: Sequence[InputRecord]) -> None:
        mark = task.mark()
        start, size, raises_before = 0, len(records), 0
        while start < len(records):
            # once a stretch is known to raise, half of it; else ever longer steps
            stop = start + max(1, (raises_before - start) // 2) if raises_before else min(start + size, len(records))
            try:
                task.step(records[start:stop], self.dead)
            except ProcessorFailed as failure:
                task.go_back(mark)
                raises_before = stop
                if stop - start == 1:
                    self._condemn(records[start].offset, failure)
                    size, raises_before = 1, 0
            else:
                size *= 2
                start = stop
                raises_before = 0 if raises_before == start else raises_before
                mark = task.mark() if start < len(records) else mark

    def _condemn(self, offset: int, failure: ProcessorFailed) -> None:
        if offset in self.dead:
            message = f"the processor raises on the dead letter at offset {offset} too"
            raise UsageError(message) from failure
        self.dead[offset] = f"the processor raised {type(failure.error).__name__}"
        self._careful_until = max(self._careful_until, offset + _CAREFUL_RECORDS)

    def forget_before(self, position: int) -> None:
        """Forget what a commit has put behind us."""
        self.dead = {offset: why for offset, why in self.dead.items() if offset >= position}
