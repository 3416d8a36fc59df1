"""What is written about turns and calls: records of calls.bot and calls.bot-audio, entries of the turns topic. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from processors.cognigy.calls import Call
from processors.cognigy.events import BotEvent, BotInput, BotOutput, Complained, Ended, Heard, Intent, Spoke, Understood
from processors.cognigy.logic import Boundary, End, Turn
from processors.cognigy.messages import turn_id
from processors.cognigy.rules import Rules
from schemas.records import BotAudio, BotTurn, TurnEntry
from schemas.symbols import BotSpeaker, BotTransport, BotTurnKind, Channel, Codec, TurnState

RETAKEN_INDEX = 1000
"""First number of the records that a process adds to a turn another one had begun."""
UNAVAILABLE_INDEX = 900
"""Number of the record that says the bot cannot be had: it may stand before a turn that is begun only later."""

BotRecord = BotTurn | BotAudio


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


@dataclass(slots=True)
class Voice:
    """Where the bot's speech stands: samples so far, and what they are."""

    position_samples: int = 0
    pieces: int = 0
    codec: Codec = Codec.UNKNOWN
    sample_rate_hz: int = -1

    def take(self, piece: Spoke) -> int:
        """Return the position of a piece, and move behind it."""
        position = self.position_samples
        self.position_samples += len(piece.payload) // (1 if piece.codec in {Codec.PCMU, Codec.PCMA} else 2)
        self.pieces += 1
        self.codec, self.sample_rate_hz = piece.codec, piece.sample_rate_hz
        return position


