"""Sends timelines and audio to the WebSockets of one app, and keeps every message that clients send."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from simulators.appfoundry.script import AUDIO_FIELD, Timeline, audio, encoded
from simulators.live_call.player import LivePlayer
from simulators.websocket_server.server import Peer, Server, Spawn

IDLE_LIMIT_S: Final = 60.0
NORMAL_CLOSURE: Final = 1000


@dataclass(frozen=True, slots=True)
class Received:
    """A client's message, verbatim."""

    websocket_id: str
    content: str | bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """A message and how many connections it was handed to; 0: nobody was there, and it is gone."""

    websocket_id: str
    content: str | bytes
    reached: int


class AppFoundryServer(Server):
    """The stand-in: one app and its WebSockets, each with what `play` sends, and its audio if `calls` has it.

    speed: seconds of a timeline per second. idle_limit_s: a connection over which no ping came for so long is closed
    with 1000. audio_field: where a chunk's base64 stands. `refuse_next(1, 403)` forbids the next handshake.
    """

    def __init__(  # noqa: PLR0913 - one argument per thing a WebSocket has
        self,
        app_id: str,
        timelines: Mapping[str, Timeline],
        *,
        is_valid: Callable[[str], bool],
        speed: float = 1.0,
        idle_limit_s: float | None = IDLE_LIMIT_S,
        calls: Mapping[str, LivePlayer] | None = None,
        audio_field: str = AUDIO_FIELD,
    ) -> None:
        """Prepare the WebSockets; raises ValueError for a speed that is not positive."""
        super().__init__(is_valid=is_valid, no_ping_s=idle_limit_s)
        if speed <= 0:
            message = "a timeline has a positive speed"
            raise ValueError(message)
        self.sent: list[Sent] = []
        self.received: list[Received] = []
        self._timelines = dict(timelines)
        self._sockets = {self._path(app_id, websocket_id): websocket_id for websocket_id in timelines}
        self.calls = dict(calls or {})
        for call in self.calls.values():
            call.note = self.note_change
        self._app_id = app_id
        self._speed = speed
        self._audio_field = audio_field

    def path(self, websocket_id: str) -> str:
        """Return where a WebSocket is dialled."""
        return self._path(self._app_id, websocket_id)

    async def connected(self, websocket_id: str) -> None:
        """Return when somebody is connected to a WebSocket."""
        await self.until(lambda: bool(self.peers(websocket_id)))

    async def play(self, websocket_id: str, timeline: Timeline | None = None) -> None:
        """Send a timeline that begins now, None: the WebSocket's own. Reconnects neither stop nor delay it."""
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        for message in (self._timelines[websocket_id] if timeline is None else timeline).messages:
            due_s = begun_s + message.at_ms / 1000 / self._speed
            await asyncio.sleep(max(due_s - loop.time(), 0))
            await self.send(websocket_id, message.content)

    async def send(self, websocket_id: str, message: Mapping[str, Any] | str | bytes) -> int:
        """Send a message now; returns to how many connections."""
        content = encoded(message)
        reached = await self.inject(content, websocket_id)
        self.sent.append(Sent(websocket_id, content, reached))
        self.note_change()
        return reached

    def as_json(self) -> dict[str, Any]:
        """Return what happened as plain values for JSON."""
        return self.seen_as_json() | {
            "calls": {name: call.report.as_json() for name, call in self.calls.items()},
            "sent": [
                {"websocket_id": one.websocket_id, "content": str(one.content), "reached": one.reached}
                for one in self.sent
            ],
            "received": [{"websocket_id": one.websocket_id, "content": str(one.content)} for one in self.received],
        }

    # --- a connection

    def status_of(self, path: str) -> int:
        """Know the WebSockets of the app."""
        return HTTPStatus.SWITCHING_PROTOCOLS if path in self._sockets else HTTPStatus.NOT_FOUND

    async def neglected(self, peer: Peer) -> None:
        """Close it as idle."""
        await peer.close(NORMAL_CLOSURE, "idle")

    async def converse(self, peer: Peer, spawn: Spawn) -> None:
        """Keep what the client says; what it hears comes from its call, `play` and `send`."""
        websocket_id = self._sockets[peer.path]
        peer.tags.add(websocket_id)
        call = self.calls.get(websocket_id)
        if call is not None:
            spawn(call.play(peer, self._encode))
        self.note_change()
        async for message in peer:
            self.received.append(Received(websocket_id, message))
            self.note_change()

    def _encode(self, payload: bytes) -> str | bytes:
        return audio(0, payload, self._audio_field).content

    @staticmethod
    def _path(app_id: str, websocket_id: str) -> str:
        return f"/v2/appfoundry/apps/{app_id}/websockets/{websocket_id}"
