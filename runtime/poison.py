"""How a task finds the one record that makes its processor raise. Pure; shared by the worker and the driver.

After a raise the task is restored and the records of the failed step are run one by one; the one that raises alone is
the poison. The task is restored again and the poison becomes a dead letter, all others are processed as ever.
"""

from collections.abc import Sequence
from typing import TypeVar

from runtime.errors import UsageError
from runtime.processor import InputRecord
from runtime.task import ProcessorFailed

R = TypeVar("R", bound=InputRecord)


class Poison:
    """What is known of the records a partition's processor cannot take."""

    def __init__(self) -> None:
        self.dead: dict[int, str] = {}
        """Offset → reason, for `Task.step`."""
        self._single_until = -1

    def parts(self, records: Sequence[R]) -> list[Sequence[R]]:
        """Return consecutive records cut into the steps they must be run in."""
        if records[0].offset > self._single_until:
            return [records]
        single = [record for record in records if record.offset <= self._single_until]
        rest = records[len(single) :]
        return [[record] for record in single] + ([rest] if rest else [])

    def failed(self, failure: ProcessorFailed) -> None:
        """Note a raise: the next attempt runs single records, or knows the poison.

        Raises `UsageError` when the processor raises on a record it was told is dead: nothing can be left out then.
        """
        if failure.first in self.dead and failure.first == failure.last:
            message = f"the processor raises on the dead letter at offset {failure.first} too"
            raise UsageError(message) from failure
        if failure.first == failure.last:
            self.dead[failure.first] = f"the processor raised {type(failure.error).__name__}"
            self._single_until = -1
        else:
            self._single_until = failure.last

    def forget_before(self, position: int) -> None:
        """Forget what a commit has put behind us."""
        self.dead = {offset: why for offset, why in self.dead.items() if offset >= position}
