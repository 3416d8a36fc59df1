"""Accepts connections of a source that calls us: path, limits, admission, then one session each.

A refusal (400, 401) is answered no sooner than half a second after the request, so that its time tells nothing, and
takes no connection's place meanwhile. 404 is for paths of no source, 408 and 431 for a request that takes too long or
is too long, 429 for requests that come too fast and for an organisation with too many connections, 503 for a server
that is full or stopping; the last two say when to come again. Each is counted by its reason, which the peer never
learns.
"""

import asyncio
import http
import logging
import math
import resource
import ssl
from contextlib import suppress
from functools import partial
from typing import Any

from websockets.http11 import Request, Response

from ingest.accepted import CLOSE_S, READ_BYTES, AcceptedConnection
from ingest.admission import Bucket, Complaints, Places
from ingest.certificate import Certificate
from ingest.later import Later
from ingest.protocol import Admitted
from ingest.session import Session, Surroundings
from ingest.table import Listening
from ingest.turnstile import Turnstile
from runtime.errors import ConfigError
from runtime.metrics import INGEST_CONNECTIONS, INGEST_KEY_CHANGES, INGEST_REFUSED

REFUSAL_FLOOR_S = 0.5
MAX_REFUSALS = 1_000
"""Refusals that may wait for their time at once; beyond that they are answered at once."""
REFRESH_S = 1.0
"""A changed key counts at most so long after its file was changed, where requests come."""
_END_S = 1.0
"""How long closing the connections that are left may take."""
_NORMAL, _GOING_AWAY = 1000, 1001
_BACKLOG = 1_024
"""So many sockets may wait in the system to be accepted."""
_ACCEPTED_A_TURN = 4
"""So many are accepted at each turn of the loop; one takes about a quarter of a millisecond."""
_REQUESTS_A_TURN = 1
"""So many requests to connect are begun at each turn of the loop; one takes about a millisecond in all."""
_REQUESTS_PER_S = 150.0
"""So many are begun however long the turns are."""
_ASKED_A_TURN = 50
"""So many sessions are asked at each turn of the loop whether they were quiet for long; one takes ten microseconds."""
_AGAIN_S = 1.0
"""When to come again, where nobody can know."""
_OTHER_FILES = 256
"""Files this process may have open beside its sockets."""
_HEADROOM = 4
"""The library's limit is this many times ours, so that the protocol can answer a message that is too long."""

# the library reports each connection and each failed handshake; what matters of them is counted and logged here
logging.getLogger("websockets.server").setLevel(logging.CRITICAL)


