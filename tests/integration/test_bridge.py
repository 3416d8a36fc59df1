"""Calls over the bridge on the embedded broker: inputs, answers, speech, voices, and a worker that dies."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from audio.frames import FrameEncoder
from runtime.clock import SystemClock
from runtime.config import KafkaSettings
from runtime.kafka import NewTopic, start_admin, start_producer
from schemas.codec import SchemaStore
from schemas.records import AudioFrame, BotAudio, BotTurn, Utterance
from schemas.symbols import BotTransport, BotTurnKind, Channel, Channels, Codec, FrameKind, TurnState, UtteranceKind
from schemas.topics import AUDIO, BOT, BOT_AUDIO, dead_letters, turns
from simulators.bridge.script import transcript
from simulators.bridge.server import BridgeServer
from tests.integration.test_cognigy import DEADLINE_S, PARTITIONS, Worker, spoken
from tests.processors.cognigy.turns import utterance
from tests.reading import read_committed

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]
STORE = SchemaStore()
ENCODE = FrameEncoder(STORE).encode
CALL = "conversation"


@dataclass
class Line:
    """Topics of one test, the bot's end of a bridge, and where workers log. `bot` has what `Worker` asks of a bot."""

    kafka: KafkaSettings
    topic: str
    bot: BridgeServer
    folder: Path
    frames: int = 0
    session: bytes = field(default_factory=lambda: uuid.uuid4().bytes)

    async def say(self, *utterances: Utterance) -> None:
        await self._append(self.topic, [STORE.encode(one) for one in utterances])

    async def speak(self, count: int) -> None:
        """Append frames of 20 ms that were captured now."""
        values = []
        for _ in range(count):
            frame = AudioFrame(
                kind=FrameKind.AUDIO,
                codec=Codec.PCMU,
                channels=Channels.EXTERNAL,
                sample_rate_hz=8000,
                session_id=self.session,
                sequence=self.frames,
                position_samples=160 * self.frames,
                duration_samples=160,
                captured_at_s=SystemClock().wall_s(),
                payload=b"\xff" * 160,
            )
            self.frames += 1
            values.append(ENCODE(frame))
        await self._append(self.kafka.topic_prefix + AUDIO.name, values)

    async def _append(self, topic: str, values: list[bytes]) -> None:
        producer = await start_producer(self.kafka, client_id="test")
        for value in values:
            await producer.send(topic, value, key=CALL.encode())
        await producer.flush()
        await producer.stop()

    async def turns(self) -> list[BotTurn]:
        return await self._records(BOT.name, BotTurn)

    async def speech(self) -> list[BotAudio]:
        return await self._records(BOT_AUDIO.name, BotAudio)

    async def _records(self, name: str, kind):
        rows = await read_committed(self.kafka, f"{self.kafka.topic_prefix}{name}", PARTITIONS)
        return [STORE.decode(row.value, kind) for part in rows for row in part]

    async def until(self, condition) -> list[BotTurn]:
        async with asyncio.timeout(DEADLINE_S):
            while not condition(rows := await self.turns()):
                await asyncio.sleep(0.1)
        return rows


@pytest.fixture
async def line(kafka: str, tmp_path: Path) -> AsyncIterator[Line]:
    unique = uuid.uuid4().hex[:12]
    settings = KafkaSettings(bootstrap_servers=kafka, topic_prefix=f"replay.{unique}.")
    bot = BridgeServer("app")
    async with bot.serving():
        made = Line(settings, f"calls.{unique}", bot, tmp_path)
        own = (AUDIO.name, BOT.name, BOT_AUDIO.name, dead_letters("cognigy").name, turns("cognigy").name)
        admin = await start_admin(settings, client_id="test")
        names = [made.topic, *(settings.topic_prefix + name for name in own)]
        await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
        await admin.close()
        yield made


@contextlib.asynccontextmanager
async def working(line: Line, number: int = 0, **settings: str) -> AsyncIterator[Worker]:
    """A worker that is ready; it may be killed inside, and is else stopped and must end with 0."""
    fields = {
        "COGNIGY_TRANSPORT": "bridge",
        "COGNIGY_ENDPOINT_URL": "http://127.0.0.1:1",
        "COGNIGY_BRIDGE_URL": line.bot.url + line.bot.path("{conversation_id}"),
        "COGNIGY_BRIDGE_AUTH": "none",
        "COGNIGY_BRIDGE_QUIET_S": "0.3",
        **settings,
    }
    worker = Worker(line, number, **fields)  # type: ignore[arg-type]
    try:
        await worker.ready()
        yield worker
        if worker.process.exit_code() is None:
            await worker.process.stop(30)
            assert worker.process.exit_code() == 0, worker.log.read_text()[-3000:]
    finally:
        worker.process.kill()


