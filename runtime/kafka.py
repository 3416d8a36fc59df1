"""The only module that talks to Kafka: clients with our settings, aiokafka's errors translated into ours.

Consumers read committed records only, never commit by themselves and never reset an offset: whoever polls also seeks.
Producers are idempotent. A group uses the Range assignor and no other, so that co-partitioned topics land together.
"""

import logging
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.abc import AbstractTokenProvider, ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    CommitFailedError,
    ConsumerStoppedError,
    GroupAuthorizationFailedError,
    IllegalOperation,
    IllegalStateError,
    InvalidProducerEpoch,
    InvalidSessionTimeoutError,
    InvalidTimestampError,
    InvalidTxnState,
    KafkaError,
    MessageSizeTooLargeError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    ProducerFenced,
    RecordListTooLargeError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownError,
)
from aiokafka.partitioner import murmur2
from aiokafka.structs import ConsumerRecord

from runtime.config import KafkaSettings
from runtime.ending import stop_quietly
from runtime.errors import ConfigError, Fenced, InvalidRecord, Unavailable
from runtime.waiting import connect_with_retry

__all__ = [
    "AIOKafkaAdminClient",
    "AIOKafkaConsumer",
    "AIOKafkaProducer",
    "CommitFailedError",
    "ConfigResource",
    "ConfigResourceType",
    "ConsumerProtocolMemberAssignment",
    "ConsumerProtocolMemberMetadata",
    "ConsumerRecord",
    "KafkaError",
    "NewTopic",
    "NoOffsetForPartitionError",
    "Partitioner",
    "RebalanceListener",
    "RecordsToDelete",
    "TopicAlreadyExistsError",
    "TopicPartition",
    "connect_with_retry",
    "generation",
    "in_group",
    "membership_ended",
    "partition_counts",
    "start_admin",
    "start_consumer",
    "start_producer",
    "stop_quietly",
    "translate",
    "translated",
]

RebalanceListener = ConsumerRebalanceListener

# aiokafka logs each retry as a warning or error of its own; our conditions and metrics say the same once
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

_CONSUMER_DEFAULTS: Mapping[str, Any] = {
    "enable_auto_commit": False,
    "auto_offset_reset": "none",
    "isolation_level": "read_committed",
    "partition_assignment_strategy": (RangePartitionAssignor,),
    "fetch_max_bytes": 8 * 2**20,
    "max_partition_fetch_bytes": 2**20,
    "fetch_max_wait_ms": 100,
    "session_timeout_ms": 10_000,
    "heartbeat_interval_ms": 3_000,
    "rebalance_timeout_ms": 60_000,
    # a member that polls nothing for long must stay able to rejoin; progress is watched by the service itself
    "max_poll_interval_ms": 86_400_000,
    "request_timeout_ms": 15_000,
    "metadata_max_age_ms": 30_000,
}
_PRODUCER_DEFAULTS: Mapping[str, Any] = {
    "enable_idempotence": True,
    "acks": "all",
    "request_timeout_ms": 15_000,
    "metadata_max_age_ms": 30_000,
}


