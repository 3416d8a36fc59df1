"""B5, F6 and G1 to G8: what goes wrong between a bot and who talks to it. The defects: tests/data/defects/README.md."""

import asyncio
import contextlib
import json

import pytest

from processors.cognigy.bridge.client import BridgeClient, dialling
from processors.cognigy.bridge.config import BridgeSettings
from processors.cognigy.bridge.messages import user_input
from processors.cognigy.events import BotInput, Ended, Heard, Outcome
from processors.cognigy.messages import turn_id
from processors.cognigy.replies import NoReply, Reply
from runtime.clock import ManualClock, SystemClock
from runtime.log import get_logger
from runtime.pace import Pace
from simulators.bridge.script import Answer, Fault, Message, transcript
from simulators.bridge.server import BridgeServer
from tests.data.defects import bridge, outward
from tests.ingest.showing import eventually, running, shows
from tests.processors.cognigy.bridge.lines import CALL, said
from tests.processors.cognigy.turns import Desk, utterance
from tests.processors.cognigy.turns import said as says


class OurBridge:
    """Our transport behind the same interface."""

    def __init__(self, url: str) -> None:
        fields = {"url": url + "?{conversation_id}", "auth": "none", "quiet_s": bridge.QUIET_S}
        self._settings = BridgeSettings(**fields, first_delay_s=0.01, longest_delay_s=0.05, attempts=1000)
        self._client: BridgeClient | None = None
        self._asked = 0

    async def run(self) -> None:
        """Keep the call's connection up."""
        clock = SystemClock()
        dial = dialling(self._settings, clock, None, Pace(1000, 1000))
        async with asyncio.TaskGroup() as group:
            log = get_logger("cognigy")
            client = self._client = BridgeClient(self._settings, dial, group, clock, log, answer_s=bridge.ANSWER_S)
            client.open(CALL, lambda _events, _said: None)
            try:
                await asyncio.Event().wait()
            finally:
                client.stop()

    async def ask(self, text: str) -> list[str] | None:
        """See `tests.data.defects.bridge`."""
        await eventually(lambda: self._client)
        self._asked += 1
        one = said(text, self._asked, left_s=bridge.CONNECT_S)
        events = [event async for batch in self._client.send(CALL, one) for event in batch]
        ended = events[-1]
        assert isinstance(ended, Ended)
        if ended.verdict.outcome is Outcome.UNSENT:
            return None
        return [event.text for event in events if isinstance(event, Heard)]


@contextlib.asynccontextmanager
async def talking(make, server=None):
    """A stand-in and a client of it that is up."""
    server = server or BridgeServer("app")
    server.script.otherwise = lambda text: Answer((transcript(f"to {text}"),))
    async with server.serving() as url:
        client = make(url + server.path(CALL))
        async with running(client.run()):
            yield server, client


@shows(OurBridge, bridge.Bridge, B5=bridge.ParsesEverything)
async def test_a_binary_message_is_no_text_and_ends_nothing(make):
    async with talking(make) as (server, client):
        server.script.queue.append(Answer((Message(b"\xff\xff\x00"), transcript("yes"))))
        assert (await client.ask("one"), server.connections) == (["yes"], 1)


@shows(OurBridge, bridge.Bridge, G1=bridge.SendsAgain)
async def test_an_input_that_was_sent_is_never_sent_again(make):
    async with talking(make) as (server, client):
        server.script.queue.append(Answer(fault=Fault.RESET))
        assert await client.ask("one") == []
        assert await client.ask("two") == ["to two"]
        assert [taken.text for taken in server.received] == ["one", "two"]


@shows(OurBridge, bridge.Bridge, G2=bridge.ListensToTheFirst)
async def test_after_a_reconnect_the_new_connection_is_heard(make):
    async with talking(make) as (server, client):
        assert await client.ask("one") == ["to one"]
        server.abort()
        await server.until(lambda: server.connections == 2)
        await asyncio.sleep(0.02)
        assert await client.ask("two") == ["to two"]