def boundary(kind: UtteranceKind, counter: int) -> Utterance:
    now_us = round(SystemClock().wall_s() * 1e6)
    return utterance(None, kind=kind, counter=counter, channel=Channel.ALL, occurred_at_us=now_us)


def ended(count: int):
    return lambda rows: sum(row.kind is BotTurnKind.TURN_END for row in rows) >= count


async def test_a_call_is_carried_over_its_own_socket_from_its_begin_to_its_end(line: Line) -> None:
    async with working(line):
        await line.say(boundary(UtteranceKind.OPENED, 0))
        await line.bot.until(lambda: line.bot.peers(CALL))
        await line.bot.say(CALL, transcript("Welcome."))
        await line.until(lambda rows: any(row.text == "Welcome." for row in rows))
        await line.say(spoken("one", 1), spoken("two", 2), boundary(UtteranceKind.CLOSED, 3))
        rows = await line.until(lambda rows: sum(row.kind is BotTurnKind.SESSION for row in rows) >= 2)
        async with asyncio.timeout(DEADLINE_S):
            await line.bot.until(lambda: line.bot.endings)
    assert line.bot.texts(CALL) == ["one", "two"]
    assert (line.bot.connections, line.bot.endings[0].code, line.bot.endings[0].by_client) == (1, 1000, True)
    assert [row.kind.value for row in rows] == [
        *("SESSION", "TRANSCRIPT"),
        *("INTENT", "TRANSCRIPT", "TURN_END") * 2,
        "SESSION",
    ]
    assert [row.text for row in rows if row.kind is BotTurnKind.TRANSCRIPT] == [
        "Welcome.",
        "You said: one",
        "You said: two",
    ]
    assert {row.transport for row in rows} == {BotTransport.BRIDGE}
    assert {row.state for row in rows if row.kind is BotTurnKind.TURN_END} == {TurnState.ANSWERED}
    speech = await line.speech()
    assert [(piece.position_samples, len(piece.payload), piece.is_last) for piece in speech] == [
        (0, 320, False),
        (160, 320, False),
        (320, 0, True),
    ] * 2
    assert {piece.turn_id for piece in speech} == {row.turn_id for row in rows if row.kind is BotTurnKind.TURN_END}


async def test_the_bot_hears_the_caller_from_now_on_and_another_worker_goes_on_with_it(line: Line) -> None:
    await line.speak(50)
    async with working(line, COGNIGY_BRIDGE_AUDIO="true") as worker:
        await line.say(boundary(UtteranceKind.OPENED, 0))
        await line.bot.until(lambda: line.bot.peers(CALL))
        async with asyncio.timeout(DEADLINE_S):
            while len(line.bot.voices) < 5:
                await line.speak(5)
                await asyncio.sleep(0.1)
        await line.until(lambda rows: rows)
        await worker.kill()
    heard = line.bot.voices
    assert heard[0].position >= 50 * 160
    assert [len(voice.payload) for voice in heard] == [1600] * len(heard)
    assert all(later.position > earlier.position for earlier, later in pairwise(heard))
    before = len(heard)
    async with working(line, 1, COGNIGY_BRIDGE_AUDIO="true"):
        async with asyncio.timeout(DEADLINE_S):
            while len(line.bot.voices) < before + 5:
                await line.speak(5)
                await asyncio.sleep(0.1)
        await line.bot.say(CALL, transcript("I hear you."))
        rows = await line.until(lambda rows: any(row.text == "I hear you." for row in rows))
    assert {(row.turn_id, row.utterance_id) for row in rows if row.kind is BotTurnKind.TRANSCRIPT} == {("", "")}
    assert line.bot.received == []


async def test_a_kill_in_an_answer_leaves_one_flagged_turn_and_no_second_input(line: Line) -> None:
    async with working(line, COGNIGY_BRIDGE_QUIET_S="30") as worker:
        await line.say(boundary(UtteranceKind.OPENED, 0), spoken("held", 1), spoken("after", 2))
        await line.until(lambda rows: any(row.text == "You said: held" for row in rows))
        await worker.kill()
    async with working(line, 1):
        rows = await line.until(ended(2))
    assert line.bot.texts(CALL) == ["held", "after"]
    ends = [row for row in rows if row.kind is BotTurnKind.TURN_END]
    assert [(row.state, row.ambiguous) for row in ends] == [(TurnState.AMBIGUOUS, True), (TurnState.ANSWERED, False)]
