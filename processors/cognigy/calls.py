"""What is known of the calls whose inputs a worker carries: what a bot is told, which input is the newest. Pure.

It is learnt from the records of calls.utterances in their order, and again from those of the last 40 minutes when a
partition is taken over. A conversation may have several audio sessions; for the bot it is one session.
"""

from dataclasses import dataclass, field
from typing import Any

from runtime.forwarding import Received
from schemas.records import SessionInfo, Utterance
from schemas.symbols import Direction, UtteranceInput, UtteranceKind


@dataclass(slots=True, eq=False)
class Call:
    """One conversation. `received` is the first record of it that was seen."""

    received: Received
    utterance: Utterance
    sessions: dict[str, SessionInfo | None] = field(default_factory=dict)
    """The audio sessions that are open."""
    about: dict[str, Any] = field(default_factory=dict)
    """What the bot may be told of it: nothing personal."""
    told: bool = False
    """Whether the bot took an input that said so, as far as this process knows."""
    newest: int = -1
    """Offset of the newest words of the caller; keys that were pressed do not count."""
    outage: int = -1
    """The outage of the bot that was last announced for this call."""
    over: bool = False
    """Its last session has closed."""

    @property
    def conversation_id(self) -> str:
        """The conversation, which is the bot's session."""
        return self.utterance.conversation_id

    def superseded(self, received: Received, utterance: Utterance) -> bool:
        """Tell whether the caller has spoken again since an input. Keys supersede nothing and are not superseded."""
        return utterance.input is not UtteranceInput.DTMF and self.newest > received.offset


class Calls:
    """The calls of each partition by conversation."""

    def __init__(self) -> None:
        self._calls: dict[int, dict[str, Call]] = {}

    def begin(self, partition: int) -> list[Call]:
        """Forget what was known about a partition; return it."""
        return list(self._calls.pop(partition, {}).values())

    def find(self, partition: int, conversation_id: str) -> Call | None:
        """Return a call that is open, None for any other."""
        return self._calls.get(partition, {}).get(conversation_id)

    def of(self, partition: int) -> list[Call]:
        """Return the open calls of a partition."""
        return list(self._calls.get(partition, {}).values())

    def take(self, received: Received, utterance: Utterance, *, is_input: bool) -> Call:
        """Take the next record of a partition, and return its call.

        After the CLOSED of its last session a call is forgotten here; whoever still carries its inputs keeps it.
        """
        calls = self._calls.setdefault(received.partition, {})
        call = calls.get(utterance.conversation_id)
        if call is None:
            call = calls[utterance.conversation_id] = Call(received, utterance)
        if utterance.kind is UtteranceKind.CLOSED:
            call.sessions.pop(utterance.session_id, None)
            if not call.sessions:
                call.over = True
                del calls[utterance.conversation_id]
            return call
        call.sessions[utterance.session_id] = utterance.session_info or call.sessions.get(utterance.session_id)
        if utterance.kind is UtteranceKind.OPENED:
            call.about = about(utterance)
        if is_input and utterance.input is not UtteranceInput.DTMF:
            call.newest = received.offset
        return call


def about(opened: Utterance) -> dict[str, Any]:
    """Return what a bot may be told of a call, from the utterance that opened it: only what is known."""
    info = opened.session_info
    facts: dict[str, Any] = {
        "conversationId": opened.conversation_id,
        "organisation": opened.organisation,
        "queue": opened.queue,
        "language": opened.language,
        "startedAtMs": opened.occurred_at_us // 1000 if opened.occurred_at_us >= 0 else None,
    }
    if info is not None:
        facts |= {
            "source": info.source_name or None,
            "direction": None if info.direction is Direction.UNKNOWN else info.direction.lower(),
            "division": info.division,
            "platformSessionId": info.platform_session_id,
            "continuedFrom": info.continued_from,
        }
    return {name: value for name, value in facts.items() if value is not None}
