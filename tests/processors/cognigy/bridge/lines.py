"""A bridge client over a stand-in on loopback, and what it heard unasked."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from processors.cognigy.bridge.client import BridgeClient, dialling
from processors.cognigy.bridge.config import BridgeSettings
from processors.cognigy.events import BotInput, Ended
from processors.cognigy.messages import turn_id
from runtime.clock import SystemClock
from runtime.log import get_logger
from runtime.pace import Pace
from simulators.bridge.server import BridgeServer
from tests.processors.cognigy.turns import utterance

CALL = "conversation"


def said(text="hello", counter=0, **more) -> BotInput:
    made = utterance(text, counter=counter)
    return BotInput(turn_id(made.utterance_id), made, **{"left_s": 5.0, **more})


class Line:
    """One call over a client."""

    def __init__(self, server: BridgeServer, client: BridgeClient) -> None:
        self.server = server
        self.client = client
        self.unasked: list = []

    def open(self, call=CALL) -> None:
        self.client.open(call, lambda events, said: self.unasked.extend((event, said) for event in events))

    async def send(self, one: BotInput) -> tuple[list, Ended]:
        """Send an input; return its events and what it came to."""
        async with asyncio.timeout(30):
            events = [event async for events in self.client.send(CALL, one) for event in events]
        assert isinstance(events[-1], Ended)
        return events[:-1], events[-1].verdict


@contextlib.asynccontextmanager
async def line(server=None, *, token=None, answer_s=1.0, **settings) -> AsyncIterator[Line]:
    """A client on a stand-in, with one call open."""
    server = server or BridgeServer("app")
    async with server.serving() as url, asyncio.TaskGroup() as group:
        fields = {
            "url": url + server.path("{conversation_id}"),
            "auth": "none" if token is None else "header",
            "quiet_s": 0.05,
            "first_delay_s": 0.01,
            **settings,
        }
        own = BridgeSettings(**fields)
        clock = SystemClock()
        dial = dialling(own, clock, token, Pace(1000, 1000))
        client = BridgeClient(own, dial, group, clock, get_logger("cognigy"), answer_s=answer_s)
        made = Line(server, client)
        made.open()
        try:
            yield made
        finally:
            client.stop()
