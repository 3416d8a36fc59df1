"""The command: `python -m simulators.media_streams --interaction c-1 --loss 0.02 --reorder 5 --duplicates 4`.

Each interaction is a channel of the shipped conversation and starts with its first subscription. SIGTERM or Ctrl-C ends
it. Exit code 0, or 2 for a wrong command line.
"""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from simulators.media_streams import script
from simulators.media_streams.server import PATH, Interaction, MediaStreamsServer
from simulators.websocket_server.server import LOOPBACK, token_check, until_told


def main(  # noqa: PLR0913, PLR0917 - one argument per option
    host: Annotated[str, typer.Option(help="Address to listen on.")] = LOOPBACK,
    port: Annotated[int, typer.Option(min=0, help="0: any free port.")] = 3910,
    interactions: Annotated[list[str] | None, typer.Option("--interaction", help="A call's id; repeatable.")] = None,
    channel: Annotated[str, typer.Option(help="external or internal: what the calls sound like.")] = "external",
    loss: Annotated[float, typer.Option(min=0, max=0.9, help="Share of the packets that is lost.")] = 0.0,
    reorder: Annotated[int, typer.Option(min=0, help="Packets of each call that are late.")] = 0,
    duplicates: Annotated[int, typer.Option(min=0, help="Packets of each call that come twice.")] = 0,
    first_number: Annotated[int, typer.Option(min=0, help="The first sequence number.")] = 0,
    first_timestamp: Annotated[int, typer.Option(min=0, help="The first timestamp.")] = 0,
    seed: Annotated[int, typer.Option(help="Chooses which packets; the next call takes the next one.")] = 0,
    speed: Annotated[float, typer.Option(min=0.01, help="Media seconds per second.")] = 1.0,
    token_file: Annotated[Path | None, typer.Option(help="Holds the only valid token; without it any is.")] = None,
    close_without_ping_s: Annotated[float | None, typer.Option(help="Cut connections that send no ping.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write what was sent as JSON at the end.")] = None,
) -> None:
    """Stream calls as the media-streams WebSocket would."""
    calls = []
    for index, interaction_id in enumerate(interactions or ["00000000-0000-4000-8000-000000000001"]):
        try:
            plan = script.Script(
                audio=script.channel(channel),
                first_sequence_number=first_number,
                first_timestamp=first_timestamp,
                loss_ratio=loss,
                reordered=reorder,
                duplicates=duplicates,
                seed=seed + index,
            ).plan()
        except ValueError as mistake:
            raise typer.BadParameter(str(mistake)) from None
        calls.append(Interaction(interaction_id, plan))
    server = MediaStreamsServer(
        calls, is_valid=token_check(token_file), speed=speed, close_without_ping_s=close_without_ping_s
    )
    asyncio.run(_serve(server, port, host))
    if report is not None:
        report.write_text(json.dumps(server.as_json(), indent=1) + "\n")


async def _serve(server: MediaStreamsServer, port: int, host: str) -> None:
    async with server.serving(port, host) as url:
        Console(soft_wrap=True).print(f"media streams at {url}{PATH}: {', '.join(server.reports)}")
        await until_told()


if __name__ == "__main__":
    typer.run(main)
