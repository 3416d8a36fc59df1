"""The shipped driver: a processor and its task without a broker. Records in, records out, crash here, resume.

It runs the same `Task` and the same poison rule as the worker, with polls of any size and commits where told. It does
not simulate: groups and rebalances, fencing, transactions that fail half-way, retention, more than one partition, and
metrics. Time is the manual clock; every record takes its timestamp from there unless the caller gives one.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from audio.frames import FrameEncoder
from runtime.bad_share import BadLimit
from runtime.clock import ManualClock
from runtime.poison import Poison
from runtime.processor import Processor
from runtime.task import Frozen, Output, ProcessorFailed, Task
from schemas.codec import SchemaStore
from schemas.records import AudioFrame, ChangelogEntry, Record
from schemas.topics import by_name, dead_letters

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A record of the driver's input partition."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Driver(Generic[S]):
    """One partition of one processor.

    `send*` append to the input, `run` processes what was not read yet, `commit` makes it durable, `crash` forgets what
    was not. `outputs` are the committed ones.
    """

    def __init__(
        self,
        processor: Processor[S],
        *,
        partition: int = 0,
        clock: ManualClock | None = None,
        bad_limit: BadLimit = BadLimit(),  # noqa: B008 - frozen
    ) -> None:
        self.clock = clock or ManualClock()
        self.store = SchemaStore()
        self.log: list[LogRecord] = []
        self.outputs: list[Output] = []
        self.entry: ChangelogEntry | None = None
        self._processor = processor
        self._partition = partition
        self._bad_limit = bad_limit
        self._encoder = FrameEncoder(self.store)
        self._poison = Poison()
        self._task = self._restored()

    def send(self, frame: AudioFrame, *, key: str = "conversation", timestamp_ms: int | None = None) -> int:
        """Append a frame to the input; return its offset."""
        return self.send_value(self._encoder.encode(frame), key=key.encode(), timestamp_ms=timestamp_ms)

    def send_value(self, value: bytes | None, *, key: bytes | None = None, timestamp_ms: int | None = None) -> int:
        """Append any bytes to the input; return their offset."""
        timestamp = round(self.clock.wall_s() * 1000) if timestamp_ms is None else timestamp_ms
        self.log.append(LogRecord(len(self.log), timestamp, key, value))
        return self.log[-1].offset

    def step(self, max_records: int = 2000) -> int:
        """Process one poll of at most `max_records` unread records; return how many were read."""
        records = self.log[self._task.position : self._task.position + max_records]
        if not records:
            return 0
        try:
            self._poison.run(self._task, records)
        except ProcessorFailed:
            self._task = self._restored()
        return len(records)

    def run(self, max_records: int = 2000, *, commit: bool = True) -> list[Output]:
        """Process everything unread in polls of at most `max_records`, and commit; return the new committed outputs."""
        before = len(self.outputs)
        while self.step(max_records):
            pass
        if commit:
            self.commit()
        return self.outputs[before:]

    def commit(self) -> Frozen:
        """Make outputs, position and state durable; return what was."""
        frozen = self._task.freeze()
        self.outputs.extend(frozen.outputs)
        self.entry = frozen.entry
        self._poison.forget_before(frozen.entry.position)
        return frozen

    def crash(self) -> None:
        """Lose everything that was not committed, and start again from the changelog."""
        self._poison = Poison()
        self._task = self._restored()

    def records(self, topic: str) -> list[Record]:
        """Return the committed outputs of a topic as records."""
        record_type = by_name(topic).record
        if record_type is None:
            raise KeyError(topic)
        return [self.store.decode(output.value, record_type) for output in self.outputs if output.topic == topic]

    @property
    def dead_letters(self) -> list[Output]:
        """Committed dead letters."""
        name = dead_letters(self._processor.group).name
        return [output for output in self.outputs if output.topic == name]

    def _restored(self) -> Task[S]:
        return Task(self._processor, self.store, self._partition, self.entry, bad_limit=self._bad_limit)