@dataclass(slots=True)
class Rows:
    """Numbers the records of one turn, in the order in which they are written."""

    turn: Turn
    rules: Rules
    transport: BotTransport
    retaken: bool = False
    """Another process may have written records of it."""
    next_index: int = 0
    marked_slow: bool = False
    voice: Voice = field(default_factory=Voice)
    intent: Intent | None = None

    def of(self, events: Sequence[BotEvent], end: End, now_s: float) -> list[BotRecord]:
        """Return the records of events. `end` is how the turn stands with them; `Ended` is no record of its own."""
        shared = self._shared(end, now_s)
        found: list[BotRecord] = []
        for event in events:
            if isinstance(event, Spoke):
                found.append(self._spoken(event, shared, is_last=False))
            elif not isinstance(event, Ended):
                self.intent = self.intent or intent_of(event)
                found.append(self._row(shared, _fields(event)))
        return found

    def slow(self, end: End, now_s: float) -> list[BotRecord]:
        """Return the record that says the answer takes long."""
        self.marked_slow = True
        return [self._row(self._shared(end, now_s), {"kind": BotTurnKind.SLOW, "speaker": BotSpeaker.SYSTEM})]

    def refused(self, end: End, now_s: float) -> list[BotRecord]:
        """Return the record that stands for what the bot said, where Kafka refused that."""
        fields = {"error_class": "not_stored", "error_message": "Kafka refused the records of what the bot said"}
        error = {"kind": BotTurnKind.ERROR, "speaker": BotSpeaker.SYSTEM, **fields}
        return [self._row(self._shared(end, now_s), error)]

    def unavailable(self, now_s: float) -> list[BotRecord]:
        """Return the record that says the bot cannot be had, for now."""
        shared = self._shared(End(TurnState.RECEIVED), now_s)
        fields = {
            "kind": BotTurnKind.ERROR,
            "speaker": BotSpeaker.SYSTEM,
            "error_class": "bot_unavailable",
            "error_message": "the bot cannot be reached; inputs wait until they are too old",
            "retryable": True,
        }
        origin = self.turn.received.origin(UNAVAILABLE_INDEX)
        return [replace(shared, index=UNAVAILABLE_INDEX, origin=origin, **fields)]  # type: ignore[arg-type]

    def closing(self, end: End, now_s: float) -> list[BotRecord]:
        """Return the last records of the turn: why it was not answered, where it was not, and TURN_END."""
        shared = self._shared(end, now_s)
        found: list[BotRecord] = []
        verdict = end.verdict
        failure: dict[str, Any] = {}
        if self.voice.pieces:
            found.append(self._spoken(Spoke(b"", self.voice.codec, self.voice.sample_rate_hz), shared, is_last=True))
        if verdict is not None and verdict.error_class is not None:
            failure = {
                "error_class": verdict.error_class,
                "error_code": verdict.code,
                "error_message": verdict.message,
                "retryable": end.retryable,
            }
            if end.attempts > 0 or end.state is TurnState.FAILED:
                error = {"kind": BotTurnKind.ERROR, "speaker": BotSpeaker.SYSTEM, "trace_id": verdict.trace_id}
                found.append(self._row(shared, error | failure))
        intent = _of_intent((verdict.intent if verdict else None) or self.intent)
        trace_id = verdict.trace_id if verdict else None
        ending = {"kind": BotTurnKind.TURN_END, "speaker": BotSpeaker.SYSTEM, "trace_id": trace_id}
        found.append(self._row(shared, ending | failure | intent))
        return found

    def _row(self, shared: BotTurn, fields: dict[str, Any]) -> BotTurn:
        index = self._number()
        return replace(shared, index=index, origin=self.turn.received.origin(index), **fields)

    def _spoken(self, piece: Spoke, shared: BotTurn, *, is_last: bool) -> BotAudio:
        index = self._number()
        return spoken(piece, shared, self.voice, index, self.turn.received.origin(index), is_last=is_last)

    def _number(self) -> int:
        index = self.next_index + (RETAKEN_INDEX if self.retaken else 0)
        self.next_index += 1
        return index

    def _shared(self, end: End, now_s: float) -> BotTurn:
        """Return what the records of a turn have in common, as it stands now."""
        turn, rules = self.turn, self.rules
        input_at_s = turn.received.timestamp_ms / 1000
        heard = end.state in {TurnState.ANSWERED, TurnState.SENDING} and end.waited_s is not None
        late = heard and turn.age_s(now_s) > rules.late_after_s
        slow = self.marked_slow or (end.waited_s is not None and end.waited_s > rules.slow_after_s)
        return replace(
            of_call(turn.utterance, rules, self.transport, now_s, turn.received.origin(0)),
            turn_id=turn.id,
            utterance_id=turn.utterance.utterance_id,
            channel=turn.utterance.channel,
            state=end.state,
            late=late,
            superseded=turn.superseded,
            ambiguous=end.ambiguous,
            slow=slow,
            attempts=end.attempts,
            queue_ms=-1 if end.sent_at_s is None else _span_ms(end.sent_at_s - input_at_s),
            response_ms=_span_ms(end.waited_s) if heard and end.waited_s is not None else -1,
            total_ms=_span_ms(now_s - input_at_s),
        )


def records(turn: Turn, end: End, now_s: float, rules: Rules, outputs: Sequence[BotEvent] = ()) -> list[BotRecord]:
    """Return all records of a turn whose answer came at once, in order, TURN_END last."""
    rows = Rows(turn, rules, BotTransport.REST, retaken=end.retaken)
    return [*rows.of(outputs, end, now_s), *rows.closing(end, now_s)]


def of_call(utterance: Any, rules: Rules, transport: BotTransport, now_s: float, origin: Any) -> BotTurn:
    """Return what every record about a call says of it."""
    return BotTurn(
        conversation_id=utterance.conversation_id,
        session_id=utterance.session_id,
        organisation=utterance.organisation,
        queue=utterance.queue,
        agent=utterance.agent,
        transport=transport,
        produced_at_us=round(now_s * 1e6),
        origin=origin,
        settings_hash=rules.settings_hash,
        partial=utterance.partial,
    )


def boundary(at: Boundary, rules: Rules, transport: BotTransport, now_s: float) -> BotTurn:
    """Return the record that says a call of the bot began, or ended."""
    about: dict[str, Any] = {"event": "opened" if at.opens else "closed"}
    if not at.opens:
        about |= {"reason": at.utterance.reason.value, "over": at.call.over}
    return replace(
        of_call(at.utterance, rules, transport, now_s, at.received.origin(0)),
        kind=BotTurnKind.SESSION,
        speaker=BotSpeaker.SYSTEM,
        channel=Channel.ALL,
        turn_id=turn_id(at.utterance.utterance_id),
        utterance_id=at.utterance.utterance_id,
        index=0,
        data_json=json.dumps(about, separators=(",", ":")),
    )


