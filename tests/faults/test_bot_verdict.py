from schemas.records import BotTurn, Origin
from schemas.symbols import BotTurnKind, TurnState
from tests.faults.bot_verdict import Wanted, judge

INPUTS = [Wanted(f"{call}{number}", call, number) for number in range(3) for call in "ab"]
ORDER = [one.turn_id for one in INPUTS]


def ends(*turns, state=TurnState.ANSWERED):
    origin = Origin(topic="calls.utterances", partition=0, offset=0, index=0)
    return [
        BotTurn(
            kind=BotTurnKind.TURN_END, conversation_id="c", session_id="s", turn_id=turn, state=state, origin=origin
        )
        for turn in turns
    ]


def results(state=TurnState.ANSWERED):
    return dict.fromkeys(ORDER, state)


def test_a_run_in_which_all_goes_well_is_good():
    verdict = judge(INPUTS, ORDER, results(), ends(*ORDER))
    assert verdict.good
    assert verdict.result(kills=2) == (
        "RESULT bot_chaos sent_twice=0 unaccounted=0 reordered=0 unheard=0 inputs=6 answered=6 kills=2"
    )


def test_what_the_bot_took_twice_is_seen():
    assert judge(INPUTS, [*ORDER, "a1"], results(), ends(*ORDER)).sent_twice == ["a1"]


def test_an_input_without_a_result_or_without_an_end_is_unaccounted():
    without = {turn: state for turn, state in results().items() if turn != "a0"}
    assert judge(INPUTS, ORDER, without, ends(*ORDER)).unaccounted == ["a0"]
    assert judge(INPUTS, ORDER, results(), ends(*ORDER[1:])).unaccounted == ["a0"]
    assert judge(INPUTS, ORDER, results() | {"b2": TurnState.SENDING}, ends(*ORDER)).unaccounted == ["b2"]


def test_an_earlier_input_after_a_later_one_is_reordered_whichever_topic_shows_it():
    assert judge(INPUTS, ["a1", "a0", *ORDER[2:]], results(), ends(*ORDER)).reordered == ["a0"]
    swapped = ["b1", "b0", "a0", "a1", "a2", "b2"]
    assert judge(INPUTS, ORDER, results(), ends(*swapped)).reordered == ["b0"]
    assert judge(INPUTS, ["b0", "a0", "a1", "b1", "b2", "a2"], results(), ends(*ORDER)).good


def test_an_answer_to_what_the_bot_never_took_is_seen():
    assert judge(INPUTS, ORDER[1:], results(), ends(*ORDER)).unheard == ["a0"]
    flagged = ends("a0", state=TurnState.AMBIGUOUS) + ends(*ORDER[1:])
    assert judge(INPUTS, ORDER[1:], results(), flagged).good
