"""`callstream follow`: which calls ingest dials, asked for, taken back and listed."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import typer

from callstream.audited import Deed, actor, audited
from callstream.follow_list import LAST_US, as_json, table, when
from ingest.config import IngestSettings
from ingest.dialling import LONGEST_ID_CHARACTERS
from ingest.identity import one_spelling
from ingest.publishing import Standing, SubscriptionsTopic
from ingest.table import DIALLED
from ingest.wishes import FILE, SETTINGS, Change, call_of, keyed, moment_us
from runtime.clock import SystemClock
from runtime.config import KafkaSettings, RegistrySettings, load, prefix_of
from runtime.errors import ConfigError
from runtime.registry import Registry
from schemas.codec import SchemaStore
from schemas.records import Subscription
from schemas.symbols import AuditAction

_KIND = "subscription"
_CLIENT_ID = "callstream-follow"
_SPAN = re.compile(r"(\d+)([smhd])")
_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

app = typer.Typer(
    help="Say which calls ingest follows by connecting to their source. Exactly one ingest process follows each.",
    no_args_is_help=True,
)

_Conversation = Annotated[str, typer.Argument(help="The conversation's id.")]


@app.command()
def add(  # noqa: PLR0913 - one argument per field
    conversation: _Conversation,
    *,
    source: Annotated[str, typer.Option(help=f"The source: {', '.join(sorted(DIALLED))}.")],
    connection_id: Annotated[
        str | None, typer.Option(help="The platform's id of the media connection or WebSocket, where it needs one.")
    ] = None,
    codec: Annotated[list[str] | None, typer.Option(help="A codec to ask for; the best first.")] = None,
    parameter: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, as the source understands it.")] = None,
    organisation: Annotated[str | None, typer.Option(help="The organisation the call belongs to.")] = None,
    queue: Annotated[str | None, typer.Option(help="Its queue.")] = None,
    agent: Annotated[str | None, typer.Option(help="Its agent.")] = None,
    expires: Annotated[
        str | None, typer.Option(help="Until when: a span from now (90s, 30m, 2h, 7d) or a time (ISO 8601).")
    ] = None,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Also where the INGEST_ settings of this environment would refuse it.")
    ] = False,
) -> None:
    """Ask for a call, or for a changed one. Audited."""
    now_us = round(SystemClock().wall_s() * 1e6)
    wish = Subscription(
        conversation_id=one_spelling(conversation),
        source_name=source,
        connection_id=connection_id,
        codec_preferences=tuple(codec or ()),
        organisation=organisation,
        queue=queue,
        agent=agent,
        requested_by=f"operator {actor()}",
        requested_at_us=now_us,
        expires_at_us=_expiry(expires, now_us),
        parameters=_parameters(parameter or []),
    )
    _check(wish, unchecked=unchecked)
    key = asyncio.run(added(load(KafkaSettings, ""), load(RegistrySettings, ""), wish))
    until = f" until {when(wish.expires_at_us)}" if wish.expires_at_us >= 0 else ""
    typer.echo(f"{key}: asked for from {source}{until}")


@app.command()
def remove(
    conversation: _Conversation,
    *,
    source: Annotated[str | None, typer.Option(help="Only from this source; else from all.")] = None,
) -> None:
    """Take a call back, whoever asked for it: its session ends. Audited."""
    gone = asyncio.run(removed(load(KafkaSettings, ""), load(RegistrySettings, ""), conversation, source))
    for one in gone:
        typer.echo(f"{one.key}: taken back")
        if isinstance(one.wish, Subscription) and one.wish.requested_by in {SETTINGS, FILE}:
            typer.echo(f"{one.key}: ingest's {one.wish.requested_by} still names it and may ask again", err=True)


@app.command("list")
def show_list(
    *, json_: Annotated[bool, typer.Option("--json", help="As a JSON array, with all fields.")] = False
) -> None:
    """List the calls that are asked for, those that cannot be read too."""
    standing = asyncio.run(listed(load(KafkaSettings, ""), load(RegistrySettings, "")))
    now_us = round(SystemClock().wall_s() * 1e6)
    if json_:
        typer.echo(as_json(standing, now_us))
        return
    for line in table(standing, now_us):
        typer.echo(line)


async def added(kafka: KafkaSettings, registry: RegistrySettings, wish: Subscription) -> str:
    """Write a wish, audited before; return its key. Raises `ConfigError`, `Unavailable`."""
    async with _topic(kafka, registry) as topic:
        before, partitions = await topic.read()
        ((key, spelled),) = keyed([wish], before).items()
        details = {"asked": "follow", "source": wish.source_name, "expires": when(wish.expires_at_us) or "never"}
        async with audited(kafka, registry, Deed(AuditAction.CONFIGURATION, _KIND, key, details)):
            await topic.write([Change(key, spelled.conversation_id, spelled)], partitions)
    return key


async def removed(
    kafka: KafkaSettings, registry: RegistrySettings, conversation: str, source: str | None
) -> list[Standing]:
    """Write a tombstone for each record that asks for a conversation, or has its id as key, audited before.

    Raises `ConfigError` where there is none, `Unavailable`.
    """
    wanted = one_spelling(conversation)
    async with _topic(kafka, registry) as topic:
        standing, partitions = await topic.standing()
        gone = [one for one in standing if _names(one, conversation, wanted) and source in {None, _source(one)}]
        if not gone:
            message = f"{wanted}: nobody asks for it" + (f" from {source}" if source else "")
            raise ConfigError([message])
        details = {"asked": "stop", "records": " ".join(one.key for one in gone)}
        async with audited(kafka, registry, Deed(AuditAction.CONFIGURATION, _KIND, wanted, details)):
            await topic.write([Change(one.key, wanted, None, one.partition) for one in gone], partitions)
    return gone


async def listed(kafka: KafkaSettings, registry: RegistrySettings) -> list[Standing]:
    """Return what is asked for. Raises `Unavailable`."""
    async with _topic(kafka, registry) as topic:
        return (await topic.standing())[0]


@asynccontextmanager
async def _topic(kafka: KafkaSettings, registry: RegistrySettings) -> AsyncIterator[SubscriptionsTopic]:
    store, client = SchemaStore(), Registry(registry)
    try:
        await client.prepare(store)
        yield SubscriptionsTopic(kafka, client, store, _CLIENT_ID)
    finally:
        await client.close()


def _names(one: Standing, conversation: str, wanted: str) -> bool:
    if isinstance(one.wish, Subscription):
        return one_spelling(one.wish.conversation_id) == wanted
    return one.key in {conversation, wanted}


def _source(one: Standing) -> str | None:
    return one.wish.source_name if isinstance(one.wish, Subscription) else None


def _check(wish: Subscription, *, unchecked: bool) -> None:
    """Refuse what no ingest could follow, and what one with the settings of this environment would not."""
    if wish.source_name not in DIALLED:
        message = f"{wish.source_name!r} is none of {', '.join(sorted(DIALLED))}"
        raise typer.BadParameter(message, param_hint="--source")
    if not 0 < len(wish.conversation_id) <= LONGEST_ID_CHARACTERS:
        message = f"is not of 1 to {LONGEST_ID_CHARACTERS} characters"
        raise typer.BadParameter(message, param_hint="CONVERSATION")
    if unchecked:
        return
    settings = load(IngestSettings, prefix_of("ingest"))
    refusal = DIALLED[wish.source_name](settings).refuse(call_of(wish))
    if refusal is not None:
        message = f"{wish.conversation_id}: {refusal}, by the settings here; --unchecked asks for it all the same"
        raise ConfigError([message])


def _expiry(text: str | None, now_us: int) -> int:
    if text is None:
        return -1
    try:
        span = _SPAN.fullmatch(text)
        at_us = now_us + int(span[1]) * _UNIT_S[span[2]] * 1_000_000 if span else moment_us(text)
    except ValueError as mistake:
        message = f"{mistake}, and no span like 90s, 30m, 2h or 7d"
        raise typer.BadParameter(message, param_hint="--expires") from None
    if not now_us < at_us <= LAST_US:
        message = f"{text!r} is over" if at_us <= now_us else f"{text!r} is beyond the year 9999"
        raise typer.BadParameter(message, param_hint="--expires")
    return at_us


def _parameters(texts: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for text, (name, equals, _) in zip(texts, pairs, strict=True):
        if not name or not equals:
            message = f"{text!r} is no NAME=VALUE"
            raise typer.BadParameter(message, param_hint="--parameter")
    return {name: value for name, _, value in pairs}
