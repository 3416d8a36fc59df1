"""`python -m simulators.oauth`: the login server on loopback until Ctrl-C."""

import argparse

import uvicorn

from simulators.oauth.server import DAY_S, OAuthServer
from simulators.websocket_server.server import LOOPBACK


def main() -> None:
    """Serve tokens."""
    parser = argparse.ArgumentParser(prog="python -m simulators.oauth", description="A login server in memory.")
    parser.add_argument("--host", default=LOOPBACK)
    parser.add_argument("--port", type=int, default=8082)
    parser.add_argument("--client-id", default="client", help="the id it knows")
    parser.add_argument("--client-secret", default="secret", help="that client's secret; nothing real")
    parser.add_argument("--lifetime-s", type=float, default=DAY_S, help="the life of a token")
    arguments = parser.parse_args()
    server = OAuthServer({arguments.client_id: arguments.client_secret}, arguments.lifetime_s)
    uvicorn.run(server.application(), host=arguments.host, port=arguments.port, access_log=False)


if __name__ == "__main__":
    main()
