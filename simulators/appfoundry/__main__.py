"""The command: `python -m simulators.appfoundry --port 3911 --app app-1 --socket socket-1 --audio`.

Each WebSocket plays one speaker's lines of the shipped conversation, once, from its first connection on; with `--audio`
what was spoken too. SIGTERM or Ctrl-C ends it. Exit code 0, or 2 for a wrong command line.
"""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from simulators.appfoundry import script
from simulators.appfoundry.server import IDLE_LIMIT_S, AppFoundryServer
from simulators.live_call.player import LivePlayer
from simulators.live_call.script import disturbed
from simulators.websocket_server.server import LOOPBACK, token_check, until_told


def main(  # noqa: PLR0913, PLR0917 - one argument per option
    host: Annotated[str, typer.Option(help="Address to listen on.")] = LOOPBACK,
    port: Annotated[int, typer.Option(min=0, help="0: any free port.")] = 3911,
    app: Annotated[str, typer.Option(help="The app's id.")] = "app",
    sockets: Annotated[list[str] | None, typer.Option("--socket", help="A WebSocket's id; repeatable.")] = None,
    channel: Annotated[str, typer.Option(help="external or internal: whose lines are transcribed.")] = "external",
    audio: Annotated[bool, typer.Option("--audio", help="Send the sound beside the words.")] = False,
    speed: Annotated[float, typer.Option(min=0.01, help="Seconds of the conversation per second.")] = 1.0,
    token_file: Annotated[Path | None, typer.Option(help="Holds the only valid token; without it any is.")] = None,
    idle_limit_s: Annotated[float, typer.Option(min=0, help="Close after so long without a ping.")] = IDLE_LIMIT_S,
    report: Annotated[Path | None, typer.Option(help="Write what was sent and received as JSON at the end.")] = None,
) -> None:
    """Transcribe calls as the AppFoundry WebSocket would."""
    try:
        timelines = dict.fromkeys(sockets or ["socket"], script.spoken(channel))
    except ValueError as mistake:
        raise typer.BadParameter(str(mistake)) from None
    calls = {one: LivePlayer(disturbed(channel), speed=speed) for one in timelines} if audio else {}
    server = AppFoundryServer(
        app, timelines, is_valid=token_check(token_file), speed=speed, idle_limit_s=idle_limit_s, calls=calls
    )
    asyncio.run(_serve(server, list(timelines), port, host))
    if report is not None:
        report.write_text(json.dumps(server.as_json(), indent=1) + "\n")


async def _serve(server: AppFoundryServer, sockets: list[str], port: int, host: str) -> None:
    async def play(websocket_id: str) -> None:
        await server.connected(websocket_id)
        await server.play(websocket_id)

    async with server.serving(port, host) as url, asyncio.TaskGroup() as group:
        Console(soft_wrap=True).print(f"appfoundry at {' '.join(url + server.path(one) for one in sockets)}")
        players = [group.create_task(play(websocket_id)) for websocket_id in sockets]
        await until_told()
        for player in players:
            player.cancel()


if __name__ == "__main__":
    typer.run(main)
