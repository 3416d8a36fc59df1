"""`python -m simulators.platform --conversation c-1 --pause 10:20 --ends-after 60`: conversations until Ctrl-C."""

import argparse
from pathlib import Path

import uvicorn

from simulators.platform.conversation import Conversation, read_pauses
from simulators.platform.server import PlatformServer
from simulators.websocket_server.server import LOOPBACK, token_check


def main() -> None:
    """Tell of conversations; all begin now and have the same pauses and end."""
    parser = argparse.ArgumentParser(prog="python -m simulators.platform", description="Conversations in memory.")
    parser.add_argument("--host", default=LOOPBACK)
    parser.add_argument("--port", type=int, default=8083)
    parser.add_argument("--conversation", action="append", default=[], help="its id; repeatable")
    parser.add_argument("--pause", action="append", default=[], help="a secure pause, as 10:20 in seconds; repeatable")
    parser.add_argument("--ends-after", type=float, help="seconds")
    parser.add_argument("--token-file", type=Path, help="holds the only valid token; without it any is")
    arguments = parser.parse_args()
    try:
        pauses = read_pauses(arguments.pause)
    except ValueError as mistake:
        parser.error(str(mistake))
    server = PlatformServer(token_check(arguments.token_file))
    for conversation_id in arguments.conversation:
        server.add(Conversation(conversation_id, pauses, arguments.ends_after))
    uvicorn.run(server.application(), host=arguments.host, port=arguments.port, access_log=False)


if __name__ == "__main__":
    main()
