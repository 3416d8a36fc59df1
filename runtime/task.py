"""One input partition's processing, pure: records in; outputs, position and state out.

The same object runs in the worker, in replay and in the shipped driver. It reads no clock and does no I/O: it decodes a
poll, cuts it where stream time crosses a second, calls the processor, and numbers and encodes what it emits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from audio.frames import Frames, decode
from audio.session import Tally
from audio.stream_time import StreamTime
from runtime import task_state
from runtime.bad_share import BadLimit, BadShare
from runtime.deadletter import headers
from runtime.errors import StateCorrupted
from runtime.processor import Batch, Copy, InputRecord, Processor
from schemas.codec import SchemaStore
from schemas.records import ChangelogEntry, Derived, Origin
from schemas.topics import dead_letters, topic_of

S = TypeVar("S")
_Content = tuple[tuple[bytes | None, ...], list[bytes | None]]
"""Keys and values of a poll."""
_ROW_AND_CALL = itemgetter(0, 1)


class Output(NamedTuple):
    """One record for the task's output partition of `topic` (catalogue name)."""

    topic: str
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Frozen:
    """What one commit makes durable together: the outputs since the last one, the position and the state."""

    outputs: tuple[Output, ...]
    entry: ChangelogEntry
    state_value: bytes
    """`entry` as the changelog record's value."""


class ProcessorFailed(Exception):
    """`Processor.process` raised: the task is spent until `Task.go_back`. `first` and `last` bound the offsets."""

    def __init__(self, first: int, last: int, error: Exception) -> None:
        super().__init__(f"process raised {type(error).__name__} in offsets {first} to {last}")
        self.first = first
        self.last = last
        self.error = error


