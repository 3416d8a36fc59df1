"""Accepts connections of a source that calls us: path, admission, limits, then one session each.

A refusal (400, 401) is answered no sooner than half a second after the request, so that its time tells nothing, and
takes no connection's place meanwhile. 404 is for paths of no source, 503 for a server that is full or stopping.
"""

import asyncio
import http
import logging
import ssl
from contextlib import suppress

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from ingest.protocol import Admitted
from ingest.session import Session, Surroundings
from ingest.table import Listening
from runtime.errors import ConfigError
from runtime.metrics import INGEST_CONNECTIONS, INGEST_REFUSED
from runtime.supervision import ConnectionLost
from schemas.symbols import ClosedBy

REFUSAL_FLOOR_S = 0.5
MAX_REFUSALS = 1_000
"""Refusals that may wait for their time at once; beyond that they are answered at once."""
HANDSHAKE_DEADLINE_S = 10.0
_END_S = 1.0
"""How long closing the connections that are left may take."""
_GOING_AWAY, _TRY_AGAIN, _ABNORMAL = 1001, 1013, 1006
_HEADROOM = 4
"""The library's limit is this many times ours, so that the protocol can answer a message that is too long."""

# the library reports each failed handshake; what matters of them is counted and logged here
logging.getLogger("websockets.server").setLevel(logging.CRITICAL)


class _Connection(ServerConnection):
    """A connection that carries what its request was admitted with."""

    admitted: Admitted | None = None


class WebSocketTransport:
    """A websockets connection as the session's transport."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    async def receive(self) -> str | bytes:
        """Return the next message."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as error:
            raise _lost(error) from None

    async def send(self, message: str | bytes) -> None:
        """Send a message."""
        try:
            await self._connection.send(message)
        except ConnectionClosed as error:
            raise _lost(error) from None

    async def close(self, code: int, reason: str) -> None:
        """Close the connection."""
        await self._connection.close(code, reason)


def _lost(error: ConnectionClosed) -> ConnectionLost:
    if error.rcvd is None:
        return ConnectionLost(_ABNORMAL, "", ClosedBy.LOCAL if error.sent else ClosedBy.NETWORK)
    return ConnectionLost(
        error.rcvd.code, error.rcvd.reason, ClosedBy.REMOTE if error.rcvd_then_sent else ClosedBy.LOCAL
    )


class IngestServer:
    """The server of one source. `start`, then `drain`; `port` is the real one once started."""

    def __init__(self, listening: Listening, surroundings: Surroundings) -> None:
        self._listening = listening
        self._source = listening.source
        self._surroundings = surroundings
        self._server: Server | None = None
        self._port = listening.port
        self._sessions: dict[Session, ServerConnection] = {}
        self._refusing = 0
        self._stopping = False
        self._nobody_left = asyncio.Event()
        self._nobody_left.set()
        self._open = INGEST_CONNECTIONS.labels(self._source.name)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def connections(self) -> int:
        """Number of connections served now."""
        return len(self._sessions)

    async def start(self) -> None:
        """Begin to accept. Raises `ConfigError` when the address cannot be listened on."""
        listening = self._listening
        try:
            self._server = await serve(
                self._serve,
                listening.host,
                listening.port,
                process_request=self._admit,
                create_connection=_Connection,
                compression=None,
                ping_interval=None,
                open_timeout=HANDSHAKE_DEADLINE_S,
                close_timeout=HANDSHAKE_DEADLINE_S,
                max_size=listening.max_message_bytes * _HEADROOM,
                server_header=None,
                ssl=_tls(listening),
            )
        except (OSError, ssl.SSLError) as error:
            name = self._source.name.upper()
            message = f"INGEST_{name}_HOST, INGEST_{name}_PORT: cannot listen there: {type(error).__name__}"
            raise ConfigError([message]) from error
        self._port = int(self._server.sockets[0].getsockname()[1])

    def keep_alive(self) -> None:
        """Let quiet sessions write ALIVE."""
        for session in self._sessions:
            session.keep_alive()

    def stop_accepting(self) -> None:
        """Answer 503 from now on, and close the listening sockets."""
        self._stopping = True
        if self._server is not None:
            self._server.close(close_connections=False)

    async def let_end(self, seconds: float) -> None:
        """Wait until no session is left, but no longer than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._nobody_left.wait()

    async def drain(self, close_s: float) -> None:
        """End the sessions that are left the protocol's way, then the connections."""
        for session in tuple(self._sessions):
            session.drain()
        await self.let_end(close_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_S), asyncio.TaskGroup() as closing:
                for connection in tuple(self._sessions.values()):
                    closing.create_task(connection.close(_GOING_AWAY))
        if self._server is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_END_S):
                    await self._server.wait_closed()

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Return the refusal of a request, or None where it may become a session."""
        arrived_s = self._surroundings.clock.monotonic_s()
        path = request.path.partition("?")[0]
        prefix = self._source.path_prefix.rstrip("/")
        if path != prefix and not path.startswith(f"{prefix}/"):
            return self._refuse(connection, http.HTTPStatus.NOT_FOUND, "path", None)
        if self._stopping or len(self._sessions) >= self._listening.max_connections:
            reason = "stopping" if self._stopping else "full"
            response = self._refuse(connection, http.HTTPStatus.SERVICE_UNAVAILABLE, reason, None)
            response.headers["Retry-After"] = "1"
            return response
        decision = self._source.admit(request.path, request.headers.raw_items(), self._surroundings.clock.wall_s())
        if isinstance(decision, Admitted):
            if isinstance(connection, _Connection):
                connection.admitted = decision
            return None
        await self._delay(arrived_s)
        return self._refuse(connection, http.HTTPStatus(decision.status), decision.reason, decision.correlation_id)

    async def _delay(self, arrived_s: float) -> None:
        if self._refusing >= MAX_REFUSALS:
            return
        self._refusing += 1
        try:
            await asyncio.sleep(REFUSAL_FLOOR_S - (self._surroundings.clock.monotonic_s() - arrived_s))
        finally:
            self._refusing -= 1

    def _refuse(
        self, connection: ServerConnection, status: http.HTTPStatus, reason: str, correlation_id: str | None
    ) -> Response:
        INGEST_REFUSED.labels(self._source.name, reason).inc()
        self._surroundings.log.warning(
            "a request to connect is refused", source=self._source.name, reason=reason, correlation=correlation_id
        )
        return connection.respond(status, f"{status.phrase}\n")

    async def _serve(self, connection: ServerConnection) -> None:
        admitted = connection.admitted if isinstance(connection, _Connection) else None
        if admitted is None or len(self._sessions) >= self._listening.max_connections:
            await connection.close(_TRY_AGAIN)
            return
        session = Session(self._source.name, admitted.protocol, self._surroundings)
        self._sessions[session] = connection
        self._nobody_left.clear()
        self._open.set(len(self._sessions))
        try:
            await session.run(WebSocketTransport(connection))
        finally:
            del self._sessions[session]
            self._open.set(len(self._sessions))
            if not self._sessions:
                self._nobody_left.set()


def _tls(listening: Listening) -> ssl.SSLContext | None:
    if listening.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(*listening.certificate)
    return context
