"""What the turns topic says of a turn, in whatever order its records came."""

from itertools import permutations

import pytest

from runtime.turn_log import REMEMBERED_MS, TurnTable, intent_key, result_key
from schemas.symbols import TurnState


def test_an_intent_without_a_result_is_sending() -> None:
    table = TurnTable()
    assert table.state("t") is None
    table.note(intent_key("t"), TurnState.SENDING, 1)
    assert table.state("t") is TurnState.SENDING


@pytest.mark.parametrize("order", list(permutations(["intent", "result", "late intent"])))
def test_a_result_stands_however_late_an_intent_comes(order) -> None:
    table = TurnTable()
    for at_ms, what in enumerate(order):
        key = result_key("t") if what == "result" else intent_key("t")
        table.note(key, TurnState.ANSWERED if what == "result" else TurnState.SENDING, at_ms)
    assert table.state("t") is TurnState.ANSWERED


def test_the_newest_result_stands() -> None:
    table = TurnTable()
    table.note(result_key("t"), TurnState.AMBIGUOUS, 1)
    table.note(result_key("t"), TurnState.ANSWERED, 2)
    assert table.state("t") is TurnState.ANSWERED


def test_turns_are_forgotten_when_what_came_long_after_them_is_finished_and_no_others() -> None:
    table = TurnTable()
    table.note(intent_key("old"), TurnState.SENDING, 0)
    table.note(intent_key("kept"), TurnState.SENDING, 0)
    table.note(result_key("kept"), TurnState.ANSWERED, 10)
    table.note(intent_key("new"), TurnState.SENDING, REMEMBERED_MS)
    table.finished_before(REMEMBERED_MS)
    assert len(table) == 3
    table.finished_before(REMEMBERED_MS + 1)
    assert table.state("old") is None
    assert table.state("kept") is TurnState.ANSWERED
    table.finished_before(REMEMBERED_MS + 11)
    assert len(table) == 1


def test_a_key_of_another_kind_is_left_out() -> None:
    table = TurnTable()
    for key in (None, b"", b"t", b"t/other", b"\xff"):
        table.note(key, TurnState.ANSWERED, 1)
    assert len(table) == 0


def test_a_turn_id_may_hold_any_text() -> None:
    table = TurnTable()
    table.note(intent_key("a/result"), TurnState.SENDING, 1)
    assert table.state("a/result") is TurnState.SENDING
    assert table.state("a") is None