class Task(Generic[S]):
    """The state of one partition between two polls."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a task is made of
        self,
        processor: Processor[S],
        store: SchemaStore,
        partition: int,
        entry: ChangelogEntry | None,
        start: int = 0,
        bad_limit: BadLimit = BadLimit(),  # noqa: B008 - frozen
    ) -> None:
        """Go on from a changelog entry, or begin at offset `start`. Raises `StateCorrupted` for an unreadable entry."""
        self.partition = partition
        self.outputs: list[Output] = []
        self._processor = processor
        self._store = store
        self._bad_limit = bad_limit
        self._dead_letter_topic = dead_letters(processor.group).name
        if entry is None:
            self.position = start
            self._time = StreamTime()
            self._expired_at_ms = 0
            self._bad = BadShare(bad_limit)
            self._state = processor.new_state()
        else:
            self._restore(entry)

    def _restore(self, entry: ChangelogEntry) -> None:
        processor = self._processor
        if entry.version > processor.state_version:
            message = f"state of version {entry.version}, but this release reads up to {processor.state_version}"
            raise StateCorrupted(message)
        host, snapshot = task_state.unpack(entry.state)
        self.position = entry.position
        self._time = StreamTime(entry.max_timestamp_ms, entry.stream_time_ms)
        self._expired_at_ms = entry.expired_at_ms
        self._bad = BadShare.unpacked(self._bad_limit, host)
        try:
            self._state = processor.restore(entry.version, snapshot)
        except StateCorrupted:
            raise
        except Exception as error:  # whatever a processor meets in bytes it cannot read
            message = f"the state of version {entry.version} cannot be read: {type(error).__name__}"
            raise StateCorrupted(message) from error

    def step(self, records: Sequence[InputRecord], dead: dict[int, str]) -> int:
        """Process consecutive records; `dead` maps offsets that must become dead letters to the reason.

        Returns the number of dead letters. Raises `ProcessorFailed` when the processor raises, `TooManyBad` when more
        of the newest records are bad than may be, `StateCorrupted` when the processor cannot trust its state. After any
        of them this task is spent: go back to a mark, or restore another.
        """
        values = [record.value for record in records]
        frames = decode(values, self._store)
        if dead:
            for row, record in enumerate(records):
                if record.offset in dead:
                    frames.kill(row, dead[record.offset])
        keys = tuple([record.key for record in records])
        time = self._time.advance(np.array([record.timestamp for record in records], np.int64))
        emitted = _Emitted(records)
        starts = sorted({0, *time.cuts})
        for start, stop in zip(starts, [*starts[1:], len(records)], strict=True):
            if start in time.cuts:
                self._expired_at_ms = int(time.stream_ms[start])
                emitted.row = start
                self._processor.expire(self._expired_at_ms, self._state, emitted.by_expire)
            self._process(frames, (keys, values), start, stop, emitted)
        count = self._dead_letters(records, frames, emitted)
        rows = np.flatnonzero(~frames.ok).tolist() if count else ()
        self._bad.take(len(records), ((row, records[row].offset, frames.errors[row]) for row in rows))
        self.outputs.extend(emitted.outputs(self._processor.input_topic, self.partition, self._store))
        self.position = records[-1].offset + 1
        return count

    def take_tally(self) -> Tally:
        """Return what identity noticed since the last call: repeats, holes, records after a session's end."""
        return self._processor.sessions(self._state).take_tally()

    def freeze(self) -> Frozen:
        """Take the outputs so far with the state that belongs to them; processing may go on at once."""
        outputs, self.outputs = tuple(self.outputs), []
        entry = self.mark()
        return Frozen(outputs, entry, self._store.encode(entry))

    def mark(self) -> ChangelogEntry:
        """Return where the task stands, for `go_back`."""
        return ChangelogEntry(
            version=self._processor.state_version,
            position=self.position,
            max_timestamp_ms=self._time.max_timestamp_ms,
            stream_time_ms=self._time.now_ms,
            expired_at_ms=self._expired_at_ms,
            settings_hash=self._processor.settings_hash,
            state=task_state.pack(self._bad.packed(), self._processor.snapshot(self._state)),
        )

    def go_back(self, mark: ChangelogEntry) -> None:
        """Undo a step that raised. The mark must have been taken right before it: outputs stay as they are."""
        self._restore(mark)

    def _process(self, frames: Frames, content: "_Content", start: int, stop: int, emitted: "_Emitted") -> None:
        keys, values = content
        whole = start == 0 and stop == len(frames)
        emitted.row = start
        batch = Batch(
            frames=frames if whole else frames.slice(start, stop),
            keys=keys if whole else keys[start:stop],
            stream_time_ms=self._expired_at_ms,
            values=values if whole else values[start:stop],
        )
        try:
            self._processor.process(batch, self._state, emitted.by_process)
        except StateCorrupted:
            raise
        except Exception as error:
            offsets = emitted.records
            raise ProcessorFailed(offsets[start].offset, offsets[stop - 1].offset, error) from error

    def _dead_letters(self, records: Sequence[InputRecord], frames: Frames, emitted: "_Emitted") -> int:
        rows = np.flatnonzero(~frames.ok).tolist()
        for row in rows:
            record = records[row]
            emitted.dead.append(
                (
                    row,
                    Output(
                        topic=self._dead_letter_topic,
                        key=record.key,
                        value=record.value,
                        timestamp_ms=record.timestamp,
                        headers=tuple(
                            headers(
                                error=frames.errors[row],
                                stage="process",
                                topic=self._processor.input_topic,
                                partition=self.partition,
                                offset=record.offset,
                                group=self._processor.group,
                                error_class="InvalidRecord",
                            )
                        ),
                    ),
                )
            )
        return len(rows)


class _Emitted:
    """What a step's calls of the processor emitted, until it is sorted, numbered and encoded."""

    def __init__(self, records: Sequence[InputRecord]) -> None:
        self.records = records
        self.row = 0
        self.dead: list[tuple[int, Output]] = []
        self._found: list[tuple[int, int, Derived | Copy]] = []

    def by_expire(self, record: Derived | Copy) -> None:
        self._found.append((self.row, 0, record))

    def by_process(self, row: int, record: Derived | Copy) -> None:
        if not 0 <= row < len(self.records) - self.row:
            message = f"emit names row {row} of {len(self.records) - self.row}"
            raise IndexError(message)
        self._found.append((self.row + row, 1, record))

    def outputs(self, topic: str, partition: int, store: SchemaStore) -> list[Output]:
        """Return everything in order: by row, what `expire` emitted first, dead letters last."""
        self._found.sort(key=_ROW_AND_CALL)
        result: list[tuple[int, Output]] = []
        index, last = 0, -1
        for row, _, record in self._found:
            index = index + 1 if row == last else 0
            last = row
            cause = self.records[row]
            if isinstance(record, Copy):
                result.append((row, Output(record.topic, record.key, record.value, cause.timestamp)))
                continue
            value = store.encode(record, Origin(topic=topic, partition=partition, offset=cause.offset, index=index))
            key = record.conversation_id.encode()
            result.append((row, Output(topic_of(type(record)).name, key, value, cause.timestamp)))
        if self.dead:
            result = sorted(result + self.dead, key=itemgetter(0))
        return [output for _, output in result]
