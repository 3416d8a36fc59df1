"""The turns of one partition as the turns topic tells them: intents and results, newest last, results before intents.

A turn has two records, `<turn id>/intent` and `<turn id>/result`, so that an intent a frozen worker wrote late never
replaces a result. An intent without a result is SENDING: whether bytes left is not known.

A turn is forgotten, and not read by a new owner, when its newest record is `REMEMBERED_MS` older than the newest input
record before which everything is finished and committed. The turn of a record that is not finished was begun after that
record was written, so it is always remembered; what the margin is for are repeats of inputs that were finished before.
That bounds the memory: about 250 bytes for each turn of that time.
"""

from collections import OrderedDict
from dataclasses import dataclass

from schemas.symbols import TurnState

REMEMBERED_MS = 2 * 3_600_000
_INTENT = "/intent"
_RESULT = "/result"


def intent_key(turn_id: str) -> bytes:
    """Return the key of a turn's intent."""
    return f"{turn_id}{_INTENT}".encode()


def result_key(turn_id: str) -> bytes:
    """Return the key of a turn's result."""
    return f"{turn_id}{_RESULT}".encode()


@dataclass(slots=True)
class _Turn:
    state: TurnState
    concluded: bool
    at_ms: int


class TurnTable:
    """State of turns by id."""

    def __init__(self) -> None:
        self._turns: OrderedDict[str, _Turn] = OrderedDict()

    def __len__(self) -> int:
        return len(self._turns)

    def note(self, key: bytes | None, state: TurnState, at_ms: int) -> None:
        """Take a record of the topic: its key, its state (of an intent it does not matter) and the broker's time.

        A key of neither kind is left out.
        """
        text = (key or b"").decode("utf-8", "replace")
        if text.endswith(_RESULT):
            self._put(text.removesuffix(_RESULT), state, at_ms, concluded=True)
        elif text.endswith(_INTENT):
            self._put(text.removesuffix(_INTENT), TurnState.SENDING, at_ms, concluded=False)

    def state(self, turn_id: str) -> TurnState | None:
        """Return the result's state, SENDING for an intent without a result, None for neither."""
        turn = self._turns.get(turn_id)
        return None if turn is None else turn.state

    def finished_before(self, at_ms: int) -> None:
        """Forget what need not be remembered once every input record up to this time is finished."""
        while self._turns:
            turn_id, turn = next(iter(self._turns.items()))
            if turn.at_ms >= at_ms - REMEMBERED_MS:
                return
            del self._turns[turn_id]

    def _put(self, turn_id: str, state: TurnState, at_ms: int, *, concluded: bool) -> None:
        known = self._turns.get(turn_id)
        if known is None:
            self._turns[turn_id] = _Turn(state, concluded, at_ms)
        else:
            if concluded or not known.concluded:
                known.state, known.concluded = state, concluded
            known.at_ms = max(known.at_ms, at_ms)
            self._turns.move_to_end(turn_id)
