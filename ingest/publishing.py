"""The wishes of the settings and of the watched file → calls.subscriptions. Shell around `ingest.wishes`.

The topic itself says what was asked for before, by an earlier process too: each publication reads it whole, and writes
only what differs. All ingest processes of a group must have the same lists and the same file.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ingest.wishes import FILE, LONGEST_FILE_BYTES, SETTINGS, Change, UnreadableWishes, changes, of_file
from runtime.clock import Clock
from runtime.config import KafkaSettings
from runtime.errors import ConfigError, Unavailable
from runtime.kafka import Partitioner, connect_with_retry, start_producer, stop_quietly, translated
from runtime.log import Logger
from runtime.registry import Registry
from runtime.table_rows import Row
from runtime.whole_table import read_table
from schemas.codec import SchemaStore, split
from schemas.errors import InvalidRecord
from schemas.records import Subscription
from schemas.topics import SUBSCRIPTIONS

LOOK_EVERY_S = 1.0
_DEADLINE_S = 20.0
_REFUSED_S = 30.0


class Standing(NamedTuple):
    """A record that stands on the topic; where it cannot be read, `wish` says why."""

    key: str
    partition: int
    wish: Subscription | str


class SubscriptionsTopic:
    """Reads and writes the wishes on the topic. `name` is the client id. All raise `Unavailable`."""

    def __init__(self, kafka: KafkaSettings, registry: Registry, store: SchemaStore, name: str) -> None:
        self._kafka = kafka
        self._registry = registry
        self._store = store
        self._name = name
        self.topic = f"{kafka.topic_prefix}{SUBSCRIPTIONS.name}"

    async def read(self) -> tuple[dict[str, Subscription], int]:
        """Return the wishes that stand, by key, and the topic's partition count. What cannot be read is left out."""
        standing, partitions = await self.standing()
        return {one.key: one.wish for one in standing if isinstance(one.wish, Subscription)}, partitions

    async def standing(self) -> tuple[list[Standing], int]:
        """Return what stands, in the order of the keys, and the topic's partition count."""
        try:
            async with asyncio.timeout(_DEADLINE_S):
                rows, partitions = await read_table(self._kafka, self.topic, self._name)
        except TimeoutError as error:
            message = "calls.subscriptions could not be read in time"
            raise Unavailable(message) from error
        found = []
        for key, row in sorted(rows.items()):
            try:
                wish: Subscription | str = await self._decoded(row)
            except InvalidRecord as error:
                wish = str(error)
            found.append(Standing(key.decode(errors="surrogateescape"), row.partition, wish))
        return found, partitions

    async def write(self, changed: Sequence[Change], partitions: int) -> None:
        """Write changes and wait until they are stored."""
        if not changed:
            return
        partitioner = Partitioner(partitions)
        producer = None
        try:
            with translated():
                async with asyncio.timeout(_DEADLINE_S):
                    producer = await start_producer(self._kafka, client_id=self._name)
                    for change in changed:
                        await producer.send_and_wait(
                            self.topic,
                            None if change.subscription is None else self._store.encode(change.subscription),
                            key=change.key.encode(errors="surrogateescape"),
                            partition=change.partition
                            if change.partition >= 0
                            else partitioner.partition(change.conversation_id.encode()),
                        )
        finally:
            await stop_quietly(producer, 1.0)

    async def _decoded(self, row: Row) -> Subscription:
        schema_id = split(row.value)
        if self._store.get(schema_id) is None:
            await self._registry.resolve([schema_id], self._store)
        return self._store.decode(row.value, Subscription)


class Publisher:
    """Keeps the topic in line with the settings' lists, once, and with a file, as often as it changes."""

    def __init__(self, topic: SubscriptionsTopic, listed: Sequence[Subscription], clock: Clock, log: Logger) -> None:
        self._topic = topic
        self._listed = listed
        self._clock = clock
        self._log = log

    async def run(self, file: Path | None, stopping: asyncio.Event) -> None:
        """Publish until told to stop; without a file until the lists are published."""
        await self._publish(self._listed, SETTINGS, stopping)
        watched = None if file is None else Watched(file, self._log)
        while watched is not None and not stopping.is_set():
            wishes = await asyncio.to_thread(watched.changed)
            if wishes is not None:
                await self._publish(wishes, FILE, stopping)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await stopping.wait()

    async def _publish(self, wanted: Iterable[Subscription], requested_by: str, stopping: asyncio.Event) -> None:
        await connect_with_retry(
            partial(self._bring_in_line, list(wanted), requested_by),
            stopping=stopping,
            on_wait=lambda error: self._log.warning(
                "wishes could not be published yet", cause=requested_by, error=str(error)
            ),
            cut=False,
        )

    async def _bring_in_line(self, wanted: list[Subscription], requested_by: str) -> bool:
        try:
            before, partitions = await self._topic.read()
            changed = changes(wanted, before, requested_by, round(self._clock.wall_s() * 1e6))
            await self._topic.write(changed, partitions)
        except (ConfigError, InvalidRecord) as error:
            # the process has other work, which goes on; the operator reads the reason
            raise Unavailable(str(error), retry_after_s=_REFUSED_S) from error
        if changed:
            self._log.info("wishes were published", cause=requested_by, count=len(changed))
        return True


class Watched:
    """A file of wishes. A file that is away or has a bad line changes nothing: its former wishes stay."""

    def __init__(self, path: Path, log: Logger) -> None:
        self._path = path
        self._log = log
        self._seen: tuple[int, int, int] | None = None
        self._away = False

    def changed(self) -> list[Subscription] | None:
        """Return the file's wishes where they are new and can be read, else None."""
        try:
            status = self._path.stat()
            seen = status.st_mtime_ns, status.st_size, status.st_ino
            if seen == self._seen:
                return None
            if status.st_size > LONGEST_FILE_BYTES:
                message = f"is longer than {LONGEST_FILE_BYTES} bytes"
                raise UnreadableWishes(message)
            wishes = of_file(self._path.read_text("utf-8"))
        except OSError as error:
            if not self._away:
                self._away = True
                self._log.error("the file of wishes cannot be read; its former wishes stay", error=error.strerror)
            return None
        except ValueError as mistake:
            self._seen = seen
            text = str(mistake) if isinstance(mistake, UnreadableWishes) else "is no UTF-8"
            self._log.error("the file of wishes is bad; its former wishes stay", error=text)
            return None
        self._seen, self._away = seen, False
        return wishes
