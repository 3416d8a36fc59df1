"""The command: `python -m simulators.media_websocket --connection connection-1 --cut-at 5 --backlog 3`.

Each media connection is a channel of the shipped conversation and starts with its first subscription. SIGTERM or Ctrl-C
ends it. Exit code 0, or 2 for a wrong command line.
"""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from simulators.live_call.player import LivePlayer
from simulators.live_call.script import disturbed
from simulators.media_websocket.server import PATH, MediaWebSocketServer
from simulators.websocket_server.server import LOOPBACK, token_check, until_told


def main(  # noqa: PLR0913, PLR0917 - one argument per option
    host: Annotated[str, typer.Option(help="Address to listen on.")] = LOOPBACK,
    port: Annotated[int, typer.Option(min=0, help="0: any free port.")] = 3912,
    connections: Annotated[
        list[str] | None, typer.Option("--connection", help="A media connection; repeatable.")
    ] = None,
    channel: Annotated[str, typer.Option(help="external or internal: what the calls sound like.")] = "external",
    speed: Annotated[float, typer.Option(min=0.01, help="Media seconds per second.")] = 1.0,
    cut_at: Annotated[list[float] | None, typer.Option(help="Cut connections at that second; repeatable.")] = None,
    backlog: Annotated[float, typer.Option(min=0, help="Seconds of audio kept while nobody listens.")] = 0.0,
    reorder: Annotated[int, typer.Option(min=0, help="Chunks of each call that are late.")] = 0,
    duplicates: Annotated[int, typer.Option(min=0, help="Chunks of each call that come twice.")] = 0,
    acknowledges: Annotated[bool, typer.Option(help="Whether subscriptions are answered.")] = True,
    token_file: Annotated[Path | None, typer.Option(help="Holds the only valid token; without it any is.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write what was seen and sent as JSON at the end.")] = None,
) -> None:
    """Stream calls as the media WebSocket would."""
    try:
        plan = disturbed(channel, cuts_s=cut_at or (), backlog_s=backlog, reordered=reorder, duplicates=duplicates)
    except ValueError as mistake:
        raise typer.BadParameter(str(mistake)) from None
    calls = {name: LivePlayer(plan, speed=speed) for name in connections or ["connection"]}
    server = MediaWebSocketServer(calls, is_valid=token_check(token_file), acknowledges=acknowledges)
    asyncio.run(_serve(server, port, host))
    if report is not None:
        report.write_text(json.dumps(server.as_json(), indent=1) + "\n")


async def _serve(server: MediaWebSocketServer, port: int, host: str) -> None:
    async with server.serving(port, host) as url:
        Console(soft_wrap=True).print(f"media WebSocket at {url}{PATH}: {', '.join(server.calls)}")
        await until_told()


if __name__ == "__main__":
    typer.run(main)
