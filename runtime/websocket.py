"""Dials WebSocket peers: the shell around `runtime.supervision`. What a connection does is `runtime.connection`.

A `Dialer` has at most one live connection: asking for the next ends the one before.
Nothing of a browser (no Origin), no compression, no proxy from the environment, no redirect followed.
"""

import asyncio
import random
import ssl
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import cast

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, InvalidURI, WebSocketException
from websockets.frames import CloseCode
from websockets.http11 import Response
from websockets.uri import parse_uri

from runtime.clock import Clock
from runtime.connection import Connection, Socket
from runtime.errors import ConfigError, Unavailable
from runtime.http import wait_of
from runtime.log import Logger, get_logger
from runtime.metrics import (
    WEBSOCKET_ATTEMPTS,
    WEBSOCKET_ENDED,
    WEBSOCKET_GIVEN_UP,
    WEBSOCKET_OPEN,
    WEBSOCKET_ROUND_TRIP_SECONDS,
)
from runtime.oauth import TokenSource
from runtime.pace import Pace
from runtime.supervision import Again, Claim, Decision, GivenUp, Policy, Supervisor
from runtime.version import version
from schemas.symbols import ClosedBy


class _Connect(connect):
    """The library's dialling, without following redirects: a bearer token goes to the configured peer only."""

    def process_redirect(self, exc: Exception) -> Exception:
        """Return the error."""
        return exc