class Unprompted:
    """Numbers what the bot says beside the input under way, in the order of its coming.

    A late answer belongs to its own turn, though that has ended; what answers nothing belongs to none.

    A number is the milliseconds since the call's first record, or one more than the last: whoever takes the call over
    repeats none.
    """

    def __init__(self, call: Call, rules: Rules, transport: BotTransport) -> None:
        self._call = call
        self._rules = rules
        self._transport = transport
        self._last = RETAKEN_INDEX
        self._voice = Voice()

    def of(self, events: Sequence[BotEvent], said: BotInput | None, now_s: float) -> list[BotRecord]:
        """Return the records of events; `said` is the input they answer late, None where they answer none."""
        call = self._call
        whose: dict[str, Any] = {} if said is None else _late(said)
        found: list[BotRecord] = []
        for event in events:
            since_ms = round(now_s * 1000) - call.received.timestamp_ms
            self._last = max(self._last + 1, min(since_ms, 2**31 - 2))
            origin = call.received.origin(self._last)
            shared = replace(of_call(call.utterance, self._rules, self._transport, now_s, origin), **whose)
            if isinstance(event, Spoke):
                found.append(spoken(event, shared, self._voice, self._last, origin, is_last=False))
            elif not isinstance(event, Ended):
                found.append(replace(shared, channel=Channel.BOT, index=self._last, **_fields(event)))
        return found


def _late(said: BotInput) -> dict[str, Any]:
    return {
        "turn_id": said.turn_id,
        "utterance_id": said.utterance.utterance_id,
        "session_id": said.utterance.session_id,
        "state": TurnState.AMBIGUOUS,
        "late": True,
    }


def spoken(piece: Spoke, shared: BotTurn, voice: Voice, index: int, origin: Any, *, is_last: bool) -> BotAudio:  # noqa: PLR0913 - a record's parts
    """Return the record of a piece of the bot's speech."""
    position = voice.position_samples if is_last else voice.take(piece)
    return BotAudio(
        conversation_id=shared.conversation_id,
        session_id=shared.session_id,
        organisation=shared.organisation,
        queue=shared.queue,
        agent=shared.agent,
        channel=Channel.BOT,
        turn_id=shared.turn_id,
        index=index,
        codec=piece.codec,
        sample_rate_hz=piece.sample_rate_hz,
        position_samples=position,
        is_last=is_last,
        produced_at_us=shared.produced_at_us,
        payload=piece.payload,
        origin=origin,
        settings_hash=shared.settings_hash,
        partial=shared.partial,
    )


def intent_of(event: BotEvent) -> Intent | None:
    """Return the intent an event states."""
    return event.intent if isinstance(event, BotOutput | Understood) else None


def _fields(event: BotEvent) -> dict[str, Any]:
    match event:
        case BotOutput():
            return _of_output(event)
        case Heard():
            return {"kind": BotTurnKind.TRANSCRIPT, "text": event.text, "data_json": event.data_json}
        case Understood():
            return {"kind": BotTurnKind.INTENT, "data_json": event.data_json, **_of_intent(event.intent)}
        case Complained():
            return {
                "kind": BotTurnKind.ERROR,
                "speaker": BotSpeaker.SYSTEM,
                "error_class": "bot_error",
                "error_code": event.code,
                "error_message": event.message,
            }
    return {}


def _of_output(output: BotOutput) -> dict[str, Any]:
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


def _of_intent(intent: Intent | None) -> dict[str, Any]:
    if intent is None:
        return {}
    return {"intent": intent.name, "intent_score": intent.score, "intent_origin": intent.path}


def _span_ms(seconds: float) -> float:
    """Return a span in ms; one that clocks make negative counts as none."""
    return max(0.0, seconds * 1000)


def marks(written: Sequence[BotRecord]) -> list[str]:
    """Return what is to be counted of a turn besides its state."""
    last = written[-1]
    return [name for name in ("late", "slow", "ambiguous", "superseded") if getattr(last, name)]
