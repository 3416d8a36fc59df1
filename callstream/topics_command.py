"""`callstream topics`: brings a cluster's topics in line with the catalogue, and shows them."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from callstream.topics_plan import Alter, Create, Existing, Keep, Step, partition_count, plan, wanted
from runtime.config import KafkaSettings, load
from runtime.errors import ConfigError, Unavailable
from runtime.kafka import (
    AIOKafkaAdminClient,
    ConfigResource,
    ConfigResourceType,
    NewTopic,
    TopicAlreadyExistsError,
    admin_client,
)
from schemas.topics import all_topics

_CLIENT_ID = "callstream-topics"
_SET_ON_TOPIC = 1
"""`config_source` of a setting somebody gave this very topic (Kafka protocol, DescribeConfigs)."""
_SAFE_REPLICAS = 3
_SHOWN_WITHIN_S = 20.0
_LOOK_AGAIN_S = 0.05

app = typer.Typer(help="Create and show the topics.", no_args_is_help=True)


@app.command()
def apply(
    partitions: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Partitions of each topic; else as the existing ones, or 24.")
    ] = None,
    prefix: Annotated[str | None, typer.Option(help="Prefix of the names; else TOPIC_PREFIX.")] = None,
    replication_factor: Annotated[
        int | None, typer.Option(min=1, max=100, help="Copies of each new topic; else 3, or as many as brokers.")
    ] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Shorten a retention that is longer than ours.")] = False,
) -> None:
    """Create missing topics and correct settings of existing ones. Never changes a partition count."""
    kafka = settings(prefix)
    for step in asyncio.run(apply_catalogue(kafka, partitions, replication_factor, force=force)):
        typer.echo(line(step))


@app.command("list")
def show(
    prefix: Annotated[str | None, typer.Option(help="Prefix of the names; else TOPIC_PREFIX.")] = None,
) -> None:
    """Show the catalogue's topics as they are on the cluster."""
    kafka = settings(prefix)
    existing = asyncio.run(describe(kafka))
    for name in wanted(all_topics(), kafka.topic_prefix):
        found = existing.get(name)
        if found is None:
            typer.echo(f"{name}: missing")
        else:
            retention = f"retention.ms={found.settings.get('retention.ms')}"
            typer.echo(f"{name}: {found.partitions} partitions, {found.settings.get('cleanup.policy')}, {retention}")


def settings(prefix: str | None) -> KafkaSettings:
    """Return how to reach Kafka, with another topic prefix where one is given. Raises `ConfigError`."""
    changes = {} if prefix is None else {"TOPIC_PREFIX": prefix}
    return load(KafkaSettings, "", changes=changes)


async def apply_catalogue(
    kafka: KafkaSettings, partitions: int | None = None, replication_factor: int | None = None, *, force: bool = False
) -> list[Step]:
    """Bring the topics under the prefix in line with the catalogue, and return what was done.

    Raises `ConfigError` before any change where counts differ, and `Unavailable` when no broker answers.
    """
    async with admin_client(kafka, _CLIENT_ID) as admin:
        topics = wanted(all_topics(), kafka.topic_prefix)
        existing = await _existing(admin, list(topics))
        count = partition_count(existing, partitions)
        steps = plan(topics, existing, count, force=force)
        missing = [step for step in steps if isinstance(step, Create)]
        if missing:
            brokers = len((await admin.describe_cluster())["brokers"])
            await _create(admin, missing, replication_factor or min(brokers, _SAFE_REPLICAS))
        await _alter(admin, [step for step in steps if isinstance(step, Alter)])
        if not all(isinstance(step, Keep) for step in steps):
            await _wait_until_shown(admin, topics, count, force=force)
    return steps


async def describe(kafka: KafkaSettings) -> dict[str, Existing]:
    """Return the catalogue's topics that exist under the prefix. Raises `Unavailable` when no broker answers."""
    async with admin_client(kafka, _CLIENT_ID) as admin:
        return await _existing(admin, list(wanted(all_topics(), kafka.topic_prefix)))


def line(step: Step) -> str:
    """Return what a step did, for a person."""
    match step:
        case Create(name, partitions, _):
            return f"{name}: created with {partitions} partitions"
        case Alter(name, _, changed):
            return f"{name}: set {', '.join(f'{key}={value}' for key, value in sorted(changed.items()))}"
        case Keep(name, remark):
            return f"{name}: {remark or 'as it should be'}"


async def _existing(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, Existing]:
    present = set(await admin.list_topics()).intersection(names)
    if not present:
        return {}
    described = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics(sorted(present))}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in sorted(present)]
    found: dict[str, Existing] = {}
    for answer in await admin.describe_configs(resources):
        for resource in answer.to_object()["resources"]:
            if resource["error_code"] == _UNKNOWN_TOPIC:  # known to one broker, not yet to the one that was asked
                continue
            _refuse(resource["resource_name"], resource["error_code"], resource["error_message"])
            name, entries = resource["resource_name"], resource["config_entries"]
            found[name] = Existing(described[name], _values(entries), _values(entries, _SET_ON_TOPIC))
    return {name: found[name] for name in names if name in found and found[name].partitions}


async def _wait_until_shown(
    admin: AIOKafkaAdminClient, topics: Mapping[str, Mapping[str, str]], partitions: int, *, force: bool
) -> None:
    """Wait until the brokers show what their controller was told. Raises `Unavailable` when that takes too long."""
    try:
        async with asyncio.timeout(_SHOWN_WITHIN_S):
            while not all(  # noqa: ASYNC110 - nobody tells us, we have to ask
                isinstance(step, Keep)
                for step in plan(topics, await _existing(admin, list(topics)), partitions, force=force)
            ):
                await asyncio.sleep(_LOOK_AGAIN_S)
    except TimeoutError:
        message = f"the brokers do not show the topics as they were set after {_SHOWN_WITHIN_S:g} s"
        raise Unavailable(message) from None


def _values(entries: Sequence[Mapping[str, Any]], source: int | None = None) -> dict[str, str]:
    return {
        entry["config_names"]: entry["config_value"]
        for entry in entries
        if entry["config_value"] is not None and source in {None, entry["config_source"]}
    }


async def _create(admin: AIOKafkaAdminClient, steps: Sequence[Create], replication_factor: int) -> None:
    answer = await admin.create_topics(
        [NewTopic(step.name, step.partitions, replication_factor, topic_configs=dict(step.settings)) for step in steps]
    )
    for topic in answer.to_object()["topic_errors"]:
        # somebody else may be starting the same deployment
        if topic["error_code"] != TopicAlreadyExistsError.errno:
            _refuse(topic["topic"], topic["error_code"], topic.get("error_message"))


async def _alter(admin: AIOKafkaAdminClient, steps: Sequence[Alter]) -> None:
    if not steps:
        return
    answers = await admin.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, step.name, dict(step.settings)) for step in steps]
    )
    for answer in answers:
        for resource in answer.to_object()["resources"]:
            _refuse(resource["resource_name"], resource["error_code"], resource["error_message"])


_UNKNOWN_TOPIC = 3
_RETRIABLE = frozenset({5, 6, 7, 41})
"""Codes that pass by themselves: leader missing or moved, timed out, controller moved (Kafka protocol, error codes)."""


def _refuse(name: str, code: int, message: str | None) -> None:
    if code in _RETRIABLE:
        text = f"{name}: the cluster is busy, code {code}"
        raise Unavailable(text)
    if code:
        text = f"{name}: the cluster refuses, code {code}: {message or 'no reason given'}"
        raise ConfigError([text])
