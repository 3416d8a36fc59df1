"""What the bot must have heard and answered, held against the call's script. Pure."""

from collections.abc import Iterator, Sequence

from callstream.demo.checks import Check, PlacedCall
from schemas.records import BotTurn
from schemas.symbols import BotTurnKind, TurnState
from simulators.audiohook.demo_call import inputs


def check_bot(call: PlacedCall, heard: Sequence[str | None], turns: Sequence[BotTurn]) -> Iterator[Check]:
    """Return the checks of one call: what its script says, what the bot took, and what stands on calls.bot."""
    wanted = list(inputs(call.scenario))
    yield _heard(wanted, heard, in_order=call.real_time)
    yield _answered([text or "" for text in heard], turns)


def _heard(wanted: Sequence[str], heard: Sequence[str | None], *, in_order: bool) -> Check:
    """Every key and text reached the bot once. Keys and texts keep their order among each other in real time only."""
    keys, texts = ([text for text in wanted if (len(text) == 1) is key] for key in (True, False))
    exact = list(heard) == wanted
    apart = sorted(heard, key=lambda text: len(text or "") != 1) == [*keys, *texts]
    found = f"{len(heard)} of {len(wanted)} inputs"
    return Check("every key and text reached the bot, once and in order", exact if in_order else apart, found)


def _answered(heard: Sequence[str], turns: Sequence[BotTurn]) -> Check:
    """Each input has one answered turn with its latency and what the bot said, in order, and nothing else happened.

    Where a call begins and ends, and that an answer takes long, may be said beside.
    """
    turns = [turn for turn in turns if turn.kind not in {BotTurnKind.SESSION, BotTurnKind.SLOW}]
    ended = [turn for turn in turns if turn.kind is BotTurnKind.TURN_END]
    said = [turn.text for turn in turns if turn.kind is BotTurnKind.OUTPUT]
    clean = all(turn.state is TurnState.ANSWERED and not turn.ambiguous and turn.response_ms >= 0 for turn in ended)
    whole = len({turn.turn_id for turn in turns}) == len(ended) == len(heard)
    fits = said == [f"You said: {text}" for text in heard] and len(turns) == len(ended) + len(said)
    slowest = max((turn.response_ms for turn in ended), default=-1)
    found = f"{len(ended)} turns, answered in {slowest:.0f} ms at most"
    return Check("every answer is on calls.bot, with its latency", clean and whole and fits, found)
