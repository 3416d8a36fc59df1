"""What the bot heard and answered holds for a call as scripted, and fails for one input more, less or elsewhere."""

from dataclasses import replace

import pytest

from callstream.demo.bot_checks import check_bot
from callstream.demo.checks import PlacedCall
from schemas.records import BotTurn, Origin
from schemas.symbols import BotTurnKind, TurnState
from simulators.audiohook.demo_call import MARKER_DIGIT, demo, inputs
from simulators.audiohook.report import CallReport

NOWHERE = Origin(topic="", partition=0, offset=0, index=0)
WANTED = list(inputs(demo()))
HEARD = "every key and text reached the bot, once and in order"
ANSWERED = "every answer is on calls.bot, with its latency"


def turns(heard: list[str]) -> list[BotTurn]:
    shared = {"conversation_id": "c", "session_id": "s", "origin": NOWHERE, "state": TurnState.ANSWERED}
    found = []
    for number, text in enumerate(heard):
        found.append(BotTurn(kind=BotTurnKind.OUTPUT, turn_id=str(number), text=f"You said: {text}", **shared))
        found.append(BotTurn(kind=BotTurnKind.TURN_END, turn_id=str(number), response_ms=7.5, **shared))
    return found


def failures(heard: list[str], found: list[BotTurn], *, real_time: bool = True) -> list[str]:
    call = PlacedCall(demo(), CallReport("c", "s", "x", "demo"), real_time=real_time)
    return [check.name for check in check_bot(call, heard, found) if not check.ok]


def test_a_call_that_went_as_scripted_passes() -> None:
    assert failures(WANTED, turns(WANTED)) == []


@pytest.mark.parametrize(
    "heard",
    [WANTED[:-1], [*WANTED, WANTED[-1]], [*WANTED[:3], WANTED[4], WANTED[3], *WANTED[5:]], [*WANTED, MARKER_DIGIT]],
    ids=["one less", "one twice", "two keys swapped", "one that was not for it"],
)
@pytest.mark.parametrize("real_time", [True, False])
def test_an_input_more_less_or_elsewhere_is_found(heard, real_time) -> None:
    assert failures(heard, turns(heard), real_time=real_time) == [HEARD]


def test_a_key_and_a_text_may_change_places_where_the_call_was_not_in_real_time() -> None:
    swapped = [*WANTED[:2], WANTED[3], WANTED[2], *WANTED[4:]]
    assert failures(swapped, turns(swapped)) == [HEARD]
    assert failures(swapped, turns(swapped), real_time=False) == []


@pytest.mark.parametrize(
    "spoilt",
    [{"ambiguous": True}, {"state": TurnState.FAILED}, {"response_ms": -1.0}, {"turn_id": "0"}],
    ids=["ambiguous", "failed", "without latency", "of another turn"],
)
def test_a_turn_that_did_not_end_well_is_found(spoilt) -> None:
    found = turns(WANTED)
    found[-1] = replace(found[-1], **spoilt)
    if "turn_id" in spoilt:
        found[-2] = replace(found[-2], **spoilt)
    assert failures(WANTED, found) == [ANSWERED]


def test_an_answer_that_is_missing_or_another_is_found() -> None:
    found = turns(WANTED)
    assert failures(WANTED, found[1:]) == [ANSWERED]
    assert failures(WANTED, [replace(found[0], text="You said: what?"), *found[1:]]) == [ANSWERED]
