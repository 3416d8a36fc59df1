"""Ways to open, measure and end one connection that are wrong."""

import asyncio
import contextlib

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PATIENCE_S = 0.2


async def waits_for_open_only(url: str) -> None:
    """B9: what is awaited is the opening; an error is noted beside it, and nobody waits for that."""
    opened = asyncio.get_running_loop().create_future()
    errors = []
    try:
        socket = await connect(url, proxy=None, ping_interval=None, open_timeout=PATIENCE_S)
        opened.set_result(socket)
    except (OSError, TimeoutError) as error:
        errors.append(error)
    await opened


class Measured:
    """A connection that is pinged: `round_trip_s` of the last answered ping, `dead` once one was not answered."""

    def __init__(self) -> None:
        self.round_trip_s: float | None = None
        self.dead = False

    async def run(self, url: str) -> None:
        """Ping until the connection is over."""
        socket = await connect(url, proxy=None, ping_interval=None, close_timeout=PATIENCE_S)
        try:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self.ping(socket)
                    await asyncio.sleep(PATIENCE_S / 5)
        finally:
            socket.transport.abort()

    async def ping(self, socket: ClientConnection) -> None:
        """Ping and wait for the answer."""
        start_s = asyncio.get_running_loop().time()
        answered = await socket.ping()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await answered
        except TimeoutError:
            self.dead = True
            await asyncio.Event().wait()
        self.round_trip_s = asyncio.get_running_loop().time() - start_s


class MeasuresTheWriting(Measured):
    """B10: the clock stops when the ping is written; whether an answer comes is not looked at."""

    async def ping(self, socket: ClientConnection) -> None:
        """Ping."""
        start_s = asyncio.get_running_loop().time()
        await socket.ping()
        self.round_trip_s = asyncio.get_running_loop().time() - start_s


class Ending:
    """A connection and the notes of its end: `ended()` are LOCAL, REMOTE or NETWORK."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.closing = False
        self.watch: asyncio.Task | None = None

    async def open(self, url: str) -> None:
        """Connect, and watch for the end."""
        self.socket = await connect(url, proxy=None, ping_interval=None)
        self.watch = asyncio.get_running_loop().create_task(self.over())

    async def over(self) -> None:
        """Note the end."""
        await self.socket.wait_closed()
        if self.closing:
            self.notes.append("LOCAL")
        else:
            self.notes.append("NETWORK" if self.socket.close_code == 1006 else "REMOTE")

    async def close(self) -> None:
        """Close on purpose."""
        self.closing = True
        await self.socket.close()
        await self.watch

    def ended(self) -> list[str]:
        """Return what was noted so far."""
        return self.notes


class EveryEndIsADrop(Ending):
    """B11: each end is a drop, one's own too; and the notes are read before the end has come."""

    async def over(self) -> None:
        """Note a drop, whoever it was."""
        await self.socket.wait_closed()
        await asyncio.sleep(0)
        self.notes.append("DROP")

    async def close(self) -> None:
        """Ask for the end, and do not wait for it."""
        self.closing = asyncio.get_running_loop().create_task(self.socket.close())


async def measures_characters(url: str, longest_bytes: int) -> str:
    """B12: the length of a text is taken for the bytes it came in."""
    async with connect(url, proxy=None, ping_interval=None, max_size=None) as socket:
        text = await socket.recv()
        if len(text) > longest_bytes:
            raise ValueError(len(text))
        return str(text)