@shows(OurBridge, bridge.Bridge, G3=bridge.TakesTheNextForTheAnswer)
async def test_a_late_answer_is_none_to_what_was_asked_next(make):
    async with talking(make) as (server, client):
        server.script.queue.append(Answer((transcript("late", bridge.ANSWER_S + 0.05),)))
        assert await client.ask("one") == []
        server.script.queue.append(Answer((transcript("its own", bridge.ANSWER_S / 3),)))
        assert await client.ask("two") == ["its own"]


@shows(OurBridge, bridge.Bridge, G4=bridge.KeepsForLater)
async def test_what_could_not_be_sent_in_time_is_not_sent_later(make):
    server = BridgeServer("app")
    server.refuse_next(10_000, 503)
    async with talking(make, server):
        pass
    server = BridgeServer("app")
    server.refuse_next(10_000, 503)
    async with talking(make, server) as (_, client):
        assert await client.ask("old") is None
        server.refuse_no_more()
        await server.until(server.peers)
        await asyncio.sleep(0.05)
        assert await client.ask("new") == ["to new"]
        assert [taken.text for taken in server.received] == ["new"]


@shows(OurBridge, bridge.Bridge, G5=bridge.GivesUpForGood)
async def test_a_quiet_caller_s_connection_is_made_again_however_often_it_drops(make):
    async with talking(make) as (server, client):
        for count in range(1, 8):
            await eventually(lambda count=count: server.connections >= count and server.peers())
            server.abort()
        await eventually(lambda: server.connections >= 8)
        assert await client.ask("still there?") == ["to still there?"]


@shows(OurBridge, bridge.Bridge, G6=bridge.NeverRetriesTheFirst)
async def test_a_first_connection_that_fails_is_tried_again(make):
    server = BridgeServer("app")
    server.refuse_next(2, 503)
    async with talking(make, server) as (_, client):
        await eventually(server.peers)
        assert await client.ask("one") == ["to one"]


def our_message(_clock):
    return lambda one: user_input(BotInput(turn_id(one.utterance_id), one))


@shows(our_message, F6=outward.only_a_time)
def test_what_is_sent_again_can_be_told_from_what_is_said_again(make):
    clock = ManualClock()
    message = make(clock)
    first = message(utterance("yes", counter=1))
    assert message(utterance("yes", counter=2)) != first
    clock.advance(3)
    assert message(utterance("yes", counter=1)) == first


class OurInputs:
    """The component on its driver, behind the interface of `bridge.Inputs`."""

    def __init__(self, ask: bridge.Ask) -> None:
        self._ask = ask

    async def carry(self, texts: list[str]) -> None:
        """Carry inputs of one conversation."""
        desk = Desk()

        async def answer() -> None:
            status = await self._ask(desk.bot.asked[-1]["text"])
            desk.bot.replies.append(
                says("Yes.") if status == 200 else Reply(status) if status else NoReply(unsent=False)
            )

        desk.bot.before_answer.append(answer)
        await desk.carried(*(utterance(text, counter=number) for number, text in enumerate(texts)))


class Bot:
    """A bot with a status for each next request, then 200; `asked` are the texts as they came."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.asked: list[str] = []
        self.taken: list[str] = []

    async def ask(self, text: str) -> int:
        status = self.statuses.pop(0) if self.statuses else 200
        self.asked.append(text)
        if status not in {429, 503}:
            self.taken.append(text)
        return status


@shows(OurInputs, bridge.Inputs, G7=bridge.RetriesLater)
async def test_what_is_tried_again_keeps_its_place_in_the_conversation(make):
    bot = Bot(429, 429)
    await make(bot.ask).carry(["one", "two", "three"])
    assert bot.taken == ["one", "two", "three"]


@pytest.mark.parametrize("status", [0, 500, 502, 504])
@shows(OurInputs, bridge.Inputs, G8=bridge.RetriesEverything)
async def test_what_may_have_been_taken_is_not_sent_again(make, status):
    bot = Bot(status)
    await make(bot.ask).carry(["one", "two"])
    assert bot.taken == ["one", "two"]


def test_an_input_names_itself_on_either_way():
    one = said()
    assert json.loads(user_input(one))["data"]["id"] == one.turn_id