class Dialer:
    """Dials one peer, again and again within its policy. `peer` names it in metrics, logs and errors; URLs never do.

    `token` gives the token of every dial; it goes into the header unless `bearer` is False, for peers that want it in a
    message. `pace` is shared by all diallers that must not come at once, and kept on top of every wait; `claim` what is
    named when the peer refuses. `draw` gives numbers from [0, 1) for the jitter; `cafile` the authorities to trust in
    place of the system's.
    """

    def __init__(  # noqa: PLR0913 - each is a limit or an identity the caller chooses
        self,
        peer: str,
        url: str,
        policy: Policy,
        clock: Clock,
        *,
        token: TokenSource | None = None,
        bearer: bool = True,
        pace: Pace | None = None,
        claim: Claim | None = None,
        draw: Callable[[], float] = random.random,
        cafile: str | None = None,
    ) -> None:
        """Prepare to dial. Raises `ConfigError` when the URL or `cafile` cannot be used."""
        self._peer = peer
        self._url = url
        self._policy = policy
        self._clock = clock
        self._token = token
        self._bearer = bearer
        self._pace = pace
        self._draw = draw
        self._log: Logger = get_logger("websocket")
        self._tls = _tls(peer, url, cafile)
        self._supervisor = Supervisor(policy, claim)
        self._next: Decision | None = None
        """What to do next; None: begin, at first and after giving up."""
        self._connection: Connection | None = None
        self._opened_s = 0.0

    @property
    def attempt(self) -> int:
        """Dials since the last stable connection, the one that led to the present connection included."""
        return self._supervisor.attempt

    async def connect(self) -> Connection:
        """Wait as long as the policy says, dial until connected, and return the connection.

        A connection that still lives is closed first. Raises `GivenUp`, and `ConfigError` from the token source or for
        a URL that is none; after either a further call begins anew.
        """
        if self._connection is not None:
            await self._connection.close(CloseCode.GOING_AWAY)
        while True:
            decision = self._next or self._supervisor.start(self._clock.monotonic_s(), self._draw())
            if isinstance(decision, GivenUp):
                WEBSOCKET_GIVEN_UP.labels(self._peer, decision.reason).inc()
                self._next = None
                raise decision
            await asyncio.sleep(decision.at_s - self._clock.monotonic_s())
            try:
                connection = await self._dial()
            except ConfigError:
                self._next = None
                raise
            if connection is not None:
                return connection

    def begin_anew(self) -> None:
        """Give the next dial the whole budget: the peer was reached, and refused in its own words."""
        self._next = None

    def invalidate(self, token: str) -> None:
        """Forget a token the peer refused in its own words: the next dial gets a new one."""
        if self._token is not None:
            self._token.invalidate(token)

    async def _dial(self) -> Connection | None:
        """Make one attempt; None where it failed, then what to do is in `_next`."""
        self._supervisor.dialled()
        token: str | None = None
        outcome, status = "error", None
        try:
            outcome = "token"
            token = await self._turn()
            outcome = "error"
            socket = await self._open(token)
            outcome = "open"
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except Unavailable as error:
            self._next = self._failed(error.retry_after_s)
        except InvalidStatus as error:
            status = error.response.status_code
            outcome = f"{status // 100}xx"
            self._next = self._refused(error.response, token)
        except UnicodeError:
            message = f"{self._peer}: the URL is not valid"
            raise ConfigError([message]) from None
        except (OSError, WebSocketException) as error:
            outcome = _outcome(error)
            self._next = self._failed(None)
        finally:
            WEBSOCKET_ATTEMPTS.labels(self._peer, outcome).inc()
        if outcome == "open":
            return self._take(socket, token)
        self._report(outcome, status)
        return None

    async def _turn(self) -> str | None:
        """Return the token to dial with, once it is our turn. Raises what asking for one does.

        Where it is gone when the turn comes, the turn is lost: all whose turn came meanwhile wait for the same new one,
        and would dial in the moment it is there.
        """
        while True:
            token = None if self._token is None else await self._token.get()
            if self._pace is None:
                return token
            await self._pace.turn(self._clock)
            token = None if self._token is None else self._token.current()
            if self._token is None or token is not None:
                return token

    async def _open(self, token: str | None) -> Socket:
        policy = self._policy
        dialling = _Connect(
            self._url,
            additional_headers={"Authorization": f"Bearer {token}"} if token is not None and self._bearer else None,
            user_agent_header=f"callstream/{version()}",
            compression=None,
            proxy=None,
            open_timeout=policy.open_timeout_s,
            ping_interval=policy.ping_interval_s,
            ping_timeout=policy.pong_timeout_s,
            close_timeout=policy.close_timeout_s,
            max_size=policy.max_message_bytes,
            create_connection=Socket,
            ssl=self._tls,
        )
        return cast("Socket", await dialling)

    def _take(self, socket: Socket, token: str | None) -> Connection:
        self._opened_s = self._clock.monotonic_s()
        self._supervisor.opened(self._opened_s)
        WEBSOCKET_OPEN.labels(self._peer).inc()
        socket.on_round_trip = WEBSOCKET_ROUND_TRIP_SECONDS.labels(self._peer).observe
        self._connection = Connection(socket, self._policy, self._ended, token=token, attempt=self._supervisor.attempt)
        return self._connection

    def _ended(self, connection: Connection) -> None:
        lost = connection.lost
        if lost is None:
            return
        now_s, quiet_s = self._clock.monotonic_s(), connection.quiet_s
        self._next = self._supervisor.lost(now_s, self._draw(), lost, messages=connection.messages, quiet_s=quiet_s)
        WEBSOCKET_OPEN.labels(self._peer).dec()
        WEBSOCKET_ENDED.labels(self._peer, lost.closed_by.lower()).inc()
        write = self._log.info if lost.closed_by is ClosedBy.LOCAL else self._log.warning
        write(
            "a connection we dialled is over",
            peer=self._peer,
            close_code=lost.code,
            closed_by=lost.closed_by.lower(),
            seconds=round(now_s - self._opened_s, 3),
            quiet_s=round(quiet_s, 3),
            count=connection.messages,
            attempt=connection.attempt,
        )

    def _failed(self, retry_after_s: float | None) -> Decision:
        return self._supervisor.failed(self._clock.monotonic_s(), self._draw(), retry_after_s)

    def _refused(self, response: Response, token: str | None) -> Decision:
        waits = response.headers.get_all("Retry-After")
        decision = self._supervisor.refused(
            response.status_code,
            self._clock.monotonic_s(),
            self._draw(),
            has_token=token is not None,
            retry_after_s=wait_of(waits[0] if waits else None, self._clock.wall_s()),
        )
        if token is not None and response.status_code == HTTPStatus.UNAUTHORIZED:
            self.invalidate(token)
        return decision

    def _report(self, outcome: str, status: int | None) -> None:
        wait_s = self._next.at_s - self._clock.monotonic_s() if isinstance(self._next, Again) else 0.0
        self._log.warning(
            "an attempt to connect failed",
            peer=self._peer,
            cause=outcome,
            status=status,
            error=self._next.meaning if isinstance(self._next, GivenUp) else None,
            attempt=self._supervisor.attempt,
            retry_after_s=round(wait_s, 3),
        )


def _outcome(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ssl.SSLError):
        return "tls"
    return "unreachable" if isinstance(error, OSError) else "handshake"


def _tls(peer: str, url: str, cafile: str | None) -> ssl.SSLContext | None:
    """Return what verifies the peer of a `wss` URL. Raises `ConfigError`."""
    try:
        uri = parse_uri(url)
    except (InvalidURI, ValueError):
        uri = None
    if uri is None or uri.username is not None:
        message = f"{peer}: the URL should be ws:// or wss://, without user and password"
        raise ConfigError([message])
    if not uri.secure:
        return None
    try:
        return _context(cafile, ssl.get_default_verify_paths())
    except OSError as error:
        message = f"{peer}: the file of authorities cannot be used: {type(error).__name__}"
        raise ConfigError([message]) from error


@lru_cache(maxsize=16)
def _context(cafile: str | None, _: ssl.DefaultVerifyPaths) -> ssl.SSLContext:
    """Return what verifies peers, one for all diallers: to read the system's authorities takes up to 0.2 s each time.

    Who has changed their file starts the process again.
    """
    context = ssl.create_default_context(cafile=cafile)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
