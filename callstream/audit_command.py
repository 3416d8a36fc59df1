"""`callstream audit verify`: reads an audit log from its first line and names the first thing that is wrong."""

import asyncio
from typing import Annotated

import typer

from runtime.errors import CallstreamError
from sinks.audit_log.chain import HEAD_NAME, Head
from sinks.audit_log.verification import BrokenChain, Kind, Summary, Verifier, parse_head
from sinks.audit_log.writer import Objects

app = typer.Typer(help="Check the audit log.", no_args_is_help=True)


@app.callback()
def audit() -> None:
    """Check the audit log."""


@app.command()
def verify(
    store: Annotated[
        str, typer.Argument(envvar="AUDIT_LOG_STORE_URL", help="Folder or URL of the log.")
    ] = "data/audit",
    heads: Annotated[
        str, typer.Option(envvar="AUDIT_LOG_HEADS_URL", help="Folder or URL of its head.")
    ] = "data/audit-heads",
    *,
    without_head: Annotated[
        bool, typer.Option(help="Check the log alone; a cut-off end or a log made anew then cannot be found.")
    ] = False,
) -> None:
    """Find an edit, a deletion, an insertion, a swap, a repeat, a truncation, a fork or a foreign file.

    Ends with 0 when all lines are as they were written, with 1 and the place of the first fault when not.
    """
    try:
        summary = asyncio.run(check(store, None if without_head else heads))
    except (BrokenChain, CallstreamError) as error:
        typer.echo(f"NOT verified: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(str(summary))


async def check(store: str, heads: str | None) -> Summary:
    """Verify a log. Raises `BrokenChain` for its first fault, `CallstreamError` where it cannot be read.

    The log may be written to meanwhile: the head is read first, then the names, then the objects.
    """
    log = Objects(store, create=False)
    head = None if heads is None else await _head(heads)
    verifier = Verifier(head, [name async for name in log.names()])
    while (data := await log.read(verifier.expected)) is not None:
        verifier.check(data)
    return verifier.finish()


async def _head(heads: str) -> Head:
    kept = await Objects(heads, create=False).read(HEAD_NAME)
    if kept is None:
        raise BrokenChain(Kind.HEAD, 0, HEAD_NAME, f"{heads} holds no head, so that a cut-off end would not show")
    return parse_head(kept)
