"""What an operator does to personal data stands on `calls.audit` before it is done, and again with how it ended."""

import os
import pwd
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from runtime.clock import Clock, SystemClock
from runtime.config import KafkaSettings, RegistrySettings
from runtime.errors import ConfigError, Unavailable
from runtime.kafka import AIOKafkaProducer, partition_counts, start_producer, stop_quietly, translated
from runtime.registry import Registry
from runtime.version import version
from schemas.codec import SchemaStore
from schemas.records import AuditEvent
from schemas.symbols import AuditAction, AuditOutcome
from schemas.topics import AUDIT

_CLIENT_ID = "callstream-audited"


@dataclass(frozen=True, slots=True)
class Deed:
    """What is done to what. `details` are digested in the audit log, the rest is not."""

    action: AuditAction
    object_kind: str
    object_id: str
    details: Mapping[str, str]


@asynccontextmanager
async def audited(
    kafka: KafkaSettings, registry: RegistrySettings, deed: Deed, clock: Clock | None = None
) -> AsyncIterator[dict[str, str]]:
    """Write that the deed begins (outcome UNKNOWN), yield, and write SUCCESS or FAILED.

    What the block puts into the yielded mapping becomes details of the second event. Raises `ConfigError` or
    `Unavailable` before the block where the first event cannot be stored: then nothing may be done. Where a deed fails
    and that cannot be stored either, a group of both errors is raised.
    """
    topic = f"{kafka.topic_prefix}{AUDIT.name}"
    if topic not in await partition_counts(kafka, [topic], _CLIENT_ID):
        message = f"{topic}: is missing, so nothing could be audited; run `callstream topics apply`"
        raise ConfigError([message])
    store = await _store(registry)
    producer = await start_producer(kafka, client_id=_CLIENT_ID)
    journal = _Journal(producer, topic, store, deed, clock or SystemClock())
    try:
        await journal.write(AuditOutcome.UNKNOWN, {})
        more: dict[str, str] = {}
        try:
            yield more
        except BaseException as failure:
            try:
                await journal.write(AuditOutcome.FAILED, more)
            except Unavailable as silence:
                message = "a deed failed, and that could not be audited"
                raise BaseExceptionGroup(message, [failure, silence]) from None
            raise
        await journal.write(AuditOutcome.SUCCESS, more)
    finally:
        await stop_quietly(producer)


def actor() -> str:
    """Return the user this process runs as, by the system's own list: variables can say anything."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


async def _store(registry: RegistrySettings) -> SchemaStore:
    store, client = SchemaStore(), Registry(registry)
    try:
        await client.prepare(store)
    finally:
        await client.close()
    return store


class _Journal:
    """The events of one deed, counted."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, store: SchemaStore, deed: Deed, clock: Clock) -> None:
        self._producer = producer
        self._topic = topic
        self._store = store
        self._deed = deed
        self._clock = clock
        self._writer = f"callstream/{uuid.uuid4()}"
        self._sequence = 0

    async def write(self, outcome: AuditOutcome, more: Mapping[str, str]) -> None:
        """Write one event and wait until it is stored. Raises `Unavailable`."""
        event = AuditEvent(
            event_id=str(uuid.uuid4()),
            action=self._deed.action,
            outcome=outcome,
            occurred_at_us=int(self._clock.wall_s() * 1_000_000),
            writer=self._writer,
            writer_sequence=self._sequence,
            actor=actor(),
            object_kind=self._deed.object_kind,
            object_id=self._deed.object_id,
            details={**self._deed.details, **more},
            software_version=version(),
        )
        self._sequence += 1
        with translated():
            await self._producer.send_and_wait(self._topic, self._store.encode(event), key=event.actor.encode())
