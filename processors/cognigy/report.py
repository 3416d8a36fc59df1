"""What is written about a turn: its records on calls.bot, its entries on the turns topic. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from processors.cognigy.logic import End, Turn
from processors.cognigy.messages import BotOutput, Intent
from processors.cognigy.rules import Rules
from schemas.records import BotTurn, TurnEntry
from schemas.symbols import BotSpeaker, BotTransport, BotTurnKind, TurnState

RETAKEN_INDEX = 1000
"""First number of the records that a process adds to a turn another one had begun."""


def entry(turn: Turn, state: TurnState, attempt: int, worker: str, now_s: float) -> TurnEntry:
    """Return what the turns topic is told."""
    return TurnEntry(
        turn_id=turn.id,
        state=state,
        conversation_id=turn.utterance.conversation_id,
        session_id=turn.utterance.session_id,
        worker=worker,
        attempt=attempt,
        written_at_us=round(now_s * 1e6),
        origin=turn.received.origin(0),
    )


def records(turn: Turn, end: End, now_s: float, rules: Rules) -> list[BotTurn]:
    """Return all records of a turn that ended, in order, TURN_END last."""
    rows = _Rows(_shared(turn, end, now_s, rules), turn, RETAKEN_INDEX if end.retaken else 0)
    verdict = end.verdict
    answer = verdict.answer if verdict else None
    for output in answer.outputs if answer else ():
        rows.add(_of_output(output))
    failure: dict[str, object] = {}
    if verdict is not None and verdict.error_class is not None:
        failure = {
            "error_class": verdict.error_class,
            "error_code": verdict.code,
            "error_message": verdict.message,
            "retryable": end.retryable,
        }
        if end.attempts > 0 or end.state is TurnState.FAILED:
            rows.add({"kind": BotTurnKind.ERROR, "speaker": BotSpeaker.SYSTEM, "trace_id": verdict.trace_id, **failure})
    intent = _of_intent(answer.intent if answer else None)
    trace_id = verdict.trace_id if verdict else None
    rows.add({"kind": BotTurnKind.TURN_END, "speaker": BotSpeaker.SYSTEM, "trace_id": trace_id, **failure, **intent})
    return rows.written


@dataclass
class _Rows:
    """Numbers the records of a turn."""

    shared: BotTurn
    turn: Turn
    first_index: int
    written: list[BotTurn] = field(default_factory=list)

    def add(self, fields: dict[str, object]) -> None:
        index = self.first_index + len(self.written)
        origin = self.turn.received.origin(index)
        self.written.append(replace(self.shared, index=index, origin=origin, **fields))  # type: ignore[arg-type]


def _of_output(output: BotOutput) -> dict[str, object]:
    if output.defect is not None:
        return {
            "kind": BotTurnKind.ERROR,
            "speaker": BotSpeaker.SYSTEM,
            "error_class": "not_documented",
            "error_message": output.defect,
        }
    return {
        "kind": BotTurnKind.OUTPUT,
        "speaker": output.speaker,
        "text": output.text,
        "data_json": output.data_json,
        "trace_id": output.trace_id,
        **_of_intent(output.intent),
    }


def _of_intent(intent: Intent | None) -> dict[str, object]:
    if intent is None:
        return {}
    return {"intent": intent.name, "intent_score": intent.score, "intent_origin": intent.path}


def _shared(turn: Turn, end: End, now_s: float, rules: Rules) -> BotTurn:
    """Return what all records of a turn have in common."""
    utterance = turn.utterance
    input_at_s = turn.received.timestamp_ms / 1000
    answered = end.state is TurnState.ANSWERED
    return BotTurn(
        conversation_id=utterance.conversation_id,
        session_id=utterance.session_id,
        organisation=utterance.organisation,
        queue=utterance.queue,
        agent=utterance.agent,
        channel=utterance.channel,
        turn_id=turn.id,
        utterance_id=utterance.utterance_id,
        state=end.state,
        transport=BotTransport.REST,
        late=answered and turn.age_s(now_s) > rules.late_after_s,
        ambiguous=end.ambiguous,
        slow=end.waited_s is not None and end.waited_s > rules.slow_after_s,
        attempts=end.attempts,
        queue_ms=-1 if end.sent_at_s is None else _span_ms(end.sent_at_s - input_at_s),
        response_ms=_span_ms(end.waited_s) if answered and end.waited_s is not None else -1,
        total_ms=_span_ms(now_s - input_at_s),
        produced_at_us=round(now_s * 1e6),
        origin=turn.received.origin(0),
        settings_hash=rules.settings_hash,
        partial=utterance.partial,
    )


def _span_ms(seconds: float) -> float:
    """Return a span in ms; one that clocks make negative counts as none."""
    return max(0.0, seconds * 1000)


def marks(written: Sequence[BotTurn]) -> list[str]:
    """Return what is to be counted of a turn besides its state."""
    last = written[-1]
    return [name for name in ("late", "slow", "ambiguous") if getattr(last, name)]
