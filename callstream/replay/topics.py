"""The topics of one replay: made for it, and gone with it."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping

from callstream.topics_plan import wanted
from runtime.config import KafkaSettings
from runtime.errors import ConfigError, Unavailable
from runtime.kafka import AIOKafkaAdminClient, NewTopic, admin_client
from schemas.topics import Topic

_CLIENT_ID = "callstream-replay"
_REPLICAS = 3
_DONE_WITHIN_S = 30.0
_LOOK_AGAIN_S = 0.05
_RETRIABLE = frozenset({5, 6, 7, 41})
"""Codes that pass by themselves: leader missing or moved, timed out, controller moved (Kafka protocol, error codes)."""
_UNKNOWN_TOPIC = 3
_ALREADY_EXISTS = 36


async def existing(kafka: KafkaSettings) -> list[str]:
    """Return the topics under the prefix. Raises `Unavailable`."""
    async with admin_client(kafka, _CLIENT_ID) as admin:
        return await _under_prefix(admin, kafka)


async def input_partitions(kafka: KafkaSettings, topics: Collection[str]) -> int:
    """Return the partition count of the inputs, which must be one. Raises `ConfigError`, `Unavailable`."""
    async with admin_client(kafka, _CLIENT_ID) as admin:
        present = set(await admin.list_topics())
        missing = sorted(set(topics) - present)
        if missing:
            raise ConfigError(
                [f"{name}: there is no such topic; `callstream topics apply` creates it" for name in missing]
            )
        counts = {
            topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics(sorted(set(topics)))
        }
    if len(set(counts.values())) != 1:
        message = (
            f"all topics need the same partition count: {', '.join(f'{k} {v}' for k, v in sorted(counts.items()))}"
        )
        raise ConfigError([message])
    return next(iter(counts.values()))


async def create(kafka: KafkaSettings, topics: Iterable[Topic], partitions: int) -> list[str]:
    """Make the topics under the prefix, without time retention, and return their names once the brokers show them.

    Raises `ConfigError` where one is there already or the cluster refuses; then none is left behind.
    """
    settings = wanted(topics, kafka.topic_prefix)
    async with admin_client(kafka, _CLIENT_ID) as admin:
        replicas = min(len((await admin.describe_cluster())["brokers"]), _REPLICAS)
        own = set(settings)
        try:
            answer = await admin.create_topics(
                [NewTopic(name, partitions, replicas, topic_configs=dict(of)) for name, of in settings.items()]
            )
            codes = {topic["topic"]: topic["error_code"] for topic in answer.to_object()["topic_errors"]}
            own -= {name for name, code in codes.items() if code}
            _refuse(codes)
            await _until(admin, kafka, lambda there: own <= there, "show the replay's topics")
        except BaseException:
            await _delete(admin, kafka, own)
            raise
    return sorted(own)


async def remove(kafka: KafkaSettings, names: Collection[str]) -> None:
    """Delete topics of the replay, and return once the brokers show them no more. Raises `Unavailable`."""
    async with admin_client(kafka, _CLIENT_ID) as admin:
        await _delete(admin, kafka, names)


async def _delete(admin: AIOKafkaAdminClient, kafka: KafkaSettings, names: Collection[str]) -> None:
    if not kafka.topic_prefix or not all(name.startswith(kafka.topic_prefix) for name in names):
        message = "only topics of a replay are ever removed"
        raise ConfigError([message])
    if not names:
        return
    answer = await admin.delete_topics(sorted(names))
    codes = dict(answer.topic_error_codes)
    _refuse({name: code for name, code in codes.items() if code != _UNKNOWN_TOPIC})
    await _until(admin, kafka, lambda there: not set(names) & there, "remove the replay's topics")


async def _under_prefix(admin: AIOKafkaAdminClient, kafka: KafkaSettings) -> list[str]:
    if not kafka.topic_prefix:
        return []
    return sorted(name for name in await admin.list_topics() if name.startswith(kafka.topic_prefix))


async def _until(admin: AIOKafkaAdminClient, kafka: KafkaSettings, done: Callable[[set[str]], bool], what: str) -> None:
    """Wait until the brokers show what their controller was told. Raises `Unavailable` when that takes too long."""
    try:
        async with asyncio.timeout(_DONE_WITHIN_S):
            while not done(set(await _under_prefix(admin, kafka))):  # noqa: ASYNC110 - nobody tells us
                await asyncio.sleep(_LOOK_AGAIN_S)
    except TimeoutError:
        message = f"the brokers do not {what} after {_DONE_WITHIN_S:g} s"
        raise Unavailable(message) from None


def _refuse(codes: Mapping[str, int]) -> None:
    bad = {name: code for name, code in codes.items() if code}
    if not bad:
        return
    if set(bad.values()) <= _RETRIABLE:
        message = f"the cluster is busy: {bad}"
        raise Unavailable(message)
    why = {_ALREADY_EXISTS: "exists already: another replay of this name is running"}
    raise ConfigError([f"{name}: {why.get(code, f'the cluster refuses, code {code}')}" for name, code in bad.items()])
