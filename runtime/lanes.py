"""Order and progress of one input partition, pure: which job may start, which offset may be committed, when to pause.

Jobs of a key start one after another in the order they were added; keys know nothing of each other. A record is
finished when all its jobs are done. What may be committed is the offset of the first unfinished record, or, where all
are finished, the offset behind the last: never an offset behind a record that is not finished.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from runtime.errors import UsageError

W = TypeVar("W")


@dataclass(frozen=True, slots=True, eq=False)
class Ticket(Generic[W]):
    """One job: the offset of the record that caused it, the key whose order it keeps, and what to do."""

    offset: int
    key: bytes
    work: W


@dataclass(slots=True)
class _Unfinished:
    jobs: int
    added_at_s: float


class Lanes(Generic[W]):
    """The jobs of one partition from the offset `position` on.

    `full` has hysteresis: it becomes true when `max_waiting` records are unfinished or `max_ahead` records are finished
    and not committed (one slow key holds the commit up), and false again when neither is above half.
    """

    def __init__(self, position: int, *, max_waiting: int, max_ahead: int) -> None:
        self.position = position
        """Offset behind the last record added."""
        self._max_waiting = max_waiting
        self._max_ahead = max_ahead
        self._unfinished: OrderedDict[int, _Unfinished] = OrderedDict()
        self._finished: deque[int] = deque()
        self._queues: dict[bytes, deque[Ticket[W]]] = {}
        self._ready: deque[bytes] = deque()
        self._started: set[bytes] = set()
        self._full = False

    def add(self, offset: int, jobs: Iterable[tuple[bytes, W]], at_s: float) -> None:
        """Take the next record, its jobs as (key, work), read at `at_s`. Without jobs it is finished at once."""
        if offset < self.position:
            message = f"offset {offset} comes after {self.position - 1}"
            raise UsageError(message)
        self.position = offset + 1
        count = 0
        for key, work in jobs:
            queue = self._queues.setdefault(key, deque())
            queue.append(Ticket(offset, key, work))
            if len(queue) == 1:
                self._ready.append(key)
            count += 1
        if count:
            self._unfinished[offset] = _Unfinished(count, at_s)
        else:
            self._finished.append(offset)

    def start(self) -> Ticket[W] | None:
        """Return the next job whose key is free, and occupy the key; None when there is none."""
        if not self._ready:
            return None
        key = self._ready.popleft()
        self._started.add(key)
        return self._queues[key][0]

    def done(self, ticket: Ticket[W]) -> None:
        """Finish a started job; the next one of its key may start. Raises `UsageError` for one that is not started."""
        queue = self._queues.get(ticket.key)
        if queue is None or queue[0] is not ticket or ticket.key not in self._started:
            message = f"the job at offset {ticket.offset} is not under way"
            raise UsageError(message)
        self._started.discard(ticket.key)
        queue.popleft()
        if queue:
            self._ready.append(ticket.key)
        else:
            del self._queues[ticket.key]
        record = self._unfinished[ticket.offset]
        record.jobs -= 1
        if not record.jobs:
            del self._unfinished[ticket.offset]
            self._finished.append(ticket.offset)

    @property
    def committable(self) -> int:
        """The offset to commit: everything before it is finished."""
        return next(iter(self._unfinished), self.position)

    def committed(self, offset: int) -> None:
        """Take note that everything before `offset` is committed."""
        self._finished = deque(finished for finished in self._finished if finished >= offset)

    @property
    def waiting(self) -> int:
        """Records that are not finished."""
        return len(self._unfinished)

    @property
    def uncommitted(self) -> int:
        """Records that are finished and not committed."""
        return len(self._finished)

    @property
    def oldest_at_s(self) -> float | None:
        """When the oldest unfinished record was added; None when all are finished."""
        return next((record.added_at_s for record in self._unfinished.values()), None)

    @property
    def full(self) -> bool:
        """Whether no more records should be read."""
        if self.waiting >= self._max_waiting or self.uncommitted >= self._max_ahead:
            self._full = True
        elif self.waiting <= self._max_waiting // 2 and self.uncommitted <= self._max_ahead // 2:
            self._full = False
        return self._full
