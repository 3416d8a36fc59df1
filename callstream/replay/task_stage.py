"""A processor of the task host, run over fixed offsets: the same task and the same rule about poison as in the worker.

Nothing is committed, so the state to go back to after a raise is the one before the poll.
"""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from runtime.bad_share import BadLimit
from runtime.poison import Poison
from runtime.processor import InputRecord, Processor
from runtime.task import Output, ProcessorFailed, Task
from schemas.codec import SchemaStore
from schemas.records import ChangelogEntry
from schemas.topics import PUBLIC, dead_letters

S = TypeVar("S")
_ANY_NUMBER = BadLimit(max_ratio=1)
"""What live processing got through is replayed, however many of its records are bad."""


class TaskStage(Generic[S]):
    """See `Stage`."""

    def __init__(self, processor: Processor[S], store: SchemaStore) -> None:
        self.name = processor.group
        self.input_topic = processor.input_topic
        self.topics = (*(topic for topic in PUBLIC if topic.writer == processor.group), dead_letters(processor.group))
        self.settings_hash = processor.settings_hash
        self._processor = processor
        self._store = store
        self._partitions: dict[int, _Partition] = {}

    async def begin(self, starts: Sequence[tuple[int, int]]) -> None:
        """Begin each partition with an empty state."""
        self._partitions = {
            partition: _Partition(self._processor, self._store, partition, start) for partition, start in starts
        }

    async def take(self, partition: int, records: Sequence[InputRecord], *, keep: bool) -> list[Output]:
        """Run the partition's task. Raises `UsageError` for a processor that cannot be helped."""
        outputs = self._partitions[partition].take(records)
        return outputs if keep else []

    async def end(self, *, kept: bool) -> None:
        """There is nothing to release."""


class _Partition:
    def __init__(self, processor: Processor[Any], store: SchemaStore, partition: int, start: int) -> None:
        self._new = (processor, store, partition)
        self._start = start
        self._before: ChangelogEntry | None = None
        self._poison = Poison()
        self._task: Task[Any] = self._restored()

    def take(self, records: Sequence[InputRecord]) -> list[Output]:
        try:
            self._poison.run(self._task, records)
        except ProcessorFailed:
            # the raise spent the task; the second run finds what raises
            self._task = self._restored()
            self._poison.run(self._task, records)
        frozen = self._task.freeze()
        self._before = frozen.entry
        self._poison.forget_before(frozen.entry.position)
        return list(frozen.outputs)

    def _restored(self) -> Task[Any]:
        processor, store, partition = self._new
        return Task(processor, store, partition, self._before, self._start, _ANY_NUMBER)
