"""A pause of ours that a secure pause overlapped: audio is asked for again once somebody knows that one is over."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from ingest.session import Session
from ingest.sources.audiohook.protocol import AudioHookProtocol, Limits
from ingest.withheld import SETTLE_S, Witness
from runtime.clock import ManualClock
from tests.ingest.sources.audiohook.words import CONVERSATION, CORRELATION, ORGANIZATION, SESSION, Client
from tests.ingest.test_outlet import until
from tests.ingest.test_session import FRAME, LOST, FakeOutlet, Pipe, surroundings

SKIPPED = {"start": "PT0.2S", "discarded": "PT0S"}


class Scene:
    """A call in our pause and the client's own, while we want audio again."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.around = surroundings(FakeOutlet(), self.clock)
        self.asked: list[tuple[str, bool]] = []
        self.around.witness.ask = lambda conversation, wanted: self.asked.append((conversation, wanted))
        self.client = Client()
        self.pipe = Pipe(self.client.open(), FRAME)
        machine = AudioHookProtocol(ORGANIZATION, SESSION, CORRELATION, Limits(idle_s=1e6))
        self.session = Session("audiohook", machine, self.around)

    @property
    def said(self) -> list[str]:
        return [json.loads(text)["type"] for text in self.pipe.sent]

    async def hear(self, kind: str, marks: int, parameters: dict | None = None) -> None:
        self.pipe.arriving.put_nowait(self.client.say(kind, "PT0.2S", parameters))
        await until(lambda: len(self.around.outlet.records) >= marks)

    async def settle(self) -> None:
        """Let a ping be answered: whatever was to be said before it is said by then."""
        before = self.said.count("pong")
        self.pipe.arriving.put_nowait(self.client.say("ping", "PT0.2S"))
        await until(lambda: self.said.count("pong") > before)

    def know(self, age_s: float) -> None:
        """Say that the conversation was not paused so long after the client's pause began."""
        self.around.witness.not_paused(CONVERSATION.upper(), self.paused_s + age_s)


@pytest.fixture
async def withheld():
    @asynccontextmanager
    async def begun():
        scene = Scene()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(scene.session.run(scene.pipe))
            await until(lambda: scene.said == ["opened"])
            scene.around.pressure.tell(True)
            await scene.hear("paused", 5)
            scene.clock.advance(60)
            scene.paused_s = scene.clock.monotonic_s()
            await scene.hear("paused", 7)
            scene.around.pressure.tell(False)
            await scene.settle()
            assert "resume" not in scene.said
            yield scene
            scene.pipe.arriving.put_nowait(LOST)

    return begun


async def test_audio_is_asked_for_again_when_somebody_knows_that_the_secure_pause_is_over(withheld):
    async with withheld() as scene:
        assert scene.asked == [(CONVERSATION, True)]
        scene.know(SETTLE_S)
        await scene.settle()
        assert scene.said.count("resume") == 1
        assert scene.asked == [(CONVERSATION, True), (CONVERSATION, False)]
        await scene.hear("resumed", 9, SKIPPED)
        scene.know(2 * SETTLE_S)
        await scene.settle()
        assert scene.said.count("resume") == 1


@pytest.mark.parametrize("age_s", [-60, 0, SETTLE_S - 0.001])
async def test_a_word_that_may_be_of_the_time_before_the_pause_counts_for_nothing(withheld, age_s):
    async with withheld() as scene:
        scene.know(age_s)
        await scene.settle()
        assert "resume" not in scene.said
        assert scene.asked == [(CONVERSATION, True)]


async def test_a_pause_that_is_told_again_may_be_another_and_is_waited_for_anew(withheld):
    async with withheld() as scene:
        scene.clock.advance(30)
        await scene.hear("paused", 7)
        await scene.settle()
        scene.know(30)
        await scene.settle()
        assert "resume" not in scene.said
        scene.know(30 + SETTLE_S)
        await scene.settle()
        assert "resume" in scene.said


async def test_where_the_client_says_itself_that_all_is_over_nobody_is_asked_any_more(withheld):
    async with withheld() as scene:
        await scene.hear("resumed", 9, SKIPPED)
        scene.session.keep_alive()
        assert scene.asked == [(CONVERSATION, True), (CONVERSATION, False)]
        scene.know(SETTLE_S)
        await scene.settle()
        assert "resume" not in scene.said


async def test_while_we_want_a_pause_again_nothing_is_asked_for(withheld):
    async with withheld() as scene:
        scene.around.pressure.tell(True)
        scene.know(SETTLE_S)
        await scene.settle()
        assert "resume" not in scene.said
        assert scene.asked == [(CONVERSATION, True), (CONVERSATION, False)]


async def test_nobody_waits_for_a_call_that_is_over(withheld):
    async with withheld() as scene:
        pass
    assert scene.asked == [(CONVERSATION, True), (CONVERSATION, False)]


def test_a_witness_asks_once_however_many_wait_and_tells_all_of_them():
    witness, asked, one, other = Witness(), [], [], []
    witness.ask = lambda conversation, wanted: asked.append((conversation, wanted))
    witness.wait(CONVERSATION.upper(), one.append)
    witness.wait(CONVERSATION, other.append)
    witness.not_paused(CONVERSATION, 7.0)
    witness.not_paused("another", 8.0)
    witness.leave(CONVERSATION, one.append)
    witness.leave("unknown", one.append)
    assert asked == [(CONVERSATION, True)]
    witness.leave(CONVERSATION, other.append)
    assert asked == [(CONVERSATION, True), (CONVERSATION, False)]
    assert (one, other) == ([7.0], [7.0])
