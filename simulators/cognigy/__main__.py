"""`python -m simulators.cognigy`: a bot that repeats what it hears, until Ctrl-C or SIGTERM."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from simulators.cognigy.script import Answer, Output, Script, echo
from simulators.cognigy.server import CognigyServer


def main() -> None:
    """Serve the endpoint."""
    parser = argparse.ArgumentParser(prog="python -m simulators.cognigy", description="Cognigy's REST endpoint.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090, help="0 takes a free one; it is printed")
    parser.add_argument("--token", default="simulated-url-token", help="the URL token")
    parser.add_argument("--token-file", type=Path, help="holds the URL token")
    parser.add_argument("--delay-s", type=float, default=0.0, help="before every answer")
    arguments = parser.parse_args()
    token = arguments.token if arguments.token_file is None else arguments.token_file.read_text().strip()
    asyncio.run(_serve(CognigyServer(token, _slowed(arguments.delay_s), host=arguments.host, port=arguments.port)))


def _slowed(delay_s: float) -> Script:
    def answer(text: str) -> Answer:
        outputs: tuple[Output, ...] = echo(text).outputs
        return Answer(outputs, delay_s=delay_s)

    return Script(otherwise=answer)


async def _serve(server: CognigyServer) -> None:
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    async with server:
        sys.stdout.write(f"the bot listens at {server.url}\n")
        sys.stdout.flush()
        await asked.wait()


if __name__ == "__main__":
    main()
