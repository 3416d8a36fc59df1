"""A WebSocket connection that we dialled: its messages, its deadlines, its end. Dialling is `runtime.websocket`.

Pings and pongs are the library's. Every other deadline is kept here, and each way a connection can end leads to the
same `ConnectionLost`, whoever notices first.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.exceptions import ConcurrencyError, ConnectionClosed
from websockets.frames import DATA_OPCODES, CloseCode, Frame
from websockets.http11 import Request, Response
from websockets.protocol import State

from runtime.errors import UsageError
from runtime.supervision import ConnectionLost, Policy
from schemas.symbols import ClosedBy

_SHORTEST_TOKEN_CHARACTERS = 16
"""A shorter token is not looked for in what the peer says: it could stand there by chance."""
_ABNORMAL = 1006

# the library's debug lines hold headers and messages; what matters of a connection is counted and logged by its dialler
logging.getLogger("websockets.client").setLevel(logging.CRITICAL)


class Socket(ClientConnection):
    """The library's connection. It also says what arrived and when, and tells `watcher` of round trips and the end."""

    def __init__(self, protocol: ClientProtocol, **limits: Any) -> None:
        super().__init__(protocol, **limits)
        self.messages = 0
        self.active_s = self.heard_s = self.loop.time()
        self.round_trip_s: float | None = None
        self.on_round_trip: Callable[[float], None] | None = None
        self.on_end: Callable[[], None] | None = None
        self._linger: asyncio.TimerHandle | None = None

    def process_event(self, event: Frame | Request | Response) -> None:
        """Count complete messages."""
        super().process_event(event)
        if isinstance(event, Frame) and event.opcode in DATA_OPCODES:
            self.messages += event.fin
            self.active_s = self.heard_s = self.loop.time()

    def data_received(self, data: bytes) -> None:
        """Give a peer that is to end the TCP connection, and does not, no longer than the close timeout."""
        super().data_received(data)
        if self.state is State.CLOSING and self._linger is None and self.close_timeout is not None:
            self._linger = self.loop.call_later(self.close_timeout, self.transport.abort)

    def acknowledge_pings(self, data: bytes) -> None:
        """Take the time from a ping to the pong that carries its payload."""
        matched = data in self.pending_pings
        super().acknowledge_pings(data)
        if matched:
            self.round_trip_s = self.latency
            if self.on_round_trip is not None:
                self.on_round_trip(self.latency)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that the connection is over, whether or not somebody waits on it."""
        super().connection_lost(exc)
        if self._linger is not None:
            self._linger.cancel()
        if self.on_end is not None:
            self.on_end()


class Connection:
    """A live connection. Made by a `Dialer`; one task receives and sends, any may close.

    Dead is: no pong within `pong_timeout_s`, a message of ours not taken for so long, or no message for `inactivity_s`.
    The timers of the first and the last run whether or not somebody waits in `receive`. A message that arrived and was
    not taken yet counts as activity, pings and pongs do not.
    """

    def __init__(
        self,
        socket: Socket,
        policy: Policy,
        on_end: Callable[["Connection"], None],
        *,
        token: str | None = None,
        attempt: int = 1,
    ) -> None:
        self.token = token
        """The bearer token it was dialled with, for peers that want it in a message; None without one."""
        self.attempt = attempt
        """Which dial in a row it was; 1: the first after a stable connection, or at all."""
        self._socket = socket
        self._policy = policy
        self._on_end = on_end
        self._taken = 0
        self._closing = False
        self._dead = False
        self._lost: tuple[int, str, ClosedBy] | None = None
        self._watch: asyncio.TimerHandle | None = None
        socket.on_end = self._ended
        if socket.state is State.CLOSED:
            self._ended()
        elif policy.inactivity_s is not None:
            self._watch = socket.loop.call_later(policy.inactivity_s, self._look)

    @property
    def lost(self) -> ConnectionLost | None:
        """How the connection ended; None while it lives. Messages that arrived before may still be received."""
        return None if self._lost is None else ConnectionLost(*self._lost)

    @property
    def messages(self) -> int:
        """Complete messages that have arrived."""
        return self._socket.messages

    @property
    def quiet_s(self) -> float:
        """Seconds since the last message arrived; since the handshake where none did."""
        return self._socket.loop.time() - self._socket.heard_s

    @property
    def round_trip_s(self) -> float | None:
        """Seconds from the last answered ping to its pong; None before the first."""
        return self._socket.round_trip_s

    async def receive(self) -> str | bytes:
        """Return the next message: str of a text frame, bytes of a binary one. Cancelling loses none.

        A text that repeats our token comes without it. Raises `ConnectionLost`, also after a normal close. A text that
        is no UTF-8 or a message longer than `max_message_bytes` ends the connection (RFC 6455, 8.1 and 7.4.1: 1007,
        1009; closed by LOCAL).
        """
        try:
            message = await self._socket.recv()
        except ConnectionClosed:
            raise self._loss() from None
        except ConcurrencyError as error:
            text = "a connection has one owner: two tasks wait for its next message"
            raise UsageError(text) from error
        self._taken += 1
        self._socket.active_s = self._socket.loop.time()
        return self._without_token(message) if isinstance(message, str) else message

    async def send(self, message: str | bytes) -> None:
        """Send a message: text from str, binary from bytes. Raises `ConnectionLost`."""
        try:
            async with asyncio.timeout(self._policy.pong_timeout_s):
                await self._socket.send(message)
        except ConnectionClosed:
            raise self._loss() from None
        except TimeoutError:
            await self._declare_dead()
            raise self._loss() from None

    async def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Close with this code; returns when the connection is over, after `close_timeout_s` at the latest."""
        self._closing = True
        try:
            async with asyncio.timeout(self._policy.close_timeout_s):
                await self._socket.close(code, reason)
        except TimeoutError:
            self._socket.transport.abort()
            await self._socket.wait_closed()
        except BaseException:
            self._socket.transport.abort()
            raise

    def _look(self) -> None:
        """End the connection when it has been quiet for too long; else look again when that could be."""
        if self._socket.state is not State.OPEN:
            return
        limit_s = self._policy.inactivity_s or 0.0
        now_s = self._socket.loop.time()
        unread = self._socket.messages > self._taken
        quiet_s = 0.0 if unread else now_s - self._socket.active_s
        if quiet_s >= limit_s:
            self._dead = True
            self._socket.transport.abort()
        else:
            self._watch = self._socket.loop.call_later(limit_s - quiet_s, self._look)

    async def _declare_dead(self) -> None:
        self._dead = True
        self._socket.transport.abort()
        await self._socket.wait_closed()

    def _ended(self) -> None:
        if self._lost is None:
            self._lost = self._ending()
            if self._watch is not None:
                self._watch.cancel()
            self._on_end(self)

    def _ending(self) -> tuple[int, str, ClosedBy]:
        """Return code, reason and who: of the first close frame either side sent; 1006 where there was none."""
        error = self._socket.protocol.close_exc
        received, sent = error.rcvd, error.sent
        # the library says 1011 of itself only where a ping was not answered
        unanswered = sent is not None and sent.code == CloseCode.INTERNAL_ERROR and not error.rcvd_then_sent
        if self._dead or (unanswered and not self._closing):
            return _ABNORMAL, "", ClosedBy.TIMEOUT
        if received is not None and error.rcvd_then_sent is not False:
            return received.code, self._reason(received.reason), ClosedBy.REMOTE
        if sent is not None:
            return sent.code, sent.reason, ClosedBy.LOCAL
        return _ABNORMAL, "", ClosedBy.NETWORK

    def _without_token(self, text: str) -> str:
        """Return what the peer says as it may go into records and logs: a peer may repeat the token it refuses."""
        token = self.token
        if token is None or len(token) < _SHORTEST_TOKEN_CHARACTERS or token not in text:
            return text
        return text.replace(token, "...")

    def _reason(self, text: str) -> str:
        """Return the reason of a close likewise. It has 123 bytes at most, so a long token is cut short there."""
        text, token = self._without_token(text), self.token or ""
        for size in range(len(token) - 1, _SHORTEST_TOKEN_CHARACTERS - 1, -1):
            if text.endswith(token[:size]):
                return f"{text[:-size]}..."
        return text

    def _loss(self) -> ConnectionLost:
        return self.lost or ConnectionLost(_ABNORMAL, "", ClosedBy.NETWORK)
