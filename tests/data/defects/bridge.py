"""Ways to talk to a bot over a WebSocket that are wrong. Each is a client of one call.

The interface: made of a URL, `await run()` keeps it up, `await ask(text)` sends an input and returns the texts that
came as its answer (None where it was not sent).
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

ANSWER_S, QUIET_S, CONNECT_S = 0.6, 0.2, 1.2


class Bridge:
    """Does it right, as far as these checks go. What is wrong, subclasses put in."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.socket: ClientConnection | None = None
        self.heard: asyncio.Queue[str | None] = asyncio.Queue()
        self.unanswered = False

    async def run(self) -> None:
        """Connect and listen, again and again."""
        while True:
            with contextlib.suppress(OSError, InvalidHandshake):
                self.socket = await connect(self.url, proxy=None, ping_interval=None)
                await self.listen(self.socket)
                self.socket = None
                self.heard.put_nowait(None)
            await asyncio.sleep(0.01)

    async def listen(self, socket: ClientConnection) -> None:
        """Take messages until the connection is over."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.take(await socket.recv())

    def take(self, message: str | bytes) -> None:
        """Keep what was said."""
        if isinstance(message, str):
            with contextlib.suppress(ValueError):
                self.said(json.loads(message))

    def said(self, content: Any) -> None:
        """Keep a text."""
        if isinstance(content, dict) and isinstance(content.get("text"), str):
            self.heard.put_nowait(content["text"])

    async def ask(self, text: str) -> list[str] | None:
        """See above."""
        socket = await self.ready()
        if socket is None:
            return None
        self.forget()
        with contextlib.suppress(ConnectionClosed):
            await socket.send(self.message(text))
        found = await self.answer()
        self.unanswered = not found
        return found

    async def ready(self) -> ClientConnection | None:
        """Return a connection, a new one after an input nobody answered; None where there is none in time."""
        if self.unanswered and self.socket is not None:
            old, self.socket = self.socket, None
            await old.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_S):
                while self.socket is None:
                    await asyncio.sleep(0.005)
        return self.socket

    def forget(self) -> None:
        """Let what came before be no answer to what is asked next."""
        while not self.heard.empty():
            self.heard.get_nowait()

    @staticmethod
    def message(text: str) -> str:
        """Return the message of an input."""
        data = {"text": text, "sessionId": "conversation", "id": text}
        return json.dumps({"type": "event", "event": "userInput", "data": data})

    async def answer(self) -> list[str]:
        """Return what comes until nothing more does."""
        found: list[str] = []
        while True:
            try:
                async with asyncio.timeout(QUIET_S if found else ANSWER_S):
                    text = await self.heard.get()
            except TimeoutError:
                return found
            if text is None:
                return found
            found.append(text)


class ParsesEverything(Bridge):
    """B5: every message goes into the JSON parser, and what comes out of it ends the connection."""

    def take(self, message: str | bytes) -> None:
        """Keep what was said."""
        try:
            self.said(json.loads(message))
        except ValueError:
            raise ConnectionResetError from None


class SendsAgain(Bridge):
    """G1: where the connection ends after an input was sent, it connects again and sends it again."""

    async def ask(self, text: str) -> list[str] | None:
        """See above."""
        found = await super().ask(text)
        return found if found or found is None else await super().ask(text)


class ListensToTheFirst(Bridge):
    """G2: it connects again, and goes on listening to the connection that is dead."""

    async def listen(self, socket: ClientConnection) -> None:
        """Take messages of the first connection only."""
        if getattr(self, "first", socket) is not socket:
            await socket.wait_closed()
            return
        self.first = socket
        await super().listen(socket)


class TakesTheNextForTheAnswer(Bridge):
    """G3: whatever comes next is the answer to what was asked last."""

    async def ready(self) -> ClientConnection | None:
        """Return a connection, be it one over which an answer is still due."""
        self.unanswered = False
        return await super().ready()


class KeepsForLater(Bridge):
    """G4: what cannot be sent is kept, however long, and sent when there is a connection."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.kept: list[str] = []

    async def listen(self, socket: ClientConnection) -> None:
        """Send what was kept, then listen."""
        kept, self.kept = self.kept, []
        for text in kept:
            await socket.send(self.message(text))
        await super().listen(socket)

    async def ask(self, text: str) -> list[str] | None:
        """See above."""
        if self.socket is None:
            self.kept.append(text)
            return None
        return await super().ask(text)


class GivesUpForGood(Bridge):
    """G5: after five connections in a row without an input it never connects again."""

    async def run(self) -> None:
        """Connect and listen five times."""
        for _ in range(5):
            with contextlib.suppress(OSError, InvalidHandshake):
                self.socket = await connect(self.url, proxy=None, ping_interval=None)
                await self.listen(self.socket)
                self.socket = None
            await asyncio.sleep(0.01)
        await asyncio.Event().wait()


class NeverRetriesTheFirst(Bridge):
    """G6: only a connection that was there once is made again."""

    async def run(self) -> None:
        """Connect once; then again and again."""
        try:
            self.socket = await connect(self.url, proxy=None, ping_interval=None)
        except (OSError, InvalidHandshake):
            await asyncio.Event().wait()
            return
        await self.listen(self.socket)
        await super().run()


Ask = Callable[[str], Awaitable[int]]
"""A text → the status the bot answers with, 0 where the connection broke after the text was sent."""


class Inputs:
    """Carries the inputs of one conversation to a bot over HTTP, one after another, and gives each one end."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def carry(self, texts: list[str]) -> None:
        """Carry inputs: what was refused for now is tried again before the next, what may have been taken is not."""
        for text in texts:
            for _ in range(3):
                if await self._ask(text) != 429:
                    break


class RetriesLater(Inputs):
    """G7: what was refused for now is put aside, and sent when the others have been."""

    async def carry(self, texts: list[str]) -> None:
        """Carry inputs."""
        aside = [text for text in texts if await self._ask(text) == 429]
        for text in aside:
            await self._ask(text)


class RetriesEverything(Inputs):
    """G8: whatever is no answer is sent again."""

    async def carry(self, texts: list[str]) -> None:
        """Carry inputs."""
        for text in texts:
            for _ in range(3):
                if await self._ask(text) == 200:
                    break
