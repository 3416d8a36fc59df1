"""Every input has an end, though Kafka refuses some record of its turn."""

from collections.abc import Sequence

import pytest

from runtime.errors import InvalidRecord
from runtime.forward_testing import _Hands as DriverHands
from schemas.records import BotTurn, Record, TurnEntry
from schemas.symbols import BotTurnKind, TurnState
from tests.processors.cognigy.test_forward import kinds, result
from tests.processors.cognigy.turns import Desk, utterance


def refuse(monkeypatch: pytest.MonkeyPatch, *refused: BotTurnKind) -> None:
    """Let Kafka refuse whatever is written together with a record of such a kind."""
    write = DriverHands.write

    async def refusing(self: DriverHands, records: Sequence[Record]) -> None:
        if any(isinstance(record, BotTurn) and record.kind in refused for record in records):
            raise InvalidRecord(str(refused))
        await write(self, records)

    monkeypatch.setattr(DriverHands, "write", refusing)


async def test_an_answer_that_kafka_refuses_leaves_an_error_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    refuse(monkeypatch, BotTurnKind.OUTPUT)
    rows = await desk.carried(utterance())
    assert kinds(rows) == ["ERROR", "TURN_END"]
    assert (rows[0].error_class, rows[1].state) == ("not_stored", TurnState.ANSWERED)
    assert rows[0].index < rows[1].index
    assert result(desk) is TurnState.ANSWERED
    assert desk.driver.dead_letters == []


async def test_a_turn_whose_end_is_refused_too_has_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    refuse(monkeypatch, BotTurnKind.OUTPUT, BotTurnKind.TURN_END)
    rows = await desk.carried(utterance(), utterance("next", counter=1))
    assert rows == []
    assert desk.texts == ["hello", "next"]
    assert [result(desk, counter) for counter in (0, 1)] == [TurnState.ANSWERED] * 2


async def test_an_input_whose_intent_is_refused_is_not_sent_and_ends_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refusing(_: DriverHands, entry: TurnEntry) -> None:
        raise InvalidRecord(entry.turn_id)

    monkeypatch.setattr(DriverHands, "announce", refusing)
    desk = Desk()
    rows = await desk.carried(utterance())
    assert desk.texts == []
    assert kinds(rows) == ["ERROR", "TURN_END"]
    assert (rows[1].state, rows[1].error_class) == (TurnState.FAILED, "not_stored")
    assert result(desk) is TurnState.FAILED
    assert [letter.error for _, letter in desk.driver.buried] == ["not_stored"]
