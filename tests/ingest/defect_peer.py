"""A platform on loopback for the checks of defects: it admits or refuses, sends packets, and ends connections."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response

from tests.runtime.websocket_peers import url_of

Talk = Callable[["Peer", ServerConnection], Awaitable[None]]


async def stay(peer: "Peer", connection: ServerConnection) -> None:
    """Say nothing."""


class Peer:
    """Does `talk` with each connection, then stays until it is over. `statuses` answer the first handshakes.

    `live` are the connections that are open, `got` what came over each, in the order of the connections.
    """

    def __init__(self, talk: Talk = stay, statuses: tuple[int, ...] = ()) -> None:
        self.statuses = list(statuses)
        self.bearers: list[str] = []
        self.live: list[ServerConnection] = []
        self.most_live = 0
        self.got: list[list[str | bytes]] = []
        self.url = ""
        self._talk = talk

    @property
    def connections(self) -> int:
        """How many there were."""
        return len(self.got)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Peer"]:
        async with serve(
            self._serve, "127.0.0.1", 0, process_request=self._admit, ping_interval=None, close_timeout=1
        ) as server:
            self.url = url_of(server)
            yield self

    def _admit(self, _connection, request):
        self.bearers.append(request.headers.get("Authorization", "").removeprefix("Bearer "))
        status = self.statuses.pop(0) if self.statuses else 101
        return None if status == 101 else Response(status, "as told", Headers(), b"as told")

    async def _serve(self, connection: ServerConnection) -> None:
        got: list[str | bytes] = []
        self.got.append(got)
        self.live.append(connection)
        self.most_live = max(self.most_live, len(self.live))
        try:
            await self._talk(self, connection)
            while True:
                got.append(await connection.recv())
        except ConnectionClosed:
            pass
        finally:
            self.live.remove(connection)