class IngestServer:
    """The server of one source. `start`, then `drain`; `port` is the real one once started."""

    def __init__(self, listening: Listening, surroundings: Surroundings) -> None:
        self._listening = listening
        self._source = listening.source
        self._surroundings = surroundings
        self._limits = listening.limits
        self._places = Places(self._limits.max_connections, self._limits.max_per_organisation)
        self._bucket = Bucket(self._limits.handshakes_per_s, self._limits.handshake_burst)
        self._complaints = Complaints()
        self._turnstile = Turnstile(_REQUESTS_A_TURN, _REQUESTS_PER_S)
        self._rounds = Turnstile(_ASKED_A_TURN)
        self._later = Later(surroundings.clock)
        self._asking: set[AcceptedConnection] = set()
        self._refreshed_s = float("-inf")
        self._judged_s = float("-inf")
        self._servers: list[asyncio.Server] = []
        self._tasks: asyncio.TaskGroup | None = None
        self._all: set[AcceptedConnection] = set()
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._certificate: Certificate | None = None
        self._port = listening.port
        self._sessions: dict[Session, AcceptedConnection] = {}
        self._refusing = 0
        self._stopping = False
        self._nobody_left = asyncio.Event()
        self._nobody_left.set()
        self._no_socket_left = asyncio.Event()
        self._no_socket_left.set()
        self._open = INGEST_CONNECTIONS.labels(self._source.name)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def connections(self) -> int:
        """Number of connections served now."""
        return len(self._sessions)

    @property
    def later(self) -> Later:
        """Where audio that was read waits until answers are given."""
        return self._later

    @property
    def turnstile(self) -> Turnstile:
        """What the bytes of a request wait at before they are looked at."""
        return self._turnstile

    @property
    def max_header_bytes(self) -> int:
        """Longest request to connect."""
        return self._limits.max_header_bytes

    @property
    def handshake_deadline_s(self) -> float:
        """How long a request to connect may take."""
        return self._limits.handshake_deadline_s

    @property
    def max_frame_bytes(self) -> int:
        """Longest message the library takes."""
        return self._listening.max_message_bytes * _HEADROOM

    @property
    def buffer(self) -> memoryview:
        """What all sockets are read into."""
        return self._buffer

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to accept; the connections' tasks belong to `tasks`.

        Raises `ConfigError` when the address cannot be listened on.
        """
        listening = self._listening
        self._make_room()
        try:
            if listening.certificate is not None:
                self._certificate = Certificate(*listening.certificate)
            await self._listen(listening.host, listening.port)
        except (OSError, ssl.SSLError) as error:
            name = self._source.name.upper()
            message = f"INGEST_{name}_HOST, INGEST_{name}_PORT: cannot listen there: {type(error).__name__}"
            raise ConfigError([message]) from error
        self._tasks = tasks
        self._port = int(self._servers[0].sockets[0].getsockname()[1])

    async def _listen(self, host: str, port: int) -> None:
        """Listen, several times on the same sockets: of each the loop accepts one connection at a turn."""
        listen = partial(
            asyncio.get_running_loop().create_server, lambda: AcceptedConnection(self), backlog=_BACKLOG, **self._tls()
        )
        self._servers.append(await listen(host, port))
        for listener in self._servers[0].sockets:
            for _ in range(_ACCEPTED_A_TURN - 1):
                self._servers.append(await listen(sock=listener.dup()))

    def _tls(self) -> dict[str, Any]:
        """Return what the listening socket is told of TLS."""
        if self._certificate is None:
            return {}
        return {
            "ssl": self._certificate.context,
            "ssl_handshake_timeout": self._limits.handshake_deadline_s,
            "ssl_shutdown_timeout": CLOSE_S,
        }

    def _make_room(self) -> None:
        """Let this process have as many files open as there may be sockets, as far as the system allows it."""
        wanted = self._limits.max_connections + self._limits.max_handshakes + MAX_REFUSALS + _OTHER_FILES
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft != resource.RLIM_INFINITY and soft < allowed:
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        if allowed < wanted:
            self._surroundings.log.warning(
                "the system allows fewer open files than connections may come", source=self._source.name, count=allowed
            )

    def keep_alive(self) -> None:
        """Let quiet sessions write ALIVE, a few at each turn of the loop, and look for changed keys."""
        self._refresh()
        for session in self._sessions:
            self._rounds.wait(session.keep_alive)

    def stop_accepting(self) -> None:
        """Answer 503 from now on, and close the listening sockets."""
        self._stopping = True
        for server in self._servers:
            server.close()

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
        for connection in tuple(self._all):
            connection.abort()
        await self._no_socket_left.wait()

    def entered(self, connection: AcceptedConnection) -> bool:
        """Count a socket whose request is awaited; False where there are too many of them."""
        self._all.add(connection)
        self._no_socket_left.clear()
        if len(self._asking) >= self._limits.max_handshakes:
            self._complain("handshakes")
            return False
        self._asking.add(connection)
        return True

    def asked(self, connection: AcceptedConnection, request: Request) -> None:
        """Answer a request, and serve where it becomes a session."""
        if self._tasks is not None:
            self._tasks.create_task(self._take(connection, request))

    def wall_s(self) -> float:
        """Return the time now."""
        return self._surroundings.clock.wall_s()

    def turned_away(self, connection: AcceptedConnection, reason: str) -> None:
        """Count a socket that asked too much or too late."""
        self._asking.discard(connection)
        self._complain(reason)

    def left(self, connection: AcceptedConnection, reason: str | None) -> None:
        """Forget a socket that is gone."""
        self._all.discard(connection)
        self._asking.discard(connection)
        self._places.give_back(connection)
        if reason is not None:
            self._complain(reason)
        if not self._all:
            self._no_socket_left.set()

    async def _take(self, connection: AcceptedConnection, request: Request) -> None:
        """See to one connection from its request to its end."""
        try:
            response = await self._admit(connection, request)
            connection.answer(connection.acceptance(request) if response is None else response)
            if connection.open and connection.admitted is not None:
                await self._serve(connection, connection.admitted)
                await connection.close(_NORMAL)
        except Exception:
            # one connection's fault must not end the others
            self._surroundings.log.exception("a connection failed", source=self._source.name)
            connection.abort()

    async def _admit(self, connection: AcceptedConnection, request: Request) -> Response | None:
        """Return the refusal of a request, or None where it may become a session."""
        try:
            return await self._decide(connection, request)
        except Exception:
            self._surroundings.log.exception("a request to connect failed", source=self._source.name)
            return self._answer(connection, http.HTTPStatus.INTERNAL_SERVER_ERROR)

    async def _decide(self, connection: AcceptedConnection, request: Request) -> Response | None:
        arrived_s = self._surroundings.clock.monotonic_s()
        early = self._turned_down(connection, request.path, arrived_s)
        if early is not None:
            return early
        if arrived_s - self._refreshed_s >= REFRESH_S:
            self._refresh()
        # a signature is as old as it was when it came, but none is judged by an earlier time than the one before it
        self._judged_s = max(connection.came_s, min(self._judged_s, self.wall_s()))
        decision = self._source.admit(request.path, request.headers.raw_items(), self._judged_s)
        # from here on a socket only takes its time
        self._asking.discard(connection)
        if not isinstance(decision, Admitted):
            self._refused(decision.reason, decision.correlation_id)
            await self._delay(arrived_s)
            return self._answer(connection, http.HTTPStatus(decision.status))
        if not self._places.take(connection, decision.organisation):
            self._refused("organisation_full", decision.correlation_id)
            return self._answer(connection, http.HTTPStatus.TOO_MANY_REQUESTS, _AGAIN_S)
        connection.admitted = decision
        return None

    def _turned_down(self, connection: AcceptedConnection, target: str, now_s: float) -> Response | None:
        """Return the answer to a request that need not be looked at."""
        path = target.partition("?")[0]
        prefix = self._source.path_prefix.rstrip("/")
        if path != prefix and not path.startswith(f"{prefix}/"):
            self._complain("path")
            return self._answer(connection, http.HTTPStatus.NOT_FOUND)
        if self._stopping or self._places.full:
            self._complain("stopping" if self._stopping else "full")
            return self._answer(connection, http.HTTPStatus.SERVICE_UNAVAILABLE, _AGAIN_S)
        wait_s = self._bucket.take(now_s)
        if wait_s:
            self._complain("too_fast")
            return self._answer(connection, http.HTTPStatus.TOO_MANY_REQUESTS, wait_s)
        return None

    def _refresh(self) -> None:
        """Take changed keys and a renewed certificate over."""
        self._refreshed_s = self._surroundings.clock.monotonic_s()
        log = self._surroundings.log.bind(source=self._source.name)
        renewed = None if self._certificate is None else self._certificate.refresh()
        if renewed is not None:
            write = log.info if renewed else log.error
            write("the certificate was renewed" if renewed else "the renewed certificate cannot be used")
        found = self._source.refresh()
        if found is None:
            return
        log = log.bind(count=found.keys)
        INGEST_KEY_CHANGES.labels(self._source.name, "taken" if found.mistake is None else "refused").inc()
        if found.mistake is None:
            log.info("the API keys have changed")
        else:
            log.error("the changed API keys cannot be used, so the old ones stay", cause=found.mistake)

    async def _delay(self, arrived_s: float) -> None:
        if self._refusing >= MAX_REFUSALS:
            return
        self._refusing += 1
        try:
            await asyncio.sleep(REFUSAL_FLOOR_S - (self._surroundings.clock.monotonic_s() - arrived_s))
        finally:
            self._refusing -= 1

    def _refused(self, reason: str, correlation_id: str | None) -> None:
        """Count and log a refusal over what a request says."""
        INGEST_REFUSED.labels(self._source.name, reason).inc()
        self._surroundings.log.warning(
            "a request to connect is refused", source=self._source.name, reason=reason, correlation=correlation_id
        )

    def _complain(self, reason: str) -> None:
        """Count a refusal over nothing that a request says, and log it now and then."""
        INGEST_REFUSED.labels(self._source.name, reason).inc()
        count = self._complaints.count(reason, self._surroundings.clock.monotonic_s())
        if count:
            self._surroundings.log.warning(
                "connections are refused", source=self._source.name, reason=reason, count=count
            )

    def _answer(
        self, connection: AcceptedConnection, status: http.HTTPStatus, again_s: float | None = None
    ) -> Response:
        response = connection.refusal(status, f"{status.phrase}\n")
        if again_s is not None:
            response.headers["Retry-After"] = str(math.ceil(again_s))
        return response

    async def _serve(self, connection: AcceptedConnection, admitted: Admitted) -> None:
        session = Session(self._source.name, admitted.protocol, self._surroundings)
        self._sessions[session] = connection
        self._nobody_left.clear()
        self._open.set(len(self._sessions))
        connection.hearer = session
        try:
            await session.run(connection)
        finally:
            connection.hearer = None
            del self._sessions[session]
            self._open.set(len(self._sessions))
            if not self._sessions:
                self._nobody_left.set()
