"""`callstream state`: what an operator does about the state of a processor that cannot go on by itself."""

import asyncio
from typing import Annotated

import typer

from callstream.audited import Deed, audited
from runtime.checkpoint import Application, ChangelogReader, Restored, reset
from runtime.config import KafkaSettings, RegistrySettings, load
from runtime.errors import ConfigError, StateCorrupted
from runtime.kafka import TopicPartition, partition_counts
from runtime.registry import Registry
from schemas.codec import SchemaStore
from schemas.symbols import AuditAction
from schemas.topics import GROUPS

_KIND = "state"
_STATEFUL = sorted(group for group, (_, kind) in GROUPS.items() if kind == "changelog")

app = typer.Typer(help="Show and reset the state that a processor restores a partition from.", no_args_is_help=True)

_Group = Annotated[str, typer.Argument(help=f"The consumer group: {', '.join(_STATEFUL)}.")]
_Partition = Annotated[int, typer.Argument(min=0, help="Partition of the input.")]


@app.command()
def show(group: _Group, partition: _Partition) -> None:
    """Show the newest state of a partition: its place in the changelog, its version, position and size."""
    found = asyncio.run(shown(load(KafkaSettings, ""), load(RegistrySettings, ""), group, partition))
    typer.echo(described(group, partition, found))


@app.command("reset")
def reset_state(
    group: _Group,
    partition: _Partition,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Really; without it only says what would go.")] = False,
) -> None:
    """Make a partition begin anew at its log's first offset with an empty state. A running worker follows. Audited.

    What was counted of calls under way is lost; outputs of records that were processed before are written again.
    """
    kafka, registry = load(KafkaSettings, ""), load(RegistrySettings, "")
    if yes:
        asyncio.run(begun_anew(kafka, registry, group, partition))
        typer.echo(f"{group}/{partition}: begins anew at its log's first offset")
        return
    typer.echo(described(group, partition, asyncio.run(shown(kafka, registry, group, partition))))
    typer.echo("nothing was reset; say --yes to reset", err=True)
    raise typer.Exit(1)


async def shown(kafka: KafkaSettings, registry: RegistrySettings, group: str, partition: int) -> Restored | str:
    """Return what the changelog holds of a partition, or why it cannot be read. Raises `ConfigError`, `Unavailable`."""
    application = Application(group, kafka.topic_prefix)
    await _check(kafka, application, partition)
    store = SchemaStore()
    client = Registry(registry)
    reader = ChangelogReader(kafka, application, store)
    try:
        await client.prepare(store)
        return await reader.read(GROUPS[group][0], partition)
    except StateCorrupted as error:
        return str(error)
    finally:
        await reader.close()
        await client.close()


def described(group: str, partition: int, found: Restored | str) -> str:
    """Return one line about what the changelog holds."""
    place = f"{group}/{partition}:"
    if isinstance(found, str):
        return f"{place} {found}"
    if found.entry is None:
        return f"{place} no state" + (f", reset at offset {found.offset}" if found.offset >= 0 else "")
    entry = found.entry
    return (
        f"{place} state version {entry.version}, {len(entry.state)} bytes, position {entry.position}, settings "
        f"{entry.settings_hash}, at offset {found.offset} of the changelog"
    )


async def begun_anew(
    kafka: KafkaSettings, registry: RegistrySettings, group: str, partition: int, input_topic: str | None = None
) -> None:
    """Declare the state of a partition gone, audited before. Raises `ConfigError`, `Unavailable`."""
    application = Application(group, kafka.topic_prefix)
    await _check(kafka, application, partition)
    topic = input_topic or GROUPS[group][0]
    deed = Deed(AuditAction.CONFIGURATION, _KIND, f"{application.application_id}/{partition}", {"deed": "reset"})
    async with audited(kafka, registry, deed):
        await reset(kafka, application, TopicPartition(topic, partition))


async def _check(kafka: KafkaSettings, application: Application, partition: int) -> None:
    if application.group not in _STATEFUL:
        message = f"{application.group}: no group with a state; there are {', '.join(_STATEFUL)}"
        raise ConfigError([message])
    topic = application.changelog_topic
    count = (await partition_counts(kafka, [topic])).get(topic, 0)
    if partition >= count:
        message = f"{topic}: has {count} partitions, and {partition} is none of them"
        raise ConfigError([message])
