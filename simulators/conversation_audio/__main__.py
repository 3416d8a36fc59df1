"""The command: `python -m simulators.conversation_audio --conversation c-1 --heartbeat binary --framing text`.

Each conversation is a channel of the shipped one and starts with its first listener. SIGTERM or Ctrl-C ends it. Exit
code 0, or 2 for a wrong command line.
"""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from simulators.conversation_audio.server import (
    IDLE_S,
    PING_S,
    ConversationAudioServer,
    Framing,
    Heartbeat,
)
from simulators.live_call.player import LivePlayer
from simulators.live_call.script import disturbed
from simulators.websocket_server.server import LOOPBACK, token_check, until_told


def main(  # noqa: PLR0913, PLR0917 - one argument per option
    host: Annotated[str, typer.Option(help="Address to listen on.")] = LOOPBACK,
    port: Annotated[int, typer.Option(min=0, help="0: any free port.")] = 3913,
    conversations: Annotated[list[str] | None, typer.Option("--conversation", help="Its id; repeatable.")] = None,
    channel: Annotated[str, typer.Option(help="external or internal: what the calls sound like.")] = "external",
    speed: Annotated[float, typer.Option(min=0.01, help="Media seconds per second.")] = 1.0,
    heartbeat: Annotated[Heartbeat, typer.Option(help="How it asks whether clients live.")] = Heartbeat.CONTROL,
    framing: Annotated[Framing, typer.Option(help="How audio is sent.")] = Framing.BINARY,
    ping_s: Annotated[float, typer.Option(min=0.01, help="From one ping to the next.")] = PING_S,
    idle_s: Annotated[float, typer.Option(min=0.01, help="Close after so long without anything.")] = IDLE_S,
    cut_at: Annotated[list[float] | None, typer.Option(help="Cut connections at that second; repeatable.")] = None,
    backlog: Annotated[float, typer.Option(min=0, help="Seconds of audio kept while nobody listens.")] = 0.0,
    token_file: Annotated[
        Path | None, typer.Option(help="Holds the only valid token; without it none is asked.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write what was seen and sent as JSON at the end.")] = None,
) -> None:
    """Stream conversations as their audio WebSockets would."""
    try:
        plan = disturbed(channel, cuts_s=cut_at or (), backlog_s=backlog)
        server = ConversationAudioServer(
            {name: LivePlayer(plan, speed=speed) for name in conversations or ["conversation"]},
            is_valid=None if token_file is None else token_check(token_file),
            heartbeat=heartbeat,
            framing=framing,
            ping_s=ping_s,
            idle_s=idle_s,
        )
    except ValueError as mistake:
        raise typer.BadParameter(str(mistake)) from None
    asyncio.run(_serve(server, port, host))
    if report is not None:
        report.write_text(json.dumps(server.as_json(), indent=1) + "\n")


async def _serve(server: ConversationAudioServer, port: int, host: str) -> None:
    async with server.serving(port, host) as url:
        places = " ".join(url + server.path(name) for name in server.calls)
        Console(soft_wrap=True).print(f"conversation audio at {places}")
        await until_told()


if __name__ == "__main__":
    typer.run(main)
