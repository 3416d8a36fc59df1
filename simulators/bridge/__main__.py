"""The command: `python -m simulators.bridge --port 3914 --app app`: a bot that repeats what it hears, until Ctrl-C."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from simulators.bridge.server import BridgeServer
from simulators.websocket_server.server import LOOPBACK, token_check, until_told


def main(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = LOOPBACK,
    port: Annotated[int, typer.Option(min=0, help="0: any free port.")] = 3914,
    app: Annotated[str, typer.Option(help="The app's id.")] = "app",
    token_file: Annotated[Path | None, typer.Option(help="Holds the only valid token; without it any is.")] = None,
) -> None:
    """Answer calls as a bot behind an AppFoundry application would."""
    asyncio.run(_serve(BridgeServer(app, is_valid=token_check(token_file)), port, host))


async def _serve(server: BridgeServer, port: int, host: str) -> None:
    async with server.serving(port, host) as url:
        Console(soft_wrap=True).print(f"bridge at {url}{server.path('<conversation id>')}")
        await until_told()


if __name__ == "__main__":
    typer.run(main)
