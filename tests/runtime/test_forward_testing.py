"""The shipped driver of forwarding components: order, what a crash leaves, and what is learnt again by looking back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import pytest

from runtime.errors import InvalidRecord
from runtime.forward_testing import Crashed, ForwardDriver, Point
from runtime.forwarding import Hands, Job, Received
from schemas.records import BotTurn, Origin, TurnEntry, Utterance
from schemas.symbols import TurnState

SECOND_MS = 1000


@dataclass
class Echo:
    """Sends each text outside once and counts, per partition, the texts it has planned."""

    group: str = "cognigy"
    input_topic: str = "calls.utterances"
    outputs: tuple[str, ...] = ("calls.bot",)
    first_start: Literal["earliest", "latest"] = "earliest"
    keeps_turns: bool = True
    lookback_ms: int = 0
    outside: list[str] = field(default_factory=list)
    planned: int = 0
    refused: str = ""

    def begin(self, partition: int) -> None:
        assert partition == 0
        self.planned = 0

    def plan(self, received: Received) -> list[Job[str]]:
        assert isinstance(received.record, Utterance)
        if received.record.text is None:
            message = "text is missing"
            raise InvalidRecord(message)
        self.planned += 1
        return [Job(received.key or b"", received.record.text)]

    async def carry(self, job: Job[str], hands: Hands) -> None:
        if job.work == self.refused:
            message = "it is refused"
            raise InvalidRecord(message)
        turn = TurnEntry(turn_id=job.work, state=TurnState.SENDING, origin=hands.received.origin(0))
        if hands.turn(job.work) is None:
            await hands.announce(turn)
            self.outside.append(job.work)
        await hands.write([answer(job.work, hands)])
        await hands.conclude(TurnEntry(turn_id=job.work, state=TurnState.ANSWERED, origin=turn.origin))


def answer(text: str, hands: Hands) -> BotTurn:
    return BotTurn(conversation_id="c", session_id="s", turn_id=text, origin=hands.received.origin(0))


def driver(echo: Echo, texts: Sequence[str | None]) -> ForwardDriver[str]:
    made = ForwardDriver(echo)
    origin = Origin(topic="calls.events", partition=0, offset=0, index=0)
    for text in texts:
        made.clock.advance(1)
        made.send(Utterance(conversation_id="c", session_id="s", text=text, origin=origin))
    return made


async def test_records_are_carried_in_order_and_their_outputs_name_them() -> None:
    echo = Echo()
    done = driver(echo, ["a", "b"])
    await done.run()
    assert echo.outside == ["a", "b"]
    assert [(turn.turn_id, turn.origin.offset) for turn in done.records("calls.bot")] == [("a", 0), ("b", 1)]  # type: ignore[union-attr]
    assert [output.timestamp_ms for output in done.outputs] == [record.timestamp for record in done.log]
    assert done.committed == 2


async def test_what_the_component_refuses_is_a_dead_letter_and_does_not_stop_the_rest() -> None:
    echo = Echo()
    done = driver(echo, ["a", None, "b"])
    done.send_value(b"garbage")
    await done.run()
    assert done.dead_letters == [1, 3]
    assert echo.outside == ["a", "b"]


async def test_a_record_whose_job_cannot_be_done_is_a_dead_letter_too() -> None:
    echo = Echo(refused="a")
    done = driver(echo, ["a", "b"])
    await done.run()
    assert done.dead_letters == [0]
    assert echo.outside == ["b"]


@pytest.mark.parametrize("point", list(Point))
async def test_after_a_crash_anywhere_nothing_left_the_process_twice(point: Point) -> None:
    echo = Echo()
    done = driver(echo, ["a", "b"])
    done.crash_at(point)
    with pytest.raises(Crashed):
        await done.run()
    await done.run()
    assert echo.outside == (["b"] if point is Point.AFTER_ANNOUNCE else ["a", "b"])
    assert done.turns["a/result"].state is TurnState.ANSWERED


async def test_a_turn_in_between_is_known_as_sending_and_a_finished_one_by_its_result() -> None:
    done = driver(Echo(), ["a"])
    done.crash_at(Point.AFTER_ANNOUNCE)
    with pytest.raises(Crashed):
        await done.run()
    assert {key: entry.state for key, entry in done.turns.items()} == {"a/intent": TurnState.SENDING}
    await done.run()
    assert done.turns["a/result"].state is TurnState.ANSWERED


async def test_looking_back_plans_again_what_is_young_enough_and_carries_none_of_it() -> None:
    echo = Echo(lookback_ms=2 * SECOND_MS)
    done = driver(echo, ["a", "b", "c", "d"])
    await done.run()
    done.crash()
    await done.run()
    assert echo.planned == 3
    assert echo.outside == ["a", "b", "c", "d"]


async def test_topics_without_a_record_type_or_name_are_refused() -> None:
    with pytest.raises(KeyError):
        driver(Echo(), []).records("calls.nothing")
