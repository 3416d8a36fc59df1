"""An accepted socket, from its first byte: as a connection whose request is measured, and as a session's transport.

Until its request is answered a socket costs its owner nothing, so the server counts it from the moment it is there,
and turns it away where there are too many or where it asks too much; such an answer is written by hand, for there is no
request yet that could be answered.
"""

import asyncio
import http
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, HeaderLineTooLong, RequestLineTooLong, TooManyHeaders
from websockets.frames import Frame, Opcode
from websockets.protocol import Event, State

from ingest.protocol import Admitted
from ingest.turnstile import Turnstile
from runtime.supervision import ConnectionLost
from schemas.symbols import ClosedBy

ABNORMAL = 1006
_READ_BYTES = 8_192
"""What is read from a socket in a turn of the loop: small frames take long for their size, and others have theirs."""
_BEGINNINGS = (Opcode.TEXT, Opcode.BINARY)
_TOO_LONG = (HeaderLineTooLong, RequestLineTooLong, TooManyHeaders)


class Door(Protocol):
    """Who counts the sockets."""

    @property
    def max_header_bytes(self) -> int:
        """Longest request."""

    @property
    def turnstile(self) -> Turnstile:
        """What a new socket waits at before its request is read."""

    @property
    def handshake_deadline_s(self) -> float:
        """How long a request may take."""

    def entered(self, connection: "AcceptedConnection") -> bool:
        """Count a socket that is new; False where it is one too many."""

    def left(self, connection: "AcceptedConnection", reason: str | None) -> None:
        """Forget a socket. `reason` says why it got no further than its request, None where it did."""


class AcceptedConnection(ServerConnection):
    """A connection that carries what its request was admitted with. The request may have so many bytes, no more."""

    admitted: Admitted | None = None
    hear: Callable[[bytes], bool] | None = None
    """Takes a whole binary message at once, or says that it must be received."""
    unread = 0
    """Messages that have begun to arrive and were not received yet."""

    def __init__(self, door: Door, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._door = door
        self._header_bytes = 0
        self._turned_away = False
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or end at once where there are too many."""
        super().connection_made(transport)
        if hasattr(transport, "max_size"):
            transport.max_size = _READ_BYTES
        if not self._door.entered(self):
            self._turn_away(http.HTTPStatus.SERVICE_UNAVAILABLE, "Retry-After: 1\r\n")
        else:
            # a request costs as much as dozens of messages of audio, which must not wait for a burst of them
            self.transport.pause_reading()
            self._door.turnstile.wait(self._read_on)
            self._late = self.loop.call_later(self._door.handshake_deadline_s, self._too_late)

    def data_received(self, data: bytes) -> None:
        """Take what came; of a request no more than it may have."""
        if self.request is not None:
            super().data_received(data)
        elif not self._turned_away:
            self._request_received(data)

    def process_event(self, event: Event) -> None:
        """Let a whole binary message be heard if nothing before it is unread; everything else is to be received."""
        if isinstance(event, Frame) and event.opcode in _BEGINNINGS:
            whole = event.opcode is Opcode.BINARY and event.fin
            if whole and not self.unread and self.hear is not None and self.hear(bytes(event.data)):
                return
            self.unread += 1
        super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end."""
        super().connection_lost(exc)
        self._in_time()
        reason = None
        if self.request is None and not self._turned_away:
            reason = "header_size" if isinstance(self.protocol.handshake_exc, _TOO_LONG) else "no_request"
        self._door.left(self, reason)

    def _request_received(self, data: bytes) -> None:
        self._header_bytes += len(data)
        if self._header_bytes > self._door.max_header_bytes:
            self._turn_away(http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            self._door.left(self, "header_size")
            return
        super().data_received(data)
        if self.request is not None:
            self._in_time()

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        self._turn_away(http.HTTPStatus.REQUEST_TIMEOUT)
        self._door.left(self, "no_request")

    def _turn_away(self, status: http.HTTPStatus, field: str = "") -> None:
        self._turned_away = True
        answer = f"HTTP/1.1 {status.value} {status.phrase}\r\n{field}Content-Length: 0\r\nConnection: close\r\n\r\n"
        self.transport.write(answer.encode())
        self.transport.close()


class WebSocketTransport:
    """A websockets connection as the session's transport."""

    def __init__(self, connection: AcceptedConnection, hear: Callable[[bytes], bool] | None = None) -> None:
        self._connection = connection
        connection.hear = hear

    async def receive(self) -> str | bytes:
        """Return the next message."""
        try:
            message = await self._connection.recv()
        except ConnectionClosed as error:
            raise _lost(error) from None
        self._connection.unread -= 1
        return message

    async def send(self, message: str | bytes) -> None:
        """Send a message, if anybody hears it.

        Where the peer is gone `receive` says so, after all that had come from it: raising here would lose that.
        """
        if self._connection.state is State.OPEN:
            with suppress(ConnectionClosed):
                await self._connection.send(message)

    async def close(self, code: int, reason: str) -> None:
        """Close the connection."""
        await self._connection.close(code, reason)


def _lost(error: ConnectionClosed) -> ConnectionLost:
    if error.rcvd is None:
        return ConnectionLost(ABNORMAL, "", ClosedBy.LOCAL if error.sent else ClosedBy.NETWORK)
    return ConnectionLost(
        error.rcvd.code, error.rcvd.reason, ClosedBy.REMOTE if error.rcvd_then_sent else ClosedBy.LOCAL
    )
