"""The hands of a job: what they store, in which order, and that they do nothing once the partition is gone."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from runtime.checkpoint import Application
from runtime.clock import ManualClock
from runtime.errors import Fenced, UsageError
from runtime.forwarder_partition import Held, JobHands, Means
from runtime.forwarder_writer import Row
from runtime.forwarding import Letter, Received
from runtime.kafka import TopicPartition
from runtime.lanes import Lanes
from runtime.log import get_logger
from runtime.turn_log import REMEMBERED_MS, intent_key, result_key
from schemas.codec import SchemaStore
from schemas.records import BotTurn, Origin, TurnEntry
from schemas.symbols import TurnState
from tests.runtime.talking import utterance

ORIGIN = Origin(topic="calls.utterances", partition=3, offset=7, index=0)
TURN = TurnEntry(turn_id="t", state=TurnState.SENDING, origin=ORIGIN)
ANSWER = BotTurn(conversation_id="c", session_id="s", turn_id="t", origin=ORIGIN)


class Outside:
    """Writer and committer at once; `at` is called before each step with its name."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.steps: list[str] = []
        self.at: Callable[[str], None] = lambda _: None

    async def write(self, rows, check) -> int:
        self._step("write")
        check()
        self.rows += rows
        self._step("stored")
        return 1_700_000_000_000

    async def prove(self) -> None:
        self._step("prove")

    def _step(self, name: str) -> None:
        self.steps.append(name)
        self.at(name)


class Case:
    def __init__(self, *, keeps_turns: bool = True) -> None:
        self.outside = Outside()
        self.held: Held = Held(TopicPartition("calls.utterances", 3))
        means = Means(
            application=Application("cognigy", "replay.x."),
            store=SchemaStore(),
            clock=ManualClock(),
            log=get_logger("test"),
            writer=self.outside,
            committer=self.outside,
            before_step=lambda _: None,
            keeps_turns=keeps_turns,
        )
        received = Received("calls.utterances", 3, 7, 1_600_000_000_123, b"k", utterance("hello"))
        self.letters: list[Letter] = []

        async def bury(letter: Letter) -> None:
            self.letters.append(letter)

        self.hands = JobHands(means, self.held, received, b"c", bury)

    @property
    def written(self) -> list[tuple[str, int, bytes | None, int | None]]:
        return [(row.topic, row.partition, row.key, row.timestamp_ms) for row in self.outside.rows]


async def test_outputs_go_to_their_topic_with_the_job_s_key_and_the_input_s_partition_and_time() -> None:
    case = Case()
    await case.hands.write([ANSWER, ANSWER])
    assert case.written == [("replay.x.calls.bot", 3, b"c", 1_600_000_000_123)] * 2


async def test_bytes_may_leave_only_after_the_intent_is_stored_and_a_commit_that_followed_it() -> None:
    case = Case()
    await case.hands.announce(TURN)
    assert case.outside.steps == ["write", "stored", "prove"]
    assert case.written == [("replay.x.cognigy.turns", 3, intent_key("t"), None)]
    assert case.hands.turn("t") is TurnState.SENDING


async def test_a_result_has_a_key_of_its_own_and_is_what_the_turn_says_then() -> None:
    case = Case()
    await case.hands.announce(TURN)
    await case.hands.conclude(TurnEntry(turn_id="t", state=TurnState.ANSWERED, origin=ORIGIN))
    assert [key for _, _, key, _ in case.written] == [intent_key("t"), result_key("t")]
    assert case.hands.turn("t") is TurnState.ANSWERED


@pytest.mark.parametrize("moment", ["write", "stored", "prove"])
async def test_a_partition_lost_at_any_step_lets_nothing_leave(moment: str) -> None:
    case = Case()
    case.outside.at = lambda name: case.held.cut_off() if name == moment else None
    with pytest.raises(Fenced):
        await case.hands.announce(TURN)


async def test_a_job_that_goes_on_after_the_loss_can_do_nothing() -> None:
    case = Case()
    case.held.cut_off()
    for act in (case.hands.write([ANSWER]), case.hands.announce(TURN), case.hands.conclude(TURN)):
        with pytest.raises(Fenced):
            await act
    with pytest.raises(Fenced):
        case.hands.turn("t")
    assert case.outside.rows == []


async def test_no_turn_is_begun_while_the_partition_is_given_away_but_one_begun_may_end() -> None:
    case = Case()
    await case.hands.announce(TURN)
    case.held.closing = True
    await case.hands.write([ANSWER])
    await case.hands.conclude(TURN)
    stored = len(case.outside.rows)
    with pytest.raises(Fenced):
        await case.hands.announce(TURN)
    with pytest.raises(Fenced):
        await case.hands.write([ANSWER])
    assert (len(case.outside.rows), case.hands.over) == (stored, True)


def test_a_turn_is_remembered_until_what_came_long_after_it_is_committed() -> None:
    held = Case().held
    held.lanes = Lanes(0, max_waiting=10, max_ahead=10)
    held.turns.note(intent_key("t"), TurnState.SENDING, 1000)
    for offset, at_ms in enumerate([1000, 1001 + REMEMBERED_MS]):
        held.add([(SimpleNamespace(offset=offset, timestamp=at_ms), [])], 0.0)
    held.committed(1)
    assert held.turns.state("t") is TurnState.SENDING
    held.committed(2)
    assert held.turns.state("t") is None


async def test_turns_need_a_component_that_keeps_them() -> None:
    case = Case(keeps_turns=False)
    with pytest.raises(UsageError):
        await case.hands.announce(TURN)
    assert case.outside.rows == []


async def test_a_letter_is_left_only_while_the_partition_is_held() -> None:
    case = Case()
    await case.hands.bury(Letter("stale", "too old"))
    assert case.letters == [Letter("stale", "too old")]
    case.held.cut_off()
    with pytest.raises(Fenced):
        await case.hands.bury(Letter("stale", "too old"))
    assert len(case.letters) == 1
