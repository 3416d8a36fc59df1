"""What became of every input of a run, judged from what the bot took and what the worker wrote. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from schemas.records import BotTurn
from schemas.symbols import BotTurnKind, TurnState

FINAL = {TurnState.ANSWERED, TurnState.FAILED, TurnState.STALE, TurnState.SUPERSEDED, TurnState.AMBIGUOUS}


@dataclass(frozen=True)
class Wanted:
    """One input: its turn, its conversation and its number there."""

    turn_id: str
    conversation_id: str
    number: int


@dataclass(frozen=True)
class Verdict:
    """How a run went. The lists name what is wrong, for people; the numbers are their lengths."""

    inputs: int
    sent_twice: Sequence[str] = ()
    unaccounted: Sequence[str] = ()
    reordered: Sequence[str] = ()
    unheard: Sequence[str] = ()
    """Answered, and the bot never took them: that would be a lie."""
    states: Mapping[str, int] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        return not (self.sent_twice or self.unaccounted or self.reordered or self.unheard)

    def result(self, **more: object) -> str:
        """Return the last line of a run."""
        numbers = {
            "sent_twice": len(self.sent_twice),
            "unaccounted": len(self.unaccounted),
            "reordered": len(self.reordered),
            "unheard": len(self.unheard),
            "inputs": self.inputs,
            **{state.lower(): count for state, count in sorted(self.states.items())},
            **more,
        }
        return "RESULT bot_chaos " + " ".join(f"{name}={value}" for name, value in numbers.items())


def judge(
    wanted: Iterable[Wanted], taken: Sequence[str], results: Mapping[str, TurnState], rows: Iterable[BotTurn]
) -> Verdict:
    """Judge a run: `taken` are the turn ids the bot took, in order; `results` what the turns topic says at its end."""
    inputs = {one.turn_id: one for one in wanted}
    ended: dict[str, list[TurnState]] = {}
    order: list[str] = []
    for row in rows:
        if row.kind is BotTurnKind.TURN_END and row.turn_id in inputs:
            if row.turn_id not in ended:
                order.append(row.turn_id)
            ended.setdefault(row.turn_id, []).append(row.state)
    accounted = {turn for turn, state in results.items() if state in FINAL} & ended.keys()
    answered = {turn for turn, states in ended.items() if TurnState.ANSWERED in states}
    return Verdict(
        inputs=len(inputs),
        sent_twice=sorted(turn for turn, count in Counter(taken).items() if count > 1),
        unaccounted=sorted(inputs.keys() - accounted),
        reordered=sorted({*_out_of_order(inputs, taken), *_out_of_order(inputs, order)}),
        unheard=sorted(answered - set(taken)),
        states=Counter(results[turn].value for turn in inputs if turn in results),
    )


def _out_of_order(inputs: Mapping[str, Wanted], turns: Sequence[str]) -> list[str]:
    """Return the turns that come before an earlier one of their conversation."""
    by_conversation: dict[str, list[Wanted]] = {}
    for turn in dict.fromkeys(turns):
        if turn in inputs:
            by_conversation.setdefault(inputs[turn].conversation_id, []).append(inputs[turn])
    return [
        later.turn_id
        for found in by_conversation.values()
        for earlier, later in pairwise(found)
        if later.number < earlier.number
    ]
