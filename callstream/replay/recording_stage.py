"""recording_sync, run over fixed offsets: recordings of the stretch under `replay.<name>` in the same object store.

Calls that were running at the stretch's beginning are recorded from theirs. Open recordings lie in a folder of the
replay's own inside the work folder, which goes when the replay ends.
"""

import asyncio
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import obstore

from callstream.replay.stage import WantedConversation
from runtime.deadletter import headers, kept
from runtime.object_store import folder_of, remote_store
from runtime.processor import InputRecord
from runtime.sink import DeadRecord, SourcePartition
from runtime.task import Output
from schemas.codec import SchemaStore
from schemas.records import RecordingEvent
from schemas.topics import AUDIO, RECORDINGS, Topic, dead_letters
from sinks.recording_sync.config import RecordingSyncSettings, rules
from sinks.recording_sync.entries import Batch, Seal
from sinks.recording_sync.objects import Objects
from sinks.recording_sync.writer import RecordingSink


class RecordingStage:
    """See `Stage`. `wanted` says by conversation which recordings are kept."""

    name = "recording_sync"
    input_topic = AUDIO.name
    topics: tuple[Topic, ...] = (RECORDINGS, dead_letters("recording_sync"))

    def __init__(
        self, settings: RecordingSyncSettings, store: SchemaStore, place: str, wanted: WantedConversation
    ) -> None:
        """`place` names the replay's folder in the store and in the work folder."""
        self.settings_hash = rules(settings).settings_hash
        self._settings = settings
        self._store = store
        self._place = place
        self._wanted = wanted
        self._events: list[Output] = []
        self._hidden: set[str] = set()
        self._sink: RecordingSink | None = None
        self._partitions: list[SourcePartition] = []

    async def begin(self, starts: Sequence[tuple[int, int]]) -> None:
        """Make the folders. Raises `ConfigError` where they cannot be used."""
        settings = self._settings
        sink = RecordingSink(
            work_place(settings, self._place),
            _Some(Objects.open(_beneath(settings.store_url, self._place)), self._hidden),
            self._announce,
            store=self._store,
            rules=rules(settings),
            most_open_files=settings.most_open_files,
        )
        self._sink = sink
        self._partitions = [SourcePartition(self.input_topic, partition) for partition, _ in starts]
        await sink.marks(self._partitions)

    async def take(self, partition: int, records: Sequence[InputRecord], *, keep: bool) -> list[Output]:
        """Record; return the events of what was sealed. Raises `Unavailable` when a store does not take it."""
        if self._sink is None:
            return []
        source = SourcePartition(self.input_topic, partition)
        plan = self._sink.plan(source, records)
        self._hidden.update(_keys(plan.entries, self._wanted if keep else lambda _: False))
        await self._sink.write(plan.entries, {source: records[-1].offset + 1})
        self._hidden.clear()
        events, self._events = self._events, []
        return events + list(self._dead_letters(partition, records, plan.dead)) if keep else []

    async def end(self, *, kept: bool) -> None:
        """Remove the work files; the recordings too unless they are kept."""
        sink, self._sink = self._sink, None
        if sink is not None:
            await sink.release(self._partitions)
        if kept:
            await asyncio.to_thread(shutil.rmtree, work_place(self._settings, self._place), ignore_errors=True)
        else:
            await asyncio.to_thread(remove_everything, self._settings, self._place)

    async def _announce(self, event: RecordingEvent, _partition: int, timestamp_ms: int) -> None:
        if event.location not in self._hidden:
            key = event.conversation_id.encode()
            self._events.append(Output(RECORDINGS.name, key, self._store.encode(event), timestamp_ms))

    def _dead_letters(
        self, partition: int, records: Sequence[InputRecord], dead: Sequence[DeadRecord]
    ) -> Iterable[Output]:
        found = {record.offset: record for record in records}
        for item in dead:
            record = found[item.offset]
            about = headers(
                error=item.error,
                stage="plan",
                topic=self.input_topic,
                partition=partition,
                offset=item.offset,
                group=self.name,
                error_class="InvalidRecord",
            )
            value = kept(self.input_topic, record.value)
            yield Output(dead_letters(self.name).name, record.key, value, record.timestamp, tuple(about))


class _Some(Objects):
    """A store that leaves out the objects nobody wants."""

    def __init__(self, objects: Objects, hidden: set[str]) -> None:
        self._objects = objects
        self._hidden = hidden

    async def put(self, key: str, content: bytes | Path) -> None:
        """Store an object that is wanted."""
        if key not in self._hidden:
            await self._objects.put(key, content)


def work_place(settings: RecordingSyncSettings, place: str) -> Path:
    """Return where a replay keeps its open recordings."""
    return settings.work_folder / place


def remove_everything(settings: RecordingSyncSettings, place: str) -> None:
    """Remove the recordings of a replay, finished and open."""
    shutil.rmtree(work_place(settings, place), ignore_errors=True)
    remove_objects(settings.store_url, place)


def remove_objects(url: str, place: str) -> None:
    """Remove whatever lies at a place beneath a store's URL."""
    root = folder_of(url)
    if root is not None:
        shutil.rmtree(root / place, ignore_errors=True)
        return
    store = remote_store(_beneath(url, place))
    for batch in obstore.list(store):
        obstore.delete(store, [item["path"] for item in batch])


def _beneath(url: str, place: str) -> str:
    root = folder_of(url)
    return f"{url.rstrip('/')}/{place}" if root is None else str(root / place)


def _keys(batches: Iterable[Batch], wanted: WantedConversation) -> Iterable[str]:
    """Return the keys of what is sealed and not wanted."""
    for batch in batches:
        for entry in batch.entries:
            if isinstance(entry, Seal) and not wanted(entry.event.conversation_id.encode()):
                yield from (entry.location, entry.sidecar_location)
