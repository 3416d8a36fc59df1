"""The turns of one partition as the turns topic tells them: intents and results, newest last, results before intents.

A turn has two records, `<turn id>/intent` and `<turn id>/result`, so that an intent a frozen worker wrote late never
replaces a result. An intent without a result is SENDING: whether bytes left is not known. A turn is forgotten once its
newest record is older than the topic keeps records (counted in the broker's time from the newest one seen), for then a
new owner could not read it either; that bounds the memory: about 250 bytes for each turn of that time.
"""

from collections import OrderedDict
from dataclasses import dataclass

from schemas.symbols import TurnState

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
    """State of turns by id; `retention_ms` is how long the topic keeps a record."""

    def __init__(self, retention_ms: int) -> None:
        self._retention_ms = retention_ms
        self._turns: OrderedDict[str, _Turn] = OrderedDict()
        self._newest_ms = 0

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

    def _put(self, turn_id: str, state: TurnState, at_ms: int, *, concluded: bool) -> None:
        self._newest_ms = max(self._newest_ms, at_ms)
        known = self._turns.get(turn_id)
        if known is None:
            self._turns[turn_id] = _Turn(state, concluded, at_ms)
        else:
            if concluded or not known.concluded:
                known.state, known.concluded = state, concluded
            known.at_ms = max(known.at_ms, at_ms)
            self._turns.move_to_end(turn_id)
        self._forget()

    def _forget(self) -> None:
        oldest_ms = self._newest_ms - self._retention_ms
        while self._turns:
            turn_id, turn = next(iter(self._turns.items()))
            if turn.at_ms >= oldest_ms:
                return
            del self._turns[turn_id]
