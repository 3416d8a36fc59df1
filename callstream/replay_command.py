"""`callstream replay`: components once more over what the topics still hold, under a prefix of the replay's own."""

import asyncio
import os
import re
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Annotated, Any

import typer

from callstream.audited import Deed, audited
from callstream.replay import topics
from callstream.replay.components import names, recording_settings
from callstream.replay.progress import Telling, telling
from callstream.replay.recording_stage import remove_everything
from callstream.replay.run import KIND, Order, Result, replay
from callstream.replay.span import Wanted, epoch_ms, moment, place
from runtime.config import KafkaSettings, RegistrySettings, load
from runtime.errors import ConfigError
from runtime.log import configure
from schemas.symbols import AuditAction
from schemas.topics import RECORDINGS

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_INTERRUPTED = 130
_PRIVATE = 0o077
_MORE_TO_REMOVE = "`callstream replay --remove --name {}` removes what is left"
_TIME = "ISO 8601, of this machine's local time unless it has an offset; by the broker's clock"


def command(  # noqa: PLR0913 - one parameter per option
    components: Annotated[
        list[str] | None, typer.Argument(help=f"Which: {', '.join(names())}.", show_default=False)
    ] = None,
    *,
    name: Annotated[str, typer.Option(help="Of a-z, 0-9 and hyphens; outputs go under replay.NAME.")],
    begin: Annotated[
        str | None, typer.Option("--from", help=f"From this time on ({_TIME}); else from the log's beginning.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="Before this time, or time of the same day; else to where the log ends.")
    ] = None,
    from_offset: Annotated[
        list[str] | None, typer.Option(metavar="P:O", help="From offset O of partition P on; only these partitions.")
    ] = None,
    to_offset: Annotated[list[str] | None, typer.Option(metavar="P:O", help="Before offset O of partition P.")] = None,
    conversation: Annotated[str | None, typer.Option(help="Keep only this conversation's outputs.")] = None,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Compare with the live outputs of calls that opened then; 1 if they differ."),
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep topics and recordings.")] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove what a replay of this name left, and do no more.")
    ] = False,
) -> None:
    """Run components again over what the topics hold, beside the live ones, and compare.

    Ends by itself where the log ended at the start. Calls running at the beginning are read from their own.
    """
    if not _NAME.fullmatch(name):
        message = "takes a-z, 0-9 and hyphens, 63 at most"
        raise typer.BadParameter(message, param_hint="--name")
    kafka, registry = load(KafkaSettings, ""), load(RegistrySettings, "")
    _prepare_process()
    if remove:
        for line in _interruptible(removed(kafka, registry, name), _MORE_TO_REMOVE.format(name)):
            typer.echo(line)
        return
    order = Order(
        tuple(dict.fromkeys(components or ())),
        name,
        _wanted(begin, end, from_offset or [], to_offset or []),
        conversation,
        compare,
        keep,
    )
    _check(order)
    with telling() as tell:
        left = _MORE_TO_REMOVE.format(name) if keep else "nothing is left behind"
        result = _interruptible(replay(kafka, registry, order, tell), left)
        _tell(order, result, tell)
    if result.equal is False:
        raise typer.Exit(1)


async def removed(kafka: KafkaSettings, registry: RegistrySettings, name: str) -> list[str]:
    """Remove what a replay left, audited; return it. Raises `ConfigError`, `Unavailable`."""
    prefix = f"replay.{name}."
    target = load(KafkaSettings, "", changes={"TOPIC_PREFIX": prefix})
    found = await topics.existing(target)
    if not found:
        message = f"{name}: there is no replay of that name"
        raise ConfigError([message])
    async with audited(kafka, registry, Deed(AuditAction.REPLAY, KIND, name, {"removed": " ".join(found)})):
        if f"{prefix}{RECORDINGS.name}" in found:
            await asyncio.to_thread(remove_everything, recording_settings(prefix), prefix.rstrip("."))
        await topics.remove(target, found)
    return [f"removed {topic}" for topic in found]


def _prepare_process() -> None:
    configure("warning", "console")
    # what is recorded again is audio: for its own user only, as in the service
    os.umask(_PRIVATE)


def _check(order: Order) -> None:
    if not order.components:
        message = f"name at least one of {', '.join(names())}"
        raise typer.BadParameter(message, param_hint="COMPONENTS")
    if order.compare and "cognigy" in order.components:
        message = "a bot need not give the same answers again, so cognigy cannot be compared"
        raise typer.BadParameter(message, param_hint="--compare")


def _wanted(begin: str | None, end: str | None, firsts: list[str], ends: list[str]) -> Wanted:
    if (firsts or ends) and (begin or end):
        message = "either times or offsets"
        raise typer.BadParameter(message, param_hint="--from-offset")
    places = tuple(_place(text, "--from-offset") for text in firsts)
    stops = tuple(_place(text, "--to-offset") for text in ends)
    extra = {partition for partition, _ in stops} - {partition for partition, _ in places}
    if extra or len(dict(places)) < len(places) or len(dict(stops)) < len(stops):
        message = "each partition once, and only those with a --from-offset"
        raise typer.BadParameter(message, param_hint="--to-offset")
    try:
        since = moment(begin) if begin else None
        until = moment(end, since) if end else None
    except ValueError:
        message = "is no time like 2026-11-21T10:00 or 2026-11-21T10:00+01:00"
        raise typer.BadParameter(message, param_hint="--from, --to") from None
    if since and until and until <= since:
        message = "is not after --from"
        raise typer.BadParameter(message, param_hint="--to")
    return Wanted(epoch_ms(since) if since else None, epoch_ms(until) if until else None, places, stops)


def _place(text: str, option: str) -> tuple[int, int]:
    try:
        return place(text)
    except ValueError:
        message = f"{text!r} is no PARTITION:OFFSET"
        raise typer.BadParameter(message, param_hint=option) from None


def _tell(order: Order, result: Result, tell: Telling) -> None:
    for topic, count in sorted(result.outputs.items()):
        tell.say(f"{order.prefix}{topic}: {count} records")
    state = "kept" if order.keep else "removed; --keep keeps them"
    tell.say(f"{result.records} records replayed; topics {state}")


def _interruptible(work: Coroutine[Any, Any, Any], left: str) -> Any:
    """Run to the end, or until a signal, which lets the work clean up first."""
    with suppress(asyncio.CancelledError):
        return asyncio.run(_until_signal(work))
    typer.echo(f"interrupted; {left}", err=True)
    raise typer.Exit(_INTERRUPTED)


async def _until_signal(work: Coroutine[Any, Any, Any]) -> Any:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    stopping = False

    def stop() -> None:
        # a second signal must not keep the first from cleaning up
        nonlocal stopping
        if not stopping and task is not None:
            stopping = True
            task.cancel()

    with suppress(RuntimeError, ValueError):  # only the main thread hears signals
        for number in numbers:
            loop.add_signal_handler(number, stop)
    return await work