class _Token(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka ships no types
    """A fixed OAUTHBEARER token from the settings."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def token(self) -> str:
        return self._token


def _connection(kafka: KafkaSettings, client_id: str) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "client_id": client_id,
        "security_protocol": kafka.security_protocol,
    }
    if kafka.security_protocol.endswith("SSL"):
        settings["ssl_context"] = _ssl_context(kafka)
    if kafka.security_protocol.startswith("SASL"):
        password = kafka.sasl_password.get_secret_value() if kafka.sasl_password else ""
        settings["sasl_mechanism"] = kafka.sasl_mechanism
        if kafka.sasl_mechanism == "OAUTHBEARER":
            settings["sasl_oauth_token_provider"] = _Token(password)
        else:
            settings["sasl_plain_username"] = kafka.sasl_username
            settings["sasl_plain_password"] = password
    return settings


def _ssl_context(kafka: KafkaSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=kafka.ssl_cafile)
        if kafka.ssl_certfile is not None:
            context.load_cert_chain(kafka.ssl_certfile, kafka.ssl_keyfile)
    except OSError as error:
        message = f"KAFKA_SSL_CAFILE, KAFKA_SSL_CERTFILE or KAFKA_SSL_KEYFILE cannot be used: {error}"
        raise ConfigError([message]) from error
    return context


_TRANSLATIONS: tuple[tuple[tuple[type[Exception], ...], Callable[[str], Exception]], ...] = (
    ((ProducerFenced, InvalidProducerEpoch, InvalidTxnState, CommitFailedError), Fenced),
    # a fenced producer answers every later call by what its state machine does not allow: it is in no transaction now
    ((AssertionError, IllegalStateError, IllegalOperation), Fenced),
    (
        (
            AuthenticationFailedError,
            ClusterAuthorizationFailedError,
            GroupAuthorizationFailedError,
            TopicAuthorizationFailedError,
            TransactionalIdAuthorizationFailed,
        ),
        lambda why: ConfigError([f"refused by Kafka: {why}"]),
    ),
    (
        (OffsetOutOfRangeError, NoOffsetForPartitionError),
        lambda why: ConfigError([f"the log no longer holds the offset to go on from: {why}"]),
    ),
    (
        (InvalidSessionTimeoutError,),
        lambda _: ConfigError(
            ["…_SESSION_TIMEOUT_MS: the broker refuses it: see its group.(min|max).session.timeout.ms"]
        ),
    ),
    # the broker's refusal of a single record has no class of its own; sending the same again never helps
    (
        (UnknownError, MessageSizeTooLargeError, RecordListTooLargeError, InvalidTimestampError),
        lambda why: InvalidRecord(f"the broker refused a record: {why.partition(':')[0]}"),
    ),
    ((KafkaError, ConsumerStoppedError, OSError, TimeoutError), Unavailable),
)


def translate(error: Exception) -> Exception:
    """Return one of aiokafka's errors as ours, by who must act; any other error as it is."""
    for kinds, ours in _TRANSLATIONS:
        if isinstance(error, kinds):
            name, text = type(error).__name__, str(error)
            return ours(text if text.startswith(name) else f"{name}: {text}")
    return error


@contextmanager
def translated() -> Iterator[None]:
    """Raise aiokafka's errors of the block as ours."""
    try:
        yield
    except Exception as error:
        ours = translate(error)
        if ours is error:
            raise
        raise ours from error


async def start_consumer(
    kafka: KafkaSettings,
    *,
    client_id: str,
    group: str | None = None,
    listener: ConsumerRebalanceListener | None = None,
    topics: Sequence[str] = (),
    **tuning: Any,
) -> AIOKafkaConsumer:
    """Return a started consumer. With `group` it has joined and been assigned once; without, the caller assigns.

    The topics must exist. Raises `Unavailable` when no broker answers.
    """
    with translated():
        consumer = AIOKafkaConsumer(
            **{**_CONSUMER_DEFAULTS, **_connection(kafka, client_id), "group_id": group, **tuning}
        )
        if group is not None:
            consumer.subscribe(list(topics), listener=listener)
        try:
            await consumer.start()
        except BaseException:
            await stop_quietly(consumer)
            raise
    return consumer


def in_group(consumer: AIOKafkaConsumer) -> bool:
    """Tell whether a consumer is, as far as it has heard, a member of its group.

    One that was thrown out commits without a generation until it has joined again, and a group that is empty by then
    takes that from anybody: such a commit says nothing about who holds a partition.
    """
    return generation(consumer) >= 0


def generation(consumer: AIOKafkaConsumer) -> int:
    """Return the generation of the group a consumer is a member of as far as it has heard; -1 where it is none."""
    return int(getattr(getattr(consumer, "_coordinator", None), "generation", 0))


def membership_ended(consumer: AIOKafkaConsumer) -> bool:
    """Tell whether a consumer has stopped tending its membership, after an error it did not expect.

    It answers every poll with that error from then on, and its heartbeats may go on: nobody else gets its partitions.
    """
    task = getattr(getattr(consumer, "_coordinator", None), "_coordination_task", None)
    return task is not None and task.done()


async def start_producer(
    kafka: KafkaSettings, *, client_id: str, transactional_id: str | None = None, **tuning: Any
) -> AIOKafkaProducer:
    """Return a started idempotent producer.

    With `transactional_id` it takes that id over: an open transaction of its former owner is aborted before this
    returns. Raises `Unavailable` when no broker answers.
    """
    with translated():
        producer = AIOKafkaProducer(
            **{**_PRODUCER_DEFAULTS, **_connection(kafka, client_id), "transactional_id": transactional_id, **tuning}
        )
        try:
            await producer.start()
        except BaseException:
            await stop_quietly(producer)
            raise
    return producer


async def start_admin(kafka: KafkaSettings, *, client_id: str) -> AIOKafkaAdminClient:
    """Return a started admin client. Raises `Unavailable` when no broker answers."""
    with translated():
        admin = AIOKafkaAdminClient(**_connection(kafka, client_id), request_timeout_ms=15_000)
        try:
            await admin.start()
        except BaseException:
            with suppress(Exception):
                await admin.close()
            raise
    return admin


@asynccontextmanager
async def admin_client(kafka: KafkaSettings, client_id: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield a started admin client and close it."""
    admin = await start_admin(kafka, client_id=client_id)
    try:
        with translated():
            yield admin
    finally:
        with suppress(Exception):
            await admin.close()


async def partition_counts(kafka: KafkaSettings, names: Iterable[str], client_id: str = "callstream") -> dict[str, int]:
    """Return the partition counts of those of `names` (with prefix) that exist. Raises `Unavailable`."""
    wanted = sorted(set(names))
    async with admin_client(kafka, client_id) as admin:
        existing = set(await admin.list_topics())
        found = [name for name in wanted if name in existing]
        if not found:
            return {}
        described = await admin.describe_topics(found)
    return {topic["topic"]: len(topic["partitions"]) for topic in described if topic["partitions"]}


class Partitioner:
    """Key → partition as Java's default partitioner does it: murmur2 without its sign bit, modulo the count."""

    _LIMIT = 100_000

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._known: dict[bytes, int] = {}

    def partition(self, key: bytes) -> int:
        """Return the partition of a key."""
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= self._LIMIT:
                self._known.clear()
            found = self._known[key] = (murmur2(key) & 0x7FFFFFFF) % self._partitions
        return found
