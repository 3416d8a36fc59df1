"""Serves the WebSockets of one app and answers as its script says; keeps every input and every piece of voice."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from simulators.bridge.script import Answer, Fault, Input, Message, Script, Voice, input_of, named, voice_of
from simulators.websocket_server.server import Peer, Server, Spawn

_INTERNAL_ERROR: Final = 1011


class BridgeServer(Server):
    """The stand-in. Any WebSocket of the app may be dialled; a call's is named by its last part.

    `received` holds every input it took, in order of arrival, whatever became of the answer; `voices` what it heard;
    `odd` counts messages that are neither. Inputs of one connection are answered one after another.
    """

    def __init__(
        self, app_id: str, script: Script | None = None, *, is_valid: Callable[[str], bool] | None = None
    ) -> None:
        """Prepare; nothing listens yet. `is_valid` None: handshakes need no token."""
        super().__init__(is_valid=is_valid)
        self.script = script or Script()
        self.received: list[Input] = []
        self.voices: list[Voice] = []
        self.odd = 0
        self._prefix = f"/v2/appfoundry/apps/{app_id}/websockets/"

    def path(self, websocket_id: str) -> str:
        """Return where a WebSocket is dialled."""
        return self._prefix + websocket_id

    async def took(self, count: int) -> None:
        """Return when so many inputs have been taken."""
        await self.until(lambda: len(self.received) >= count)

    def texts(self, session_id: str) -> list[str | None]:
        """Return the texts a call's inputs had, in order of arrival."""
        return [taken.text for taken in self.received if taken.session_id == session_id]

    async def say(self, websocket_id: str, *messages: Message) -> int:
        """Say something unasked; returns how many connections heard it."""
        reached = 0
        for message in messages:
            await asyncio.sleep(message.after_s)
            reached = await self.inject(message.content, websocket_id)
        return reached

    def status_of(self, path: str) -> int:
        """Know every WebSocket of the app."""
        known = path.startswith(self._prefix) and len(path) > len(self._prefix)
        return HTTPStatus.SWITCHING_PROTOCOLS if known else HTTPStatus.NOT_FOUND

    async def converse(self, peer: Peer, spawn: Spawn) -> None:  # noqa: ARG002 - it answers in its turn
        """Take what comes and answer it."""
        peer.tags.add(peer.path.removeprefix(self._prefix))
        self.note_change()
        async for message in peer:
            now_s = asyncio.get_running_loop().time()
            data, voice = input_of(message), voice_of(message, now_s)
            if voice is not None:
                self.voices.append(voice)
            elif data is None:
                self.odd += 1
            else:
                self.received.append(Input(data.get("sessionId", ""), data.get("text"), data, peer.path, now_s))
                self.note_change()
                if not await self._answer(peer, self.script.answer(data.get("text")), data.get("id")):
                    return
            self.note_change()

    async def _answer(self, peer: Peer, answer: Answer, turn_id: object) -> bool:
        """Answer an input; tell whether the connection stays."""
        if answer.fault is Fault.SILENCE:
            return True
        for message in answer.messages:
            await asyncio.sleep(message.after_s)
            await peer.send(named(message.content, turn_id) if answer.echoes_turn else message.content)
        if answer.fault is Fault.RESET:
            peer.abort()
        elif answer.fault is Fault.CLOSE:
            await peer.close(_INTERNAL_ERROR, "as told")
        return answer.fault is Fault.NONE
