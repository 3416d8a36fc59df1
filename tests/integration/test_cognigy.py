"""cognigy as a process on a real broker and a bot that misbehaves: once each, in order, and doubt is flagged."""

import asyncio
import contextlib
import os
import random
import signal
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from callstream.demo.services import free_port
from callstream.embedded_process import GuardedProcess, last_lines
from processors.cognigy.messages import turn_id
from runtime.clock import SystemClock
from runtime.config import KafkaSettings, child_environment
from runtime.errors import Unavailable
from runtime.http import HttpClient
from runtime.kafka import NewTopic, start_admin, start_producer
from schemas.codec import SchemaStore
from schemas.records import BotTurn, Utterance
from schemas.symbols import BotTurnKind, TurnState
from schemas.topics import BOT, dead_letters, turns
from simulators.cognigy.script import Answer, Fault, Output, Script
from simulators.cognigy.server import CognigyServer
from tests.processors.cognigy.turns import utterance
from tests.reading import read_committed

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]
PARTITIONS = 4
DEADLINE_S = 60
ROOT = Path(__file__).parents[2]
TOKEN = "7ea5e7" * 10 + "beef"
STORE = SchemaStore()


@dataclass
class Line:
    """A topic of utterances, a bot, and what the test put on the one for the other."""

    kafka: KafkaSettings
    topic: str
    bot: CognigyServer
    folder: Path
    said: list[Utterance] = field(default_factory=list)
    """Everything appended, in order."""

    async def create_topics(self) -> None:
        own = [BOT.name, dead_letters("cognigy").name, turns("cognigy").name]
        names = [self.topic, *(f"{self.kafka.topic_prefix}{name}" for name in own)]
        admin = await start_admin(self.kafka, client_id="test")
        await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
        await admin.close()

    async def say(self, *utterances: Utterance) -> None:
        """Append utterances that were just spoken, each to its conversation's partition."""
        producer = await start_producer(self.kafka, client_id="test")
        for one in utterances:
            key = one.conversation_id.encode()
            await producer.send(self.topic, STORE.encode(one), key=key)
            self.said.append(one)
        await producer.flush()
        await producer.stop()

    async def turns(self) -> list[BotTurn]:
        rows = await read_committed(self.kafka, f"{self.kafka.topic_prefix}{BOT.name}", PARTITIONS)
        return [STORE.decode(row.value, BotTurn) for part in rows for row in part]

    async def ended(self, count: int) -> list[BotTurn]:
        """Wait until so many turns have ended; return all records."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                rows = await self.turns()
                if len({row.turn_id for row in rows if row.kind is BotTurnKind.TURN_END}) >= count:
                    return rows
                await asyncio.sleep(0.1)

    def heard(self, conversation: str) -> list[str | None]:
        return self.bot.texts(conversation)

    def most_often_heard(self) -> int:
        """How often the bot took the input it took most often."""
        return max(Counter(taken.data["_idem"] for taken in self.bot.received).values())


def spoken(text: str, counter: int, conversation: str = "conversation") -> Utterance:
    now_us = round(SystemClock().wall_s() * 1e6)
    return utterance(text, counter=counter, conversation=conversation, occurred_at_us=now_us)


def ends(rows: list[BotTurn], one: Utterance) -> list[BotTurn]:
    turn = turn_id(one.utterance_id)
    return [row for row in rows if row.turn_id == turn and row.kind is BotTurnKind.TURN_END]


@pytest.fixture
async def line(kafka: str, tmp_path: Path) -> AsyncIterator[Line]:
    unique = uuid.uuid4().hex[:12]
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{unique}.")
    async with CognigyServer(TOKEN, Script()) as bot:
        made = Line(settings, f"calls.{unique}", bot, tmp_path)
        await made.create_topics()
        yield made


class Worker:
    """cognigy as a process."""

    def __init__(self, line: Line, number: int, **settings: str) -> None:
        self.port = free_port()
        self.log = line.folder / f"worker-{number}.log"
        variables = {
            "PYTHONPATH": os.fspath(ROOT),
            "LOG_LEVEL": "debug",
            "KAFKA_BOOTSTRAP_SERVERS": line.kafka.bootstrap_servers,
            "TOPIC_PREFIX": line.kafka.topic_prefix,
            "COGNIGY_ENDPOINT_URL": line.bot.url,
            "COGNIGY_URL_TOKEN": TOKEN,
            "COGNIGY_ADMIN_PORT": str(self.port),
            "COGNIGY_RATE_PER_S": "1000",
            "COGNIGY_BURST": "1000",
            "COGNIGY_MAX_INPUT_AGE_S": "120",
            "COGNIGY_FORWARDER_SESSION_TIMEOUT_MS": "1500",
            "COGNIGY_FORWARDER_HEARTBEAT_INTERVAL_MS": "300",
            **settings,
        }
        command = [sys.executable, str(ROOT / "tests/integration/cognigy_worker.py"), line.topic]
        self.process = GuardedProcess(command, line.folder, self.log, environment=child_environment(variables))

    async def ready(self) -> None:
        async with HttpClient("admin", timeout_s=2, any_status=True) as http, asyncio.timeout(DEADLINE_S):
            while True:
                assert self.process.exit_code() is None, last_lines(self.log)
                with contextlib.suppress(Unavailable):
                    if (await http.request("GET", f"http://127.0.0.1:{self.port}/readyz")).ok:
                        return
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        await self.process.wait()


@contextlib.asynccontextmanager
async def working(line: Line, number: int = 0, **settings: str) -> AsyncIterator[Worker]:
    """A worker that is ready; it may be killed inside, and is else stopped and must end with 0."""
    worker = Worker(line, number, **settings)
    try:
        await worker.ready()
        yield worker
        if worker.process.exit_code() is None:
            await worker.process.stop(30)
            assert worker.process.exit_code() == 0, last_lines(worker.log)
    finally:
        worker.process.kill()
    assert TOKEN not in worker.log.read_text()


async def test_every_utterance_reaches_the_bot_once_and_in_order_and_is_answered(line: Line) -> None:
    names = [f"call {number}" for number in range(20)]
    line.bot.script.otherwise = lambda text: Answer((Output(f"Answer to {text}."),), delay_s=0.005)
    async with working(line):
        await line.say(*(spoken(f"{name}/{n}", n, name) for n in range(10) for name in names))
        rows = await line.ended(200)
    for name in names:
        texts = [f"{name}/{n}" for n in range(10)]
        assert line.heard(name) == texts
        mine = [row for row in rows if row.conversation_id == name]
        assert [row.text for row in mine if row.kind is BotTurnKind.OUTPUT] == [f"Answer to {text}." for text in texts]
        assert [row.kind for row in mine] == [BotTurnKind.OUTPUT, BotTurnKind.TURN_END] * 10
    assert (len(line.bot.received), line.most_often_heard()) == (200, 1)
    assert {row.state for row in rows} == {TurnState.ANSWERED}
    assert {(row.ambiguous, row.attempts) for row in rows} == {(False, 1)}
    assert all(row.total_ms >= row.response_ms >= 5 for row in rows)


async def test_a_kill_between_sent_and_answered_leaves_one_flagged_turn_and_no_second_input(line: Line) -> None:
    line.bot.script.answers["held"] = Answer(fault=Fault.SILENCE)
    before, held, after, later = (spoken(text, n) for n, text in enumerate(["before", "held", "after", "later"]))
    other = spoken("other", 9, "another call")
    async with working(line) as worker:
        await line.say(before, held, after, other)
        async with asyncio.timeout(DEADLINE_S):
            await line.bot.took(3)
        await line.ended(2)
        await worker.kill()
    del line.bot.script.answers["held"]
    async with working(line, 1):
        await line.say(later)
        rows = await line.ended(5)
    assert line.heard("conversation") == ["before", "held", "after", "later"]
    assert line.most_often_heard() == 1
    (end,) = ends(rows, held)
    assert (end.state, end.ambiguous, end.error_class) == (TurnState.AMBIGUOUS, True, "unknown_outcome")
    assert [row for row in rows if row.turn_id == end.turn_id] == [end]
    for one in (before, after, later, other):
        (end,) = ends(rows, one)
        assert (end.state, end.ambiguous) == (TurnState.ANSWERED, False)


async def test_an_operator_who_prefers_twice_to_never_gets_it_flagged(line: Line) -> None:
    line.bot.script.answers["held"] = Answer(fault=Fault.SILENCE)
    held, after = spoken("held", 0), spoken("after", 1)
    async with working(line) as worker:
        await line.say(held, after)
        async with asyncio.timeout(DEADLINE_S):
            await line.bot.took(1)
        await worker.kill()
    del line.bot.script.answers["held"]
    async with working(line, 1, COGNIGY_ON_AMBIGUOUS="resend"):
        rows = await line.ended(2)
    assert line.heard("conversation") == ["held", "held", "after"]
    (end,) = ends(rows, held)
    assert (end.state, end.ambiguous) == (TurnState.ANSWERED, True)
    assert not ends(rows, after)[0].ambiguous


async def test_a_stop_waits_for_the_answers_under_way(line: Line) -> None:
    line.bot.script.otherwise = lambda text: Answer((Output(text),), delay_s=1.0)
    said = [spoken("hello", 0, f"call {number}") for number in range(8)]
    async with working(line):
        await line.say(*said)
        async with asyncio.timeout(DEADLINE_S):
            await line.bot.took(8)
    rows = await line.ended(8)
    assert {row.state for row in rows} == {TurnState.ANSWERED}
    assert len(line.bot.received) == 8


async def test_no_kill_at_any_moment_makes_the_bot_hear_an_utterance_twice(line: Line) -> None:
    dice = random.Random(20)
    names = [f"call {number}" for number in range(10)]
    line.bot.script.otherwise = lambda text: Answer((Output(text),), delay_s=dice.uniform(0.0, 0.1))
    kills = 5
    counter = 0
    for number in range(kills + 1):
        batch = [spoken(f"{name}/{n}", n, name) for n in range(counter, counter + 8) for name in names]
        counter += 8
        async with working(line, number) as worker:
            await line.say(*batch)
            if number < kills:
                await asyncio.sleep(dice.uniform(0.0, 0.6))
                await worker.kill()
            else:
                rows = await line.ended(len(line.said))
    assert line.most_often_heard() == 1
    heard = {taken.data["_idem"] for taken in line.bot.received}
    flagged = 0
    for one in line.said:
        certain = [end for end in ends(rows, one) if not end.ambiguous]
        flagged += not certain
        if certain:
            assert {end.state for end in certain} == {TurnState.ANSWERED}
            assert turn_id(one.utterance_id) in heard
    assert 0 < flagged < len(line.said) / 4
    for name in names:
        order = [f"{name}/{n}" for n in range(counter)]
        assert line.heard(name) == [text for text in order if text in set(line.heard(name))]


async def test_a_second_worker_that_comes_and_goes_repeats_nothing(line: Line) -> None:
    names = [f"call {number}" for number in range(12)]
    line.bot.script.otherwise = lambda text: Answer((Output(text),), delay_s=0.02)
    async with working(line):
        await line.say(*(spoken(f"{name}/{n}", n, name) for n in range(20) for name in names))
        async with working(line, 1):
            await line.say(*(spoken(f"{name}/{n}", n, name) for n in range(20, 40) for name in names))
            async with asyncio.timeout(DEADLINE_S):
                await line.bot.took(300)
        rows = await line.ended(len(line.said))
    assert line.most_often_heard() == 1
    for name in names:
        assert line.heard(name) == [f"{name}/{n}" for n in range(40)]
    assert {row.state for row in rows} == {TurnState.ANSWERED}
