"""Ways to answer a peer, to wait for its answer, and to speak of it, that are wrong."""

import base64
import binascii
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from ingest.protocol import Effect, SendText


class Heard:
    """Takes audio in binary; where `binary_pings`, binary messages are pings, sent back, and text is audio."""

    def __init__(self, url: str, *, binary_pings: bool) -> None:
        self.url, self.binary_pings = url, binary_pings
        self.audio: list[bytes] = []

    async def run(self) -> None:
        """Connect and listen."""
        async with connect(self.url, proxy=None, ping_interval=None, close_timeout=1) as socket:
            with contextlib.suppress(ConnectionClosed):
                async for message in socket:
                    await self.take(socket, message)

    async def take(self, socket: ClientConnection, message: str | bytes) -> None:
        """Take a message by its kind."""
        if isinstance(message, str):
            with contextlib.suppress(binascii.Error):
                self.audio.append(base64.b64decode(message, validate=True))
        elif self.binary_pings:
            await socket.send(message)
        else:
            self.audio.append(message)


class EveryBinaryIsAPing(Heard):
    """B7: whatever is binary is a ping, and the answer to a ping is a ping."""

    async def take(self, socket: ClientConnection, message: str | bytes) -> None:
        """Take a message."""
        if isinstance(message, bytes):
            await socket.ping(message)
        else:
            self.audio.append(message.encode())


class WaitsForTheAnswer:
    """B16: sends its token and waits; what is refused without a word is never noticed."""

    def __init__(self) -> None:
        self.token = ""

    def use_token(self, token: str) -> None:
        """Take the token."""
        self.token = token

    def connected(self, now_s: float) -> list[Effect]:
        """Say who we are."""
        return [SendText(json.dumps({"type": "auth", "token": self.token}))]

    def receive_text(self, text: str, now_s: float) -> list[Effect]:
        """Go on once it is granted."""
        return [SendText('{"type": "subscribe"}')] if '"success"' in text else []

    def deadline_s(self) -> float | None:
        """Return None: no answer is ever overdue."""
        return None

    def timeout(self, now_s: float) -> list[Effect]:
        """Do nothing."""
        return []


class PrintsWhatItHas:
    """F7: what is sent and what comes is printed as it is."""

    def __init__(self, url: str, token: Callable[[], Awaitable[str]]) -> None:
        self.url, self.token = url, token
        self.count = 0

    async def run(self) -> None:
        """Connect, again and again, and print."""
        while True:
            headers = {"Authorization": f"Bearer {await self.token()}"}
            try:
                async with connect(self.url, additional_headers=headers, proxy=None, ping_interval=None) as socket:
                    async for message in socket:
                        self.count += 1
                        sys.stderr.write(f"received {message!r}\n")
                    sys.stderr.write(f"closed with {socket.close_code}\n")
            except Exception as error:  # noqa: BLE001 - whatever it is, it is printed
                sys.stderr.write(f"failed with {headers}: {error}\n")
