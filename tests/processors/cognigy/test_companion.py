"""What bots say beside inputs, written with the hands of the partition; what is given away is closed."""

import asyncio

from processors.cognigy.breaker import Patience
from processors.cognigy.calls import Calls
from processors.cognigy.companion import Beside, CognigyCompanion
from processors.cognigy.events import Heard, Intent, Outcome, Spoke, Understood, Verdict
from runtime.clock import ManualClock
from runtime.errors import Fenced
from runtime.metrics import COGNIGY_UNASKED
from schemas.records import BotAudio, BotTurn
from schemas.symbols import BotTransport, BotTurnKind, Channel, Codec, TurnState, UtteranceKind
from tests.ingest.showing import eventually
from tests.processors.cognigy.bridge.lines import said
from tests.processors.cognigy.turns import NOW_S, RULES, Desk, received, utterance


class Paper:
    """Hands of a partition: what was written, with its key; `fenced` refuses."""

    def __init__(self):
        self.written = []
        self.fenced = False

    def of(self, record, key):
        paper = self

        class Hands:
            async def write(self, rows):
                if paper.fenced:
                    raise Fenced
                paper.written += [(record, key, row) for row in rows]

        return Hands()


def call(conversation="conversation"):
    record = received(utterance(None, kind=UtteranceKind.OPENED, conversation=conversation))
    return Calls().take(record, record.record, is_input=False)


class Room:
    def __init__(self):
        self.clock = ManualClock(NOW_S + 2)
        self.paper = Paper()
        self.beside = Beside(RULES, BotTransport.BRIDGE, self.clock)
        self.beside.took(3, self.paper.of)

    async def written(self, count):
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.beside.run())
            await eventually(lambda: len(self.paper.written) >= count)
            running.cancel()
        return [row for _, _, row in self.paper.written]


async def test_what_answers_nothing_has_no_turn_and_numbers_that_only_grow():
    room, one = Room(), call()
    room.beside.put(one, [Heard("hello"), Understood(Intent("greet", 0.5, "intent"))], None)
    room.beside.put(one, [Spoke(bytes(320), Codec.L16_LE, 8000), Spoke(bytes(320), Codec.L16_LE, 8000)], None)
    words, intent, first, second = await room.written(4)
    assert isinstance(words, BotTurn)
    assert (words.kind, words.text, words.turn_id, words.channel) == (
        BotTurnKind.TRANSCRIPT,
        "hello",
        "",
        Channel.BOT,
    )
    assert (intent.kind, intent.intent, intent.intent_score) == (BotTurnKind.INTENT, "greet", 0.5)
    assert isinstance(first, BotAudio)
    assert (first.position_samples, second.position_samples) == (0, 160)
    assert [row.index for row in (words, intent, first, second)] == [2000, 2001, 2002, 2003]
    assert {key for _, key, _ in room.paper.written} == {b"conversation"}


async def test_a_late_answer_belongs_to_its_turn_and_is_marked():
    room, one = Room(), call()
    late = said("asked", 7)
    room.beside.put(one, [Heard("late")], late)
    (row,) = await room.written(1)
    assert (row.turn_id, row.utterance_id, row.late) == (late.turn_id, late.utterance.utterance_id, True)
    assert row.state is TurnState.AMBIGUOUS


async def test_what_a_partition_that_is_gone_still_says_is_dropped_and_ends_nothing():
    room, one = Room(), call()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(room.beside.run())

        async def put(text, outcome):
            before = counted(outcome)
            room.beside.put(one, [Heard(text)], None)
            await eventually(lambda: counted(outcome) == before + 1)

        room.paper.fenced = True
        await put("refused", "dropped")
        room.paper.fenced = False
        room.beside.gone(3)
        await put("nobody's", "dropped")
        room.beside.took(3, room.paper.of)
        await put("kept", "written")
        running.cancel()
    assert [row.text for _, _, row in room.paper.written] == ["kept"]


def counted(outcome):
    return COGNIGY_UNASKED.labels(outcome)._value.get()


async def test_too_much_is_dropped_and_not_kept():
    room, one = Room(), call()
    for _ in range(6000):
        room.beside.put(one, [Heard("x")], None)
    assert len(room.beside._waiting) == 5000


async def test_a_partition_that_comes_opens_its_calls_and_one_that_goes_closes_them():
    desk = Desk()
    companion = CognigyCompanion(desk.forward, desk.bot, desk.gate, Beside(RULES, BotTransport.BRIDGE, desk.clock))
    desk.forward.plan(received(utterance(None, kind=UtteranceKind.OPENED)))
    companion.took(3, Paper().of)
    companion.gone(2)
    assert (desk.bot.opened, desk.bot.closed) == (["conversation"], [])
    companion.gone(3)
    assert desk.bot.closed == ["conversation"]


def test_inputs_are_held_back_while_the_bot_rests():
    desk = Desk(patience=Patience(failures=1, first_rest_s=2))
    companion = CognigyCompanion(desk.forward, desk.bot, desk.gate)
    assert not companion.holds_back
    desk.gate.judged(Verdict(Outcome.UNSENT, "unreachable"))
    assert companion.holds_back
    desk.clock.advance(2)
    assert not companion.holds_back
