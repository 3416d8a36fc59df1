import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response


def seconds(text: str) -> Decimal:
    assert text.startswith("PT")
    assert text.endswith("S")
    return Decimal(text[2:-1])


@dataclass
class FakeServer:
    """The smallest AudioHook server. `script` says what it does besides, by the type of what it got."""

    choose: Callable[[list[Any]], list[Any]] = lambda offers: offers[:1]
    opened_extra: dict[str, Any] = field(default_factory=dict)
    script: dict[str, Callable[["Peer"], Any]] = field(default_factory=dict)
    status: int = 0
    bears_leaks: bool = False
    headers: list[Headers] = field(default_factory=list)
    peers: list["Peer"] = field(default_factory=list)
    url: str = ""

    def admit(self, _connection: ServerConnection, request: Request) -> Response | None:
        self.headers.append(request.headers)
        return Response(self.status, "No", Headers({"Location": "/elsewhere"})) if self.status else None

    async def serve_peer(self, connection: ServerConnection) -> None:
        peer = Peer(self, connection)
        self.peers.append(peer)
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                await peer.take(message)
        peer.close_code = connection.close_code


@dataclass
class Peer:
    server: FakeServer
    connection: ServerConnection
    seq: int = 0
    texts: list[dict[str, Any]] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)
    leaked: list[bytes] = field(default_factory=list)
    width: int = 2
    timeline: Decimal = Decimal(0)
    drifts: list[Decimal] = field(default_factory=list)
    frames_at: list[int] = field(default_factory=list)
    is_paused: bool = False
    close_code: int | None = None

    async def take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            if self.is_paused and self.server.bears_leaks:
                self.leaked.append(message)
                return
            assert not self.is_paused
            self.frames.append(message)
            self.timeline += Decimal(len(message) // self.width) / 8000
            await self.act("frame")
            return
        text = json.loads(message)
        self.texts.append(text)
        self.frames_at.append(len(self.frames))
        kind = text["type"]
        assert text["seq"] == len(self.texts)
        if kind in {"resumed", "discarded"}:
            assert self.is_paused or not self.width or seconds(text["parameters"]["start"]) == self.timeline
            self.timeline += seconds(text["parameters"]["discarded"])
        self.is_paused = kind == "paused" or (self.is_paused and kind != "resumed")
        if self.width and not self.is_paused:
            self.drifts.append(seconds(text["position"]) - self.timeline)
        if kind == "open":
            media = self.server.choose(text["parameters"]["media"])
            self.width = len(media[0]["channels"]) if media else 0
            await self.say("opened", {"media": media, "startPaused": False} | self.server.opened_extra)
        elif kind == "ping":
            await self.say("pong")
        elif kind == "close":
            await self.say("closed")
        await self.act(kind)

    async def act(self, kind: str) -> None:
        if action := self.server.script.get(kind):
            await action(self)

    async def say(self, kind: str, parameters: dict[str, Any] | None = None, **changes: Any) -> None:
        self.seq += 1
        message = {
            "version": "2",
            "id": self.texts[0]["id"],
            "type": kind,
            "seq": self.seq,
            "clientseq": len(self.texts),
            "parameters": parameters or {},
        }
        await self.connection.send(json.dumps(message | changes))

    def kinds(self) -> list[str]:
        return [text["type"] for text in self.texts]


@pytest.fixture
def serving() -> Callable[..., AbstractAsyncContextManager[FakeServer]]:
    @contextlib.asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[FakeServer]:
        fake = FakeServer(**settings)
        server: Server
        async with serve(
            fake.serve_peer, "127.0.0.1", 0, process_request=fake.admit, compression=None, ping_interval=None
        ) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            fake.url = f"ws://127.0.0.1:{port}/audiohook/v2?side=left"
            yield fake

    return start
