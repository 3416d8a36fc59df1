"""`callstream dead-letters`: the records no service could take, listed, shown, exported and dropped."""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from callstream.audited import Deed, audited
from callstream.dead_letters import DeadLetter, beside, facts, newest_of, schema_id, since_ms, table
from callstream.dead_letters_topic import DeadLetterTopics, dead_letter_topics
from runtime.clock import SystemClock
from runtime.config import KafkaSettings, RegistrySettings, load
from runtime.errors import ConfigError
from runtime.registry import Registry
from schemas.codec import SchemaStore
from schemas.symbols import AuditAction
from schemas.topics import GROUPS

_KIND = "dead letter"
_MOST_BYTES = 4096

app = typer.Typer(
    help="List, show, export and drop dead letters. None is ever written back: ingest alone writes calls.audio, "
    "where a record's session and sequence are its identity, and what it missed has been stepped over.",
    no_args_is_help=True,
)

_Group = Annotated[str, typer.Argument(help=f"The consumer group: {', '.join(sorted(GROUPS))}.")]
_Partition = Annotated[int, typer.Argument(min=0, help="Partition of the dead-letter topic.")]
_Offset = Annotated[int, typer.Argument(min=0, help="Offset there, as `list` names it.")]


@app.command("list")
def show_list(
    group: Annotated[str | None, typer.Option(help="Only this consumer group's.")] = None,
    since: Annotated[str | None, typer.Option(help="An age (90s, 30m, 2h, 7d) or a time (ISO 8601).")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The newest so many.")] = 50,
) -> None:
    """List dead letters by their headers: when the record was written, where it stood, which step failed, and why."""
    now_ms = int(SystemClock().wall_s() * 1000)
    try:
        from_ms = None if since is None else since_ms(since, now_ms)
    except ValueError:
        message = "is no age like 90s, 30m, 2h or 7d and no time"
        raise typer.BadParameter(message, param_hint="--since") from None
    letters = asyncio.run(listed(_kafka(), [group] if group else sorted(GROUPS), from_ms, limit))
    for line in table(letters):
        typer.echo(line)


@app.command()
def show(
    group: _Group,
    partition: _Partition,
    offset: _Offset,
    *,
    first_bytes: Annotated[
        int,
        typer.Option("--bytes", min=0, max=_MOST_BYTES, help="So many first bytes in hexadecimal, personal or not."),
    ] = 0,
    content: Annotated[bool, typer.Option("--content", help="Personal values too.")] = False,
) -> None:
    """Show one dead letter: headers, length, digest, and what can be read of it. Audited."""
    for name, text in asyncio.run(
        shown(_kafka(), _registry(), (group, partition, offset), first_bytes=first_bytes, content=content)
    ):
        typer.echo(f"{name + ':':32} {text}")


@app.command()
def export(group: _Group, folder: Annotated[Path, typer.Argument(help="An empty or new folder.")]) -> None:
    """Write each dead letter's bytes to a file, with its headers as JSON beside it. Audited; for your eyes only."""
    typer.echo(f"{asyncio.run(exported(_kafka(), _registry(), group, folder))} dead letters in {folder}")


@app.command()
def drop(
    group: _Group,
    *,
    before: Annotated[int | None, typer.Option(min=0, help="Those before this offset of --partition.")] = None,
    partition: Annotated[int | None, typer.Option(min=0, help="Only of this partition.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All there are now.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Really; without it only says what would go.")] = False,
) -> None:
    """Delete dead letters for ever. Audited."""
    if (before is None) != everything:
        message = "either --before OFFSET or --all"
        raise typer.BadParameter(message)
    if before is not None and partition is None:
        message = "is needed with --before: offsets count per partition"
        raise typer.BadParameter(message, param_hint="--partition")
    plan = asyncio.run(dropped(_kafka(), _registry(), group, partition, before, really=yes))
    for number, (first, end) in plan.items():
        typer.echo(f"{group}/{number}: {'dropped' if yes else 'would drop'} offsets {first} to {end - 1}")
    if not plan:
        typer.echo("nothing to drop")
    elif not yes:
        typer.echo("nothing was dropped; say --yes to drop", err=True)
        raise typer.Exit(1)


async def listed(kafka: KafkaSettings, groups: list[str], from_ms: int | None, limit: int) -> list[DeadLetter]:
    """Return the newest letters, oldest first. Raises `ConfigError`, `Unavailable`."""
    kept: dict[tuple[str, int], list[DeadLetter]] = defaultdict(list)

    def take(letter: DeadLetter) -> None:
        if from_ms is None or letter.timestamp_ms >= from_ms:
            newest = kept[letter.group, letter.partition]
            newest.append(replace(letter, value=None))  # no table shows it
            if len(newest) > 2 * limit:
                newest[:] = newest_of(newest, limit)

    async with dead_letter_topics(kafka, groups) as topics:
        await topics.each(take)
    return newest_of((letter for letters in kept.values() for letter in letters), limit)


async def shown(
    kafka: KafkaSettings,
    registry: RegistrySettings,
    place: tuple[str, int, int],
    *,
    first_bytes: int = 0,
    content: bool = False,
) -> list[tuple[str, str]]:
    """Return the facts of the letter at (group, partition, offset), audited before it is read.

    Raises `ConfigError` where there is none, `Unavailable`.
    """
    group, partition, offset = place
    details = {"bytes": str(first_bytes), "content": str(content).lower()}
    deed = Deed(AuditAction.DEAD_LETTER_SHOWN, _KIND, f"{group}/{partition}/{offset}", details)
    async with _existing(kafka, group) as topics, audited(kafka, registry, deed):
        letter = await topics.one(group, partition, offset)
        store = await _readable(letter, registry)
        return list(facts(letter, store, topic_prefix=kafka.topic_prefix, first_bytes=first_bytes, content=content))


async def exported(kafka: KafkaSettings, registry: RegistrySettings, group: str, folder: Path) -> int:
    """Write every letter of a group into a folder, audited before; return how many.

    Raises `ConfigError` where the folder cannot be used, `Unavailable`.
    """
    deed = Deed(AuditAction.DEAD_LETTER_EXPORTED, _KIND, group, {"folder": _prepared(folder)})
    count = 0

    def take(letter: DeadLetter) -> None:
        nonlocal count
        name = f"{letter.group}.{letter.partition}.{letter.offset}"
        _write_private(folder / f"{name}.bin", letter.value or b"")
        _write_private(folder / f"{name}.json", beside(letter).encode())
        count += 1

    async with _existing(kafka, group) as topics, audited(kafka, registry, deed) as more:
        await topics.each(take)
        more["letters"] = str(count)
    return count


async def dropped(  # noqa: PLR0913 - which cluster, which letters, and whether
    kafka: KafkaSettings,
    registry: RegistrySettings,
    group: str,
    partition: int | None,
    before: int | None,
    *,
    really: bool,
) -> dict[int, tuple[int, int]]:
    """Return partition → the span of offsets to go: those before an offset, or all there are. Delete them, audited.

    Without `really` nothing is deleted. Raises `ConfigError` for an offset beyond the end, `Unavailable`.
    """
    async with _existing(kafka, group) as topics:
        numbers = range(len(topics.spans[group])) if partition is None else [partition]
        plan = {}
        for number in numbers:
            first, end = topics.span(group, number)
            if before is not None and before > end:
                message = f"{group}/{number}: ends at offset {end}, before {before}"
                raise ConfigError([message])
            if first < (stop := end if before is None else before):
                plan[number] = (first, stop)
        if plan and really:
            spans = {f"partition {number}": f"{first} to {stop - 1}" for number, (first, stop) in plan.items()}
            async with audited(kafka, registry, Deed(AuditAction.DEAD_LETTER_DROPPED, _KIND, group, spans)):
                await topics.delete(group, {number: stop for number, (_, stop) in plan.items()})
    return plan


def _kafka() -> KafkaSettings:
    return load(KafkaSettings, "")


def _registry() -> RegistrySettings:
    return load(RegistrySettings, "")


@asynccontextmanager
async def _existing(kafka: KafkaSettings, group: str) -> AsyncIterator[DeadLetterTopics]:
    """Yield the group's topic. Raises `ConfigError` where it does not exist."""
    async with dead_letter_topics(kafka, [group]) as topics:
        if group not in topics.spans:
            message = f"{group}: its dead-letter topic is missing; run `callstream topics apply`"
            raise ConfigError([message])
        yield topics


async def _readable(letter: DeadLetter, settings: RegistrySettings) -> SchemaStore:
    """Return the schemas that reading a letter takes."""
    store, registry = SchemaStore(), Registry(settings)
    try:
        written_with = schema_id(letter)
        if written_with is not None:
            await registry.resolve([written_with], store)
    finally:
        await registry.close()
    return store


def _prepared(folder: Path) -> str:
    """Make the folder, and return where it is. Raises `ConfigError` where it is not empty or cannot be made."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        used = any(folder.iterdir())
    except OSError as error:
        message = f"{folder}: cannot be used: {error.strerror}"
        raise ConfigError([message]) from error
    if used:
        message = f"{folder}: is not empty"
        raise ConfigError([message])
    return str(folder.resolve())


def _write_private(path: Path, data: bytes) -> None:
    """Write a new file that only its owner may read, whatever the umask says."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
