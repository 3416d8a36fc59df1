"""The bot's end of a run, over either transport: where it is, what it took, how it goes away and comes back."""

import random
from contextlib import AsyncExitStack
from typing import Protocol

from simulators.bridge.script import Answer as BridgeAnswer
from simulators.bridge.script import Fault as BridgeFault
from simulators.bridge.script import Script as BridgeScript
from simulators.bridge.script import transcript, typed
from simulators.bridge.server import BridgeServer
from simulators.cognigy.script import Answer, Fault, Output, Script
from simulators.cognigy.server import CognigyServer

TOKEN = "7ea5e7" * 10 + "beef"
_APP = "app"
_END = "turnEnd"


class BotEnd(Protocol):
    """What a run asks of a bot. After `stop` and `start` it is where it was, and remembers what it took."""

    async def start(self) -> None:
        """Listen."""

    async def stop(self) -> None:
        """Listen no more, and break off what is open."""

    def settings(self) -> dict[str, str]:
        """Return the settings with which a worker finds it."""

    def taken(self) -> list[str]:
        """Return the turn ids of the inputs it took, in order."""


class RestEnd:
    """Cognigy's REST endpoint: quick as a rule; now and then what a network or an overloaded bot is."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._server = CognigyServer(TOKEN, Script(otherwise=self._answer))
        self.start, self.stop = self._server.start, self._server.stop

    def settings(self) -> dict[str, str]:
        """See `BotEnd`."""
        return {"COGNIGY_ENDPOINT_URL": self._server.url, "COGNIGY_URL_TOKEN": TOKEN}

    def taken(self) -> list[str]:
        """See `BotEnd`."""
        return [taken.data["_idem"] for taken in self._server.received]

    def _answer(self, text: str) -> Answer:
        draw, delay_s = self._dice.random(), self._dice.uniform(0.005, 0.06)
        if draw < 0.01:
            return Answer(fault=Fault.RESET_AFTER_READ)
        if draw < 0.015:
            return Answer((Output(text),), fault=Fault.RESET_IN_ANSWER)
        if draw < 0.025:
            return Answer(status=429, retry_after="0")
        if draw < 0.03:
            return Answer(status=503, retry_after="1")
        return Answer((Output(f"Answer to {text}"),), delay_s=delay_s)


class BridgeEnd:
    """The WebSockets of an application; what cuts, closes and falls silent there."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._server = BridgeServer(_APP, BridgeScript(otherwise=self._answer))
        self._up = AsyncExitStack()
        self._port = 0

    async def start(self) -> None:
        """See `BotEnd`."""
        url = await self._up.enter_async_context(self._server.serving(self._port))
        self._port = int(url.rpartition(":")[2])

    async def stop(self) -> None:
        """See `BotEnd`."""
        for peer in self._server.peers():
            peer.abort()
        await self._up.aclose()

    def settings(self) -> dict[str, str]:
        """See `BotEnd`."""
        return {
            "COGNIGY_TRANSPORT": "bridge",
            "COGNIGY_BRIDGE_URL": self._server.url + self._server.path("{conversation_id}"),
            "COGNIGY_BRIDGE_AUTH": "none",
            "COGNIGY_BRIDGE_END_TYPES": _END,
        }

    def taken(self) -> list[str]:
        """See `BotEnd`."""
        return [str(taken.data["id"]) for taken in self._server.received]

    def _answer(self, text: str) -> BridgeAnswer:
        draw, delay_s = self._dice.random(), self._dice.uniform(0.005, 0.06)
        said = transcript(f"Answer to {text}", delay_s)
        if draw < 0.01:
            return BridgeAnswer(fault=BridgeFault.RESET)
        if draw < 0.015:
            return BridgeAnswer((said,), BridgeFault.CLOSE)
        if draw < 0.02:
            return BridgeAnswer(fault=BridgeFault.SILENCE)
        return BridgeAnswer((said, typed(_END)))
