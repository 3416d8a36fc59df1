"""An accepted socket, from its first byte: as a connection whose request is measured, and as a session's transport.

Until its request is answered a socket costs its owner nothing, so the server counts it from the moment it is there,
and turns it away where there are too many or where it asks too much; such an answer is written by hand, for there is no
request yet that could be answered.

All sockets are read into one buffer, so a socket has at most that much read at a turn of the loop. Audio is cut out of
it (`ingest.receive`) and heard at once; the library's machine decides over everything else. Reading rests while a
request waits for its turn or its answer, while messages wait to be received, and while the peer does not read what we
answer. What of that is our own delay is never held against the peer: a request counts from when it came.
"""

import asyncio
import http
from collections import deque
from contextlib import suppress
from enum import IntFlag, auto
from functools import partial
from typing import cast

from websockets.exceptions import HeaderLineTooLong, RequestLineTooLong, TooManyHeaders
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from ingest.arrived import received_ago_s
from ingest.door import Door
from ingest.head import RequestHead
from ingest.later import Unheard
from ingest.protocol import Admitted
from ingest.receive import FrameSplitter, Hearer
from runtime.supervision import ConnectionLost
from schemas.symbols import ClosedBy

ABNORMAL = 1006
READ_BYTES = 8_192
"""What is read from a socket in a turn of the loop: small frames take long for their size, and others have theirs."""
CLOSE_S = 10.0
"""How long a peer may take to answer the end of a WebSocket."""
_UNREAD, _UNREAD_AGAIN = 16, 4
"""Reading rests above so many messages that wait to be received, until there are no more than the second."""
_UNSENT_BYTES = 32_768
_ENDING = (State.CLOSING, State.CLOSED)
_TOO_LONG = (HeaderLineTooLong, RequestLineTooLong, TooManyHeaders)


class _Pause(IntFlag):
    """Why a socket is not read now."""

    TURNSTILE = auto()
    UNANSWERED = auto()
    TURN = auto()
    UNREAD = auto()
    UNSENT = auto()


