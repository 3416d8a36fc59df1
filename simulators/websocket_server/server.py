"""A WebSocket server whose every misbehaviour is asked for: `Server` is the part a platform's stand-in fills in."""

import asyncio
import contextlib
import signal
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, cast

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Event, State

LOOPBACK: Final = "127.0.0.1"
CLOSE_TIMEOUT_S: Final = 1.0
NO_CLOSE_FRAME: Final = 1006
ANYTHING: Final = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG})

Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Runs a coroutine for as long as its connection lives."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """One upgrade request: its path, whether its token was valid, and the status it was answered with."""

    path: str
    authorized: bool
    status: int


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ended: 1006 where no close frame came; `by_client`: the client closed it first."""

    path: str
    code: int
    reason: str
    by_client: bool


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: int
    retry_after: str | None


class Peer(ServerConnection):
    """One connection. `tags` say what it is about, `pings` counts the protocol's pings that came over it.

    `heard_s` is when, on the loop's clock, one of the frames it `heeds` came last.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        """Take what the library gives."""
        super().__init__(*arguments, **settings)
        self.tags: set[str] = set()
        self.pings = 0
        self.heard_s = self.loop.time()
        self.heeds = frozenset({Opcode.PING})
        self._is_cut = False

    @property
    def is_open(self) -> bool:
        """False once closing has begun or the connection was cut."""
        return self.state is State.OPEN and not self._is_cut

    @property
    def path(self) -> str:
        """What was dialled, without a query."""
        return path_of(self.request)

    def abort(self) -> None:
        """Cut the TCP connection, without a closing handshake. What is still in its buffer is lost."""
        self._is_cut = True
        self.transport.abort()

    def ending(self) -> Ending:
        """Say how it ended, once it has."""
        code = self.close_code or NO_CLOSE_FRAME
        return Ending(self.path, code, self.close_reason or "", self.protocol.close_rcvd_then_sent is True)

    def process_event(self, event: Event) -> None:
        """Count pings; the library answers them."""
        if isinstance(event, Frame):
            self.pings += event.opcode is Opcode.PING
            if event.opcode in self.heeds:
                self.heard_s = self.loop.time()
        super().process_event(event)


class Server(ABC):
    """A server for one run; `async with server.serving() as url:`.

    is_valid: tells whether a bearer token is good; None: handshakes need no token. no_ping_s: a connection over which
    nothing of what it `heeds` came for so long is given to `neglected`; None: never. Hooks with a `tag` concern the
    connections with that tag, without one all of them.

    `most_at_once` are the most connections that were open on one path at a time.
    """

    def __init__(
        self,
        *,
        is_valid: Callable[[str], bool] | None,
        no_ping_s: float | None = None,
        heeds: frozenset[Opcode] = frozenset({Opcode.PING}),
    ) -> None:
        """Prepare; nothing listens yet."""
        self.url = ""
        self.handshakes: list[Handshake] = []
        self.endings: list[Ending] = []
        self.connections = 0
        self.most_at_once: Counter[str] = Counter()
        self._is_valid = is_valid
        self._no_ping_s = no_ping_s
        self._heeds = heeds
        self._seen: set[str] = set()
        self._expired: set[str] = set()
        self._refusals: deque[_Refusal] = deque()
        self._peers: list[Peer] = []
        self._change = asyncio.Event()

    # --- what a stand-in fills in

    @abstractmethod
    def status_of(self, path: str) -> int:
        """Return the HTTP status for an authorized handshake on this path: 101 to accept."""

    @abstractmethod
    async def converse(self, peer: Peer, spawn: Spawn) -> None:
        """Talk over a new connection. It is closed with 1000 when this returns; ConnectionClosed may be raised."""

    async def neglected(self, peer: Peer) -> None:
        """End a connection over which no ping came in time: cut it, unless a document knows better."""
        peer.abort()

    # --- running it

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0, host: str = LOOPBACK) -> AsyncIterator[str]:
        """Listen while the context lasts; gives the URL without a path (port 0: any free one)."""
        async with serve(
            self._handle,
            host,
            port,
            process_request=self._admit,
            create_connection=Peer,
            compression=None,
            ping_interval=None,
            close_timeout=CLOSE_TIMEOUT_S,
        ) as server:
            self.url = f"ws://{host}:{next(iter(server.sockets)).getsockname()[1]}"
            try:
                yield self.url
            finally:
                for peer in self._peers:
                    peer.transport.resume_reading()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when the condition holds; it is asked again whenever something happened here."""
        while not condition():
            await self._change.wait()

    def note_change(self) -> None:
        """Let `until` ask again."""
        self._change.set()
        self._change = asyncio.Event()

    def peers(self, tag: str | None = None) -> list[Peer]:
        """Return the open connections, oldest first."""
        return [peer for peer in self._peers if peer.is_open and (tag is None or tag in peer.tags)]

    # --- faults

    def refuse_next(self, times: int, status: int = HTTPStatus.UNAUTHORIZED, retry_after: str | None = None) -> None:
        """Answer that many handshakes with an HTTP status, whatever their token."""
        self._refusals.extend([_Refusal(int(status), retry_after)] * times)

    def refuse_no_more(self) -> None:
        """Forget the refusals that are left."""
        self._refusals.clear()

    def expire_tokens(self) -> None:
        """Let no token be valid that has been used here so far."""
        self._expired |= self._seen

    def abort(self, tag: str | None = None) -> None:
        """Cut connections now."""
        for peer in self.peers(tag):
            peer.abort()

    async def close(self, code: int, reason: str = "", tag: str | None = None) -> None:
        """Close connections with a code; one whose peer does not answer is cut after a second."""
        for peer in self.peers(tag):
            await peer.close(code, reason)

    def stop_reading(self, tag: str | None = None) -> None:
        """Read nothing more from connections: pings stay unanswered."""
        for peer in self.peers(tag):
            peer.transport.pause_reading()

    async def inject(self, message: str | bytes, tag: str | None = None) -> int:
        """Send a text or binary message exactly as it is; returns to how many connections."""
        reached = 0
        for peer in self.peers(tag):
            with contextlib.suppress(ConnectionClosed):
                await peer.send(message)
                reached += 1
        return reached

    # --- what a stand-in may ask

    def accepts(self, token: str, is_valid: Callable[[str], bool]) -> bool:
        """Return whether a token is good here and now; it has been used from then on."""
        self._seen.add(token)
        return token not in self._expired and is_valid(token)

    def seen_as_json(self) -> dict[str, Any]:
        """Return what every stand-in saw, as plain values for JSON; no token is among it."""
        return {
            "connections": self.connections,
            "handshakes": [{"authorized": one.authorized, "status": one.status} for one in self.handshakes],
            "endings": [{"code": one.code, "reason": one.reason, "by_client": one.by_client} for one in self.endings],
            "most_at_once": max(self.most_at_once.values(), default=0),
        }

    # --- the library's side

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        authorized = self._is_valid is None or self._bears_token(request, self._is_valid)
        path = path_of(request)
        retry_after = None
        if self._refusals:
            refusal = self._refusals.popleft()
            status, retry_after = refusal.status, refusal.retry_after
        else:
            status = int(self.status_of(path)) if authorized else HTTPStatus.UNAUTHORIZED.value
        self.handshakes.append(Handshake(path, authorized, status))
        self.note_change()
        if status == HTTPStatus.SWITCHING_PROTOCOLS:
            return None
        response = connection.respond(HTTPStatus(status), HTTPStatus(status).phrase + "\n")
        if status == HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = "Bearer"
        if retry_after is not None:
            response.headers["Retry-After"] = retry_after
        return response

    def _bears_token(self, request: Request, is_valid: Callable[[str], bool]) -> bool:
        scheme, _, token = "".join(request.headers.get_all("Authorization")[:1]).partition(" ")
        return scheme.lower() == "bearer" and bool(token) and self.accepts(token, is_valid)

    async def _handle(self, connection: ServerConnection) -> None:
        peer = cast("Peer", connection)
        peer.heeds = self._heeds
        self.connections += 1
        self._peers.append(peer)
        open_here = sum(one.path == peer.path for one in self.peers())
        self.most_at_once[peer.path] = max(self.most_at_once[peer.path], open_here)
        self.note_change()
        try:
            async with asyncio.TaskGroup() as group:
                tasks: list[asyncio.Task[None]] = []

                def spawn(work: Coroutine[Any, Any, None]) -> None:
                    tasks.append(group.create_task(_while_open(work)))

                if self._no_ping_s is not None:
                    spawn(self._watch(peer, self._no_ping_s))
                await _while_open(self.converse(peer, spawn))
                for task in tasks:
                    task.cancel()
            await peer.close()
        finally:
            self._peers.remove(peer)
            self.endings.append(peer.ending())
            self.note_change()

    async def _watch(self, peer: Peer, no_ping_s: float) -> None:
        while True:
            left_s = peer.heard_s + no_ping_s - peer.loop.time()
            if left_s <= 0:
                break
            await asyncio.sleep(left_s)
        await self.neglected(peer)


def path_of(request: Request | None) -> str:
    """Return a request's path without a query; empty without a request."""
    return "" if request is None else request.path.partition("?")[0]


async def _while_open(work: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(ConnectionClosed):
        await work


async def until_told() -> None:
    """Return on SIGTERM or SIGINT."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    await told.wait()


def token_check(file: Path | None) -> Callable[[str], bool]:
    """Return a check for the token a file holds; without a file every token is valid."""
    if file is None:
        return bool
    token = file.read_text().strip()
    return lambda given: given == token
