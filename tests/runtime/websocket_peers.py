"""WebSocket servers on loopback that misbehave: below the library where the library would be too polite."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

from websockets.utils import accept_key

from runtime.clock import Clock, ManualClock
from runtime.supervision import Policy
from runtime.websocket import Dialer

CLOSE_1000 = b"\x88\x02\x03\xe8"
"""A server's close frame with code 1000 (RFC 6455, 5.5.1)."""
QUICK = Policy(
    attempts=3, open_timeout_s=5, ping_interval_s=None, pong_timeout_s=5, close_timeout_s=5, max_message_bytes=2**16
)

Raw = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def url_of(server) -> str:
    """Return the address of a listening server."""
    return f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


def dialer(url: str, policy: Policy = QUICK, clock: Clock | None = None, **more) -> Dialer:
    """Return a dialler that never waits between attempts."""
    return Dialer("peer", url, policy, clock or ManualClock(), draw=lambda: 0.0, **more)


async def until(condition: Callable[[], object]) -> None:
    """Return when the condition holds; fail when it does not within half a minute."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def raw_server(talk: Raw) -> AsyncIterator[str]:
    """Serve TCP by hand. What `talk` leaves open is cut at the end."""
    writers = []

    async def serve(reader, writer):
        writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await talk(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield url_of(server)
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)


async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the handshake, and nothing else."""
    request = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = next(line.split(": ")[1] for line in request.split("\r\n") if line.lower().startswith("sec-websocket-key"))
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_key(key).encode() + b"\r\n\r\n"
    )


def unused_url() -> str:
    """Return an address nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"ws://127.0.0.1:{free.getsockname()[1]}"
