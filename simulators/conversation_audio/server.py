"""Plays the call of each conversation, pings its listeners, and closes those that do not answer or are long silent."""

import asyncio
import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

from simulators.live_call.player import LivePlayer
from simulators.websocket_server.server import ANYTHING, Peer, Server, Spawn

PING_S: Final = 20.0
ANSWER_S: Final = 5.0
IDLE_S: Final = 60.0
NORMAL_CLOSURE: Final = 1000
GOING_AWAY: Final = 1001
_PING_BYTES: Final = 8


class Heartbeat(StrEnum):
    """How the server asks whether its client is alive."""

    CONTROL = "control"
    """By the protocol's own pings."""
    BINARY = "binary"
    """By binary messages, to be sent back as they are."""
    NONE = "none"
    """It does not ask."""


class Framing(StrEnum):
    """How audio is sent."""

    BINARY = "binary"
    """As it is, in binary messages."""
    TEXT = "text"
    """As base64, in text messages."""


@dataclass(slots=True)
class Ping:
    """One question and its answer: after how long it came, None: not in time, or not yet."""

    conversation_id: str
    payload: bytes
    answered_after_s: float | None = None


class ConversationAudioServer(Server):
    """The stand-in. `calls` are what conversations bring, by conversation id.

    is_valid: tells whether the handshake's bearer token is good; None: it needs none, as in the document. ping_s: from
    one ping to the next. answer_s: until when it has to be answered; else the connection is closed with 1001. idle_s: a
    connection over which nothing at all came for so long is closed with `idle_code`, 1000 or 1001; None: never. Raises
    ValueError for binary pings among binary audio: nobody could tell them apart.
    """

    def __init__(  # noqa: PLR0913 - one argument per choice the document leaves open
        self,
        calls: Mapping[str, LivePlayer],
        *,
        is_valid: Callable[[str], bool] | None = None,
        heartbeat: Heartbeat = Heartbeat.CONTROL,
        framing: Framing = Framing.BINARY,
        ping_s: float = PING_S,
        answer_s: float = ANSWER_S,
        idle_s: float | None = IDLE_S,
        idle_code: int = NORMAL_CLOSURE,
    ) -> None:
        """Prepare the calls."""
        super().__init__(is_valid=is_valid, no_ping_s=idle_s, heeds=ANYTHING)
        if (heartbeat, framing) == (Heartbeat.BINARY, Framing.BINARY):
            message = "binary pings need audio as text"
            raise ValueError(message)
        self.calls = dict(calls)
        for call in self.calls.values():
            call.note = self.note_change
        self.pings: list[Ping] = []
        self.unexpected = 0
        """Messages of clients that answer no ping."""
        self._heartbeat = heartbeat
        self._framing = framing
        self._ping_s = ping_s
        self._answer_s = answer_s
        self._idle_code = idle_code
        self._pings = asyncio.Event()
        self._pings.set()

    def path(self, conversation_id: str) -> str:
        """Return where a conversation is dialled."""
        return f"/media/v1/conversations/{conversation_id}/audio"

    def stop_pinging(self) -> None:
        """Ask no more."""
        self._pings.clear()

    def ping_again(self) -> None:
        """Go on asking."""
        self._pings.set()

    def as_json(self) -> dict[str, Any]:
        """Return what happened as plain values for JSON."""
        answered = [ping.answered_after_s for ping in self.pings if ping.answered_after_s is not None]
        return self.seen_as_json() | {
            "pings": len(self.pings),
            "pings_answered": len(answered),
            "slowest_answer_s": max(answered, default=None),
            "unexpected": self.unexpected,
            "calls": {name: call.report.as_json() for name, call in self.calls.items()},
        }

    # --- a connection

    def status_of(self, path: str) -> int:
        """Know the conversations."""
        known = any(path == self.path(name) for name in self.calls)
        return HTTPStatus.SWITCHING_PROTOCOLS if known else HTTPStatus.NOT_FOUND

    async def neglected(self, peer: Peer) -> None:
        """Close it as idle."""
        await peer.close(self._idle_code, "idle")

    async def converse(self, peer: Peer, spawn: Spawn) -> None:
        """Play at once; what comes can only be the answer to a binary ping."""
        conversation_id = next(name for name in self.calls if self.path(name) == peer.path)
        peer.tags.add(conversation_id)
        answers: asyncio.Queue[bytes] = asyncio.Queue()
        spawn(self.calls[conversation_id].play(peer, self._encode))
        if self._heartbeat is not Heartbeat.NONE:
            spawn(self._ask(peer, conversation_id, answers))
        self.note_change()
        async for message in peer:
            if isinstance(message, bytes) and self._heartbeat is Heartbeat.BINARY:
                answers.put_nowait(message)
            else:
                self.unexpected += 1
                self.note_change()

    def _encode(self, payload: bytes) -> str | bytes:
        return payload if self._framing is Framing.BINARY else base64.b64encode(payload).decode("ascii")

    # --- the heartbeat

    async def _ask(self, peer: Peer, conversation_id: str, answers: "asyncio.Queue[bytes]") -> None:
        while True:
            await asyncio.sleep(self._ping_s)
            await self._pings.wait()
            ping = Ping(conversation_id, len(self.pings).to_bytes(_PING_BYTES, "big"))
            self.pings.append(ping)
            asked_s = peer.loop.time()
            try:
                async with asyncio.timeout(self._answer_s):
                    await self._answered(peer, ping, answers)
            except TimeoutError:
                await peer.close(GOING_AWAY, "no answer to a ping")
                return
            ping.answered_after_s = peer.loop.time() - asked_s
            self.note_change()

    async def _answered(self, peer: Peer, ping: Ping, answers: "asyncio.Queue[bytes]") -> None:
        if self._heartbeat is Heartbeat.CONTROL:
            await (await peer.ping(ping.payload))
            return
        await peer.send(ping.payload)
        while await answers.get() != ping.payload:
            self.unexpected += 1
