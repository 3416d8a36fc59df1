"""The recordings' store: work files, object store and marks, in the one order that survives a crash.

1 data      bytes at their places in the work files, synced     a crash here or later: the mark is old, all of
2 wav       a finished file to the object store                 it is done again with the same bytes, under the
3 sidecar   its description                                     same names, with the same event id
4 event     SEGMENT_SEALED on calls.recordings, acknowledged
5 mark      next offset and state, replaced atomically          a crash after this: nothing is done again
6 clean     the finished work files go                          what is left is removed at the next start
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from runtime import metrics
from runtime.errors import ConfigError, Unavailable
from runtime.sink import Plan, SourcePartition, SourceRecord
from schemas.codec import SchemaStore
from schemas.records import RecordingEvent
from sinks.recording_sync.entries import Batch, Fill, Put, Seal
from sinks.recording_sync.logic import Recorder, Rules
from sinks.recording_sync.objects import Objects
from sinks.recording_sync.work_folder import Finished, Mark, WorkFolder

Announce = Callable[[RecordingEvent, int, int], Awaitable[None]]
"""`announce(event, partition, timestamp_ms)`: returns once the record is acknowledged. Raises `Unavailable`."""

Step = Callable[[str], None]
"""Called before each numbered step with its name; faults are injected here."""


class RecordingSink:
    """The sink of recording_sync. One instance per process."""

    group = "recording_sync"

    def __init__(  # noqa: PLR0913 - one argument per thing it writes to
        self,
        work_path: Path,
        objects: Objects,
        announce: Announce,
        *,
        store: SchemaStore,
        rules: Rules,
        most_open_files: int = 256,
        before_step: Step = lambda _: None,
    ) -> None:
        self._work_path = work_path
        self._objects = objects
        self._announce = announce
        self._store = store
        self._rules = rules
        self._most_open_files = most_open_files
        self._before = before_step
        self._folders: dict[int, WorkFolder] = {}
        self._recorders: dict[int, Recorder] = {}

    async def marks(self, partitions: Collection[SourcePartition]) -> Mapping[SourcePartition, int]:
        """Lock the partitions' folders and load their states. See `Sink.marks`."""
        share = max(4, self._most_open_files // max(1, len(partitions)))
        found = {}
        for partition in sorted(partitions):
            folder = self._folders.get(partition.partition)
            if folder is None:
                path = self._work_path / f"{partition.topic}-{partition.partition}"
                folder = self._folders[partition.partition] = WorkFolder(path, share)
            mark = await asyncio.to_thread(self._take_over, folder, partition)
            if mark is not None:
                found[partition] = mark.next_offset
        return found

    def plan(self, partition: SourcePartition, records: Sequence[SourceRecord]) -> Plan[Batch]:
        """Turn frames into bytes at places. See `Sink.plan`."""
        return self._recorders[partition.partition].plan(records)

    async def write(self, entries: Sequence[Batch], marks: Mapping[SourcePartition, int]) -> None:
        """Store what was planned, seal what is over, and move the marks on. See `Sink.write`."""
        try:
            self._before("data")
            await asyncio.to_thread(self._write_data, entries)
            seals = [(batch.partition, item) for batch in entries for item in batch.entries if isinstance(item, Seal)]
            for partition, seal in seals:
                await self._seal(self._folders[partition], seal)
            self._before("mark")
            await asyncio.to_thread(self._write_marks, marks)
        except OSError as error:
            message = f"the work folder cannot be written: {error.strerror}"
            raise Unavailable(message) from error
        self._before("clean")
        await asyncio.to_thread(self._clean, seals)
        self._count(len(seals))

    async def release(self, partitions: Collection[SourcePartition]) -> None:
        """Close the partitions' folders. See `Sink.release`."""
        for partition in partitions:
            self._recorders.pop(partition.partition, None)
            folder = self._folders.pop(partition.partition, None)
            if folder is not None:
                await asyncio.to_thread(folder.close)

    def _take_over(self, folder: WorkFolder, partition: SourcePartition) -> Mark | None:
        try:
            if not folder.lock():
                message = f"partition {partition.partition} is still held by another process"
                raise Unavailable(message)
            mark = folder.read_mark()
            recorder = Recorder(partition, self._store, self._rules, None if mark is None else mark.state)
        except OSError as error:
            message = f"RECORDING_SYNC_WORK_FOLDER: cannot be used: {error.strerror}"
            raise ConfigError([message]) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError([_unusable(partition, f"its mark cannot be read: {type(error).__name__}")]) from error
        short = folder.too_short(recorder.files())
        if short:
            raise ConfigError([_unusable(partition, f"{len(short)} of its files are shorter than its mark says")])
        folder.keep_only(recorder.files())
        self._recorders[partition.partition] = recorder
        return mark

    def _write_data(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            folder = self._folders[batch.partition]
            for entry in batch.entries:
                if isinstance(entry, Put):
                    folder.put(entry.name, entry.offset_bytes, entry.data)
                    metrics.SINK_BYTES.inc(len(entry.data))
                elif isinstance(entry, Fill):
                    folder.fill(entry.name, entry.offset_bytes, entry.length_bytes, entry.value)
            folder.sync()

    async def _seal(self, folder: WorkFolder, seal: Seal) -> None:
        self._before("wav")
        finished = await asyncio.to_thread(folder.finish, seal.name, seal.form, seal.samples)
        await self._objects.put(seal.location, finished.path)
        self._before("sidecar")
        await self._objects.put(seal.sidecar_location, _sidecar(seal, finished))
        self._before("event")
        event = replace(seal.event, size_bytes=finished.size_bytes, sha512=finished.sha512)
        await self._announce(event, seal.partition, seal.timestamp_ms)

    def _write_marks(self, marks: Mapping[SourcePartition, int]) -> None:
        for partition, offset in marks.items():
            state = self._recorders[partition.partition].snapshot()
            self._folders[partition.partition].write_mark(Mark(offset, state))

    def _clean(self, seals: Sequence[tuple[int, Seal]]) -> None:
        for partition, seal in seals:
            with suppress(OSError):  # the mark is stored; what stays is removed at the next start
                self._folders[partition].remove(seal.name)

    def _count(self, sealed: int) -> None:
        metrics.SINK_RECORDINGS.inc(sealed)
        for recorder in self._recorders.values():
            metrics.SINK_REPEATS.inc(recorder.tallies["repeats"])
            recorder.tallies.clear()


def _sidecar(seal: Seal, finished: Finished) -> bytes:
    wav = {
        "key": seal.location,
        "media_type": seal.event.media_type,
        "size_bytes": finished.size_bytes,
        "sha512": finished.sha512,
    }
    return (json.dumps({**seal.sidecar, "wav": wav}, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _unusable(partition: SourcePartition, why: str) -> str:
    return (
        f"RECORDING_SYNC_WORK_FOLDER: the folder of {partition.topic}-{partition.partition} cannot be used: {why}; "
        "put it back, or remove it to record the partition again from the start of the log"
    )