class AcceptedConnection(asyncio.BufferedProtocol):
    """A connection that carries what its request was admitted with. The request may have so many bytes, no more.

    `came_s` is the wall time at which the request's end came, however long it waited to be read and for its turn.

    Implements `ingest.session.Transport`. `hearer` takes whole messages at once, or says that they must be received; it
    is asked only while nothing that came before is to be received.
    """

    admitted: Admitted | None = None
    hearer: Hearer | None = None
    came_s: float = 0.0
    _transport: asyncio.Transport

    def __init__(self, door: Door) -> None:
        self._door = door
        self._buffer = door.buffer
        self._loop = asyncio.get_running_loop()
        self._protocol = ServerProtocol(max_size=door.max_frame_bytes)
        self._splitter = FrameSplitter(door.max_frame_bytes)
        self._asked = False
        self._head = RequestHead(door.max_header_bytes)
        self._early = b""
        self._turned_away = False
        self._overdue = False
        self._paused = _Pause(0)
        self._unheard = Unheard()
        self._messages: deque[str | bytes] = deque()
        self._fragments = bytearray()
        self._is_text = False
        self._deaf = False
        self._waiter: asyncio.Future[None] | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._gone = asyncio.Event()
        self._late: asyncio.TimerHandle | None = None
        self._end: asyncio.TimerHandle | None = None

    @property
    def open(self) -> bool:
        """True from the answer to the request until an end has begun."""
        return self._protocol.state is State.OPEN

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or end at once where there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(_UNSENT_BYTES)
        if not self._door.entered(self):
            self._turn_away(http.HTTPStatus.SERVICE_UNAVAILABLE, "Retry-After: 1\r\n")
        else:
            self._late = self._loop.call_later(self._door.handshake_deadline_s, self._too_late)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the interface
        """Return what the socket is read into."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what came; of a request no more than it may have."""
        data = self._buffer[:nbytes]
        if self._asked:
            if nbytes == len(self._buffer):
                # there may be more, which would be read in this turn
                self._pause(_Pause.TURN)
                self._loop.call_soon(self._go_on, _Pause.TURN)
            self._splitter.feed(data, self._heard, self._machine)
        elif not self._turned_away and self._end is None:
            self.came_s = self._door.wall_s() - received_ago_s(self._transport.get_extra_info("socket"))
            # a request costs as much as dozens of messages of audio, which must not wait for a burst of them
            self._pause(_Pause.TURNSTILE)
            self._door.turnstile.wait(partial(self._turn_came, bytes(data)))

    def eof_received(self) -> None:
        """Take the end of what the peer sends: nobody can say more to it then."""
        self._catch_up()
        self._protocol.receive_eof()
        self._write()

    def pause_writing(self) -> None:
        """Let the peer read first."""
        self._room.clear()
        self._pause(_Pause.UNSENT)

    def resume_writing(self) -> None:
        """Go on."""
        self._room.set()
        self._go_on(_Pause.UNSENT)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the close code says enough
        """Take the end."""
        self._catch_up()
        self._protocol.receive_eof()
        _unwind(self._protocol)
        for timer in (self._late, self._end):
            if timer is not None:
                timer.cancel()
        self.hearer = None
        self._gone.set()
        self._room.set()
        self._wake()
        reason = None
        if not self._asked and not self._turned_away:
            reason = "header_size" if isinstance(self._protocol.handshake_exc, _TOO_LONG) else "no_request"
        self._door.left(self, reason)

    def refusal(self, status: http.HTTPStatus, text: str) -> Response:
        """Return the answer to a request that is refused."""
        return self._protocol.reject(status, text)

    def acceptance(self, request: Request) -> Response:
        """Return the answer to a request that may become a session; a refusal where it asks for no WebSocket."""
        return self._protocol.accept(request)

    def answer(self, response: Response) -> None:
        """Answer the request, if anybody still waits for that."""
        if self._protocol.state is not State.CONNECTING:
            return
        self._protocol.send_response(response)
        self._write()
        self._go_on(_Pause.UNANSWERED)
        early, self._early = self._early, b""
        if early:
            self._splitter.feed(memoryview(early), self._heard, self._machine)

    async def receive(self) -> str | bytes:
        """Return the next message. Cancelling loses none. Raises `ConnectionLost`."""
        while not self._messages:
            if self._gone.is_set():
                raise self._loss()
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message = self._messages.popleft()
        if self._paused & _Pause.UNREAD and len(self._messages) <= _UNREAD_AGAIN:
            self._go_on(_Pause.UNREAD)
        return message

    async def send(self, message: str | bytes) -> None:
        """Send a message, if anybody hears it.

        Where the peer is gone `receive` says so, after all that had come from it: raising here would lose that.
        """
        if self._protocol.state is not State.OPEN:
            return
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
        else:
            self._protocol.send_binary(message)
        self._write()
        await self._room.wait()

    async def close(self, code: int, reason: str = "") -> None:
        """Close the connection; what was not received is dropped. Returns when it is closed."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._write()
        self._deaf = True
        self._messages.clear()
        # who is not read is not seen to go either
        self._go_on(_Pause.UNREAD)
        await self._gone.wait()

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    def _turn_came(self, data: bytes) -> None:
        """Look at bytes of a request, unless nobody waits for the answer any more."""
        if not self._gone.is_set():
            self._request_received(data)
            if self._overdue and not self._asked and not self._turned_away:
                self._turn_away_late()
        self._go_on(_Pause.TURNSTILE)

    def _request_received(self, data: bytes) -> None:
        """Give the request to the machine, and keep what came behind it for later."""
        end = self._head.end_in(data)
        if end is None:
            self._turn_away(http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            self._door.turned_away(self, "header_size")
            return
        self._protocol.receive_data(data[:end])
        self._write()
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._in_time()
                self._asked, self._early = True, data[end:]
                self._pause(_Pause.UNANSWERED)
                self._door.asked(self, event)

    def _machine(self, data: memoryview) -> None:
        """Let the library's machine take bytes, and do what it says. They come behind all audio before them."""
        self._catch_up()
        self._protocol.receive_data(bytes(data))
        self._write()
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._data_received(event)

    def _data_received(self, frame: Frame) -> None:
        """Take a frame of a message; the machine has seen to their order and to the message's length."""
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
        self._fragments += frame.data
        if not frame.fin:
            return
        message, self._fragments = bytes(self._fragments), bytearray()
        if not self._is_text:
            self._hear(message)
            return
        try:
            text = message.decode()
        except UnicodeDecodeError as error:
            self._deaf = True
            self._protocol.fail(CloseCode.INVALID_DATA, f"{error.reason} at position {error.start}")
            self._write()
            return
        if self._messages or self.hearer is None or not self.hearer.hear_text(text, self._say):
            self._keep(text)

    def _say(self, text: str) -> bool:
        """Send an answer at once; False where the peer must read first."""
        if not self._room.is_set():
            return False
        if self._protocol.state is State.OPEN:
            self._protocol.send_text(text.encode())
            self._write()
        return True

    def _heard(self, message: bytes) -> None:
        """Let audio wait until answers are given, in bounds."""
        if not self._unheard.add(message, self._door.later, self._catch_up):
            self._catch_up()

    def _catch_up(self) -> None:
        """Hear what waits."""
        for message in self._unheard.taken():
            self._hear(message)

    def _hear(self, message: bytes) -> None:
        """Take a binary message: at once where nothing before it is to be received."""
        if self._messages or self.hearer is None or not self.hearer.hear(message):
            self._keep(message)

    def _keep(self, message: str | bytes) -> None:
        """Let a message be received."""
        if self._deaf:
            return
        self._messages.append(message)
        if len(self._messages) > _UNREAD:
            self._pause(_Pause.UNREAD)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _write(self) -> None:
        """Send what the machine says. Once it has ended the WebSocket, the socket follows soon."""
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                with suppress(OSError, RuntimeError):  # who is gone needs no end
                    self._transport.write_eof()
            else:
                self._transport.close()
        if self._protocol.state in _ENDING:
            self._splitter.loose = True
        if self._end is None and self._protocol.close_expected():
            self._in_time()
            self._end = self._loop.call_later(CLOSE_S, self.abort)

    def _pause(self, why: _Pause) -> None:
        if not self._paused:
            self._transport.pause_reading()
        self._paused |= why

    def _go_on(self, why: _Pause) -> None:
        paused, self._paused = self._paused, self._paused & ~why
        if paused and not self._paused and not self._transport.is_closing():
            self._transport.resume_reading()

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        # the peer may have been in time, and wait for its turn
        self._overdue = True
        if not self._paused & _Pause.TURNSTILE:
            self._turn_away_late()

    def _turn_away_late(self) -> None:
        self._turn_away(http.HTTPStatus.REQUEST_TIMEOUT)
        self._door.turned_away(self, "no_request")

    def _turn_away(self, status: http.HTTPStatus, field: str = "") -> None:
        self._turned_away = True
        answer = f"HTTP/1.1 {status.value} {status.phrase}\r\n{field}Content-Length: 0\r\nConnection: close\r\n\r\n"
        self._transport.write(answer.encode())
        self._transport.close()

    def _loss(self) -> ConnectionLost:
        protocol = self._protocol
        received, sent = protocol.close_rcvd, protocol.close_sent
        if received is None:
            return ConnectionLost(ABNORMAL, "", ClosedBy.LOCAL if sent else ClosedBy.NETWORK)
        by = ClosedBy.REMOTE if protocol.close_rcvd_then_sent else ClosedBy.LOCAL
        return ConnectionLost(received.code, received.reason, by)


def _unwind(protocol: ServerProtocol) -> None:
    """Take from an ended machine the frames that point back at it: only the collector would free it, and its call."""
    protocol.parser.close()
    for error in filter(None, (protocol.parser_exc, protocol.handshake_exc)):
        error.__traceback__ = None
