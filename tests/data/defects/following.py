"""Ways to keep one connection up that are wrong. Each is a client of one call over one WebSocket at a time.

The interface: made of a URL, `await run()`; `received` are the packets' numbers in the order in which they were handed
on, `ended` how each connection ended as (code, reason, who), `up` whether there is one.
"""

import asyncio
import contextlib
import json

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

SUBSCRIPTION = json.dumps({"interactions": [{"interactionId": "call"}]})
INACTIVITY_S = 0.3


class Following:
    """Does it right, but for backoff. What is wrong, subclasses put in."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.up = False
        self.received: list[int] = []
        self.ended: list[tuple[object, object, str]] = []
        self.socket: ClientConnection | None = None

    async def run(self) -> None:
        """Connect, subscribe and listen, again and again."""
        while True:
            try:
                socket = await self.open()
                await self.subscribe(socket)
                await self.listen(socket)
            except (OSError, InvalidHandshake) as error:
                self.failed(error)
            await asyncio.sleep(0.01)

    def failed(self, error: Exception) -> None:
        """Take that there was no connection: the next one may be had."""

    async def subscribe(self, socket: ClientConnection) -> None:
        """Ask for the call; whether that is still possible shows where it listens."""
        with contextlib.suppress(ConnectionClosed):
            await socket.send(SUBSCRIPTION)

    async def open(self) -> ClientConnection:
        """Return a connection."""
        self.socket = await connect(self.url, proxy=None, ping_interval=None)
        self.up = True
        return self.socket

    def take(self, text: str | bytes) -> None:
        """Hand a packet on."""
        self.received.append(json.loads(text)["sequenceNumber"])

    async def listen(self, socket: ClientConnection) -> None:
        """Take messages until the connection is over."""
        try:
            while True:
                async with asyncio.timeout(INACTIVITY_S):
                    message = await socket.recv()
                self.take(message)
        except TimeoutError:
            await self.stale(socket)
        except ConnectionClosed as error:
            self.over(*((error.rcvd.code, error.rcvd.reason) if error.rcvd else (1006, "")), "REMOTE")

    async def stale(self, socket: ClientConnection) -> None:
        """End a connection that brings nothing."""
        socket.transport.abort()
        self.over(1006, "", "TIMEOUT")

    def over(self, code: object, reason: object, who: str) -> None:
        """Note the end of the connection."""
        self.up = False
        self.ended.append((code, reason, who))


class LooksAfterEachMessage(Following):
    """B1: whether it has been quiet for too long is asked where something has just come."""

    async def listen(self, socket: ClientConnection) -> None:
        """Take messages; the time of the last one is always now."""
        now_s = asyncio.get_running_loop().time
        try:
            async for message in socket:
                last_s = now_s()
                self.take(message)
                if now_s() - last_s > INACTIVITY_S:
                    await self.stale(socket)
        except ConnectionClosed:
            self.over(1006, "", "NETWORK")


class RaisesTheLibrarysError(Following):
    """B2: a number and a text are given to a class that takes two close frames; the handler for everything eats it."""

    async def listen(self, socket: ClientConnection) -> None:
        """Take messages until it has been quiet for too long."""
        try:
            while True:
                async with asyncio.timeout(INACTIVITY_S):
                    message = await socket.recv()
                self.take(message)
        except TimeoutError:
            socket.transport.abort()
            try:
                raise ConnectionClosed(1001, "nothing came") from None  # type: ignore[arg-type] # noqa: TRY301 - the defect
            except Exception as error:  # noqa: BLE001 - the defect
                self.over(type(error).__name__, str(error), "LOCAL")


class TwoReconnect(Following):
    """B3: who handles the drop connects, and the loop around it connects as well."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.leaked: list[ClientConnection] = []

    async def listen(self, socket: ClientConnection) -> None:
        """Take messages; after a drop have a connection already, of which the loop does not know."""
        try:
            while True:
                self.take(await socket.recv())
        except ConnectionClosed:
            self.over(1006, "", "NETWORK")
            self.leaked.append(await self.open())


class NormalCloseIsSilent(Following):
    """B4: 1000 and 1001 end the loop over messages without an error, and nobody notes anything."""

    async def listen(self, socket: ClientConnection) -> None:
        """Take messages."""
        try:
            async for message in socket:
                self.take(message)
        except ConnectionClosed:
            self.over(1006, "", "NETWORK")


class ReadsTheCodeLikeAnEvent(Following):
    """B8: the handler gets code and reason, and reads them as fields of its first argument."""

    def over(self, code: object, reason: object, who: str) -> None:
        """Note what is undefined."""
        super().over(getattr(code, "code", None), getattr(code, "reason", None), who)


class SubscribesBeforeItConnects(Following):
    """B13: the subscription is sent over a socket that nobody has opened yet."""

    async def run(self) -> None:
        """Subscribe first."""
        await self.socket.send(SUBSCRIPTION)  # type: ignore[union-attr] # the defect
        await super().run()


class BoundToTheFirst(Following):
    """B14: subscription and handler belong to the first socket; the ones after it are opened, and nobody listens."""

    async def run(self) -> None:
        """Connect again and again, subscribe and listen once."""
        socket = await self.open()
        await self.subscribe(socket)
        await self.listen(socket)
        while True:
            await (await self.open()).wait_closed()
            self.over(1006, "", "NETWORK")


class ErrorWithoutListener(Following):
    """B15: an error is told to nobody in particular, which ends the process."""

    def failed(self, error: Exception) -> None:
        """Let it go up."""
        message = "unhandled error event"
        raise RuntimeError(message) from error
