"""Expects a token, then subscriptions, and plays the calls they name."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from simulators.live_call.player import LivePlayer
from simulators.media_websocket import messages
from simulators.media_websocket.messages import Auth, Subscribe
from simulators.websocket_server.server import Peer, Server, Spawn

PATH: Final = "/api/v2/media/websocket"
POLICY_VIOLATION: Final = 1008


class AuthFault(StrEnum):
    """What happens to a token, whatever it is worth."""

    SILENT = "silent"
    """It is taken and never answered; the connection stays open and brings nothing."""
    REFUSED = "refused"
    """It is answered with an error that names the scope."""
    UNEXPLAINED = "unexplained"
    """It is answered with an error without a message."""


@dataclass(frozen=True, slots=True)
class Authentication:
    """One token that came: whose it is said to be, whether it was good, and what was answered (None: nothing)."""

    user_id: str | None
    valid: bool
    answer: str | None


class MediaWebSocketServer(Server):
    """The stand-in. `calls` are what connections bring, by connection id.

    is_valid: tells whether the token of a message is good. acknowledges: a subscription is answered before its first
    audio. tells_unknown: an unknown connection id is answered with an error; else never, as the document has it.
    first_message_s: until when the first message has to be there. audio_field: where a chunk's base64 stands.
    close_without_ping_s: a connection over which no ping came for so long is cut.
    """

    def __init__(  # noqa: PLR0913 - one argument per choice the document leaves open
        self,
        calls: Mapping[str, LivePlayer],
        *,
        is_valid: Callable[[str], bool],
        acknowledges: bool = True,
        tells_unknown: bool = False,
        first_message_s: float = 10.0,
        audio_field: str = "data",
        close_without_ping_s: float | None = None,
    ) -> None:
        """Prepare the calls."""
        super().__init__(is_valid=None, no_ping_s=close_without_ping_s)
        self.calls = dict(calls)
        for call in self.calls.values():
            call.note = self.note_change
        self.authentications: list[Authentication] = []
        self.subscriptions: list[Subscribe] = []
        self.unknown_ids: list[str] = []
        self.oddities = 0
        """Messages that are nothing the document knows, or came before their time."""
        self._token_is_valid = is_valid
        self._acknowledges = acknowledges
        self._tells_unknown = tells_unknown
        self._first_message_s = first_message_s
        self._audio_field = audio_field
        self._faults: deque[AuthFault] = deque()

    def fail_auth_next(self, times: int, fault: AuthFault = AuthFault.SILENT) -> None:
        """Do that to the next tokens, whatever they are worth."""
        self._faults.extend([fault] * times)

    def as_json(self) -> dict[str, Any]:
        """Return what happened as plain values for JSON; no token is among it."""
        return self.seen_as_json() | {
            "authentications": [
                {"user_id": one.user_id, "valid": one.valid, "answer": one.answer} for one in self.authentications
            ],
            "subscriptions": [
                {"connection_id": one.connection_id, "capabilities": list(one.capabilities)}
                for one in self.subscriptions
            ],
            "unknown_ids": self.unknown_ids,
            "oddities": self.oddities,
            "calls": {name: call.report.as_json() for name, call in self.calls.items()},
        }

    # --- a connection

    def status_of(self, path: str) -> int:
        """Know one path."""
        return HTTPStatus.SWITCHING_PROTOCOLS if path == PATH else HTTPStatus.NOT_FOUND

    async def converse(self, peer: Peer, spawn: Spawn) -> None:
        """Expect a token in time, then subscriptions; before a good token nothing else is heeded."""
        try:
            async with asyncio.timeout(self._first_message_s):
                message = await peer.recv()
        except TimeoutError:
            await peer.close(POLICY_VIOLATION, "no token")
            return
        while not await self._authenticated(peer, message):
            message = await peer.recv()
        async for message in peer:
            await self._take(peer, message, spawn)

    async def _authenticated(self, peer: Peer, message: str | bytes) -> bool:
        said = messages.read(message)
        if not isinstance(said, Auth):
            self.oddities += 1
            self.note_change()
            return False
        valid = self.accepts(said.token, self._token_is_valid)
        answer = self._answer(valid=valid)
        self.authentications.append(Authentication(said.user_id, valid, answer))
        self.note_change()
        if answer is not None:
            await peer.send(answer)
        return answer == messages.authenticated()

    def _answer(self, *, valid: bool) -> str | None:
        match self._faults.popleft() if self._faults else None:
            case AuthFault.SILENT:
                return None
            case AuthFault.REFUSED:
                return messages.refused()
            case AuthFault.UNEXPLAINED:
                return messages.refused(None)
        return messages.authenticated() if valid else messages.refused("the token is not valid")

    async def _take(self, peer: Peer, message: str | bytes, spawn: Spawn) -> None:
        said = messages.read(message)
        if not isinstance(said, Subscribe):
            self.oddities += 1
            self.note_change()
            return
        self.subscriptions.append(said)
        call = self.calls.get(said.connection_id)
        if call is None:
            self.unknown_ids.append(said.connection_id)
            if self._tells_unknown:
                await peer.send(messages.not_subscribed(said.connection_id))
        elif said.connection_id not in peer.tags:
            peer.tags.add(said.connection_id)
            if self._acknowledges:
                await peer.send(messages.subscribed(said.connection_id))
            spawn(call.play(peer, partial(messages.audio, name=self._audio_field)))
        self.note_change()
