"""What happens to a turn: its state and age → the next step, a verdict → its end, an end → what is kept of it. Pure."""

from dataclasses import dataclass, field
from enum import Enum, unique

from processors.cognigy.calls import Call
from processors.cognigy.events import Outcome, Verdict
from processors.cognigy.messages import turn_id
from processors.cognigy.rules import Rules
from runtime.forwarding import Letter, Received
from schemas.errors import InvalidRecord
from schemas.records import Utterance
from schemas.symbols import TurnState, UtteranceKind

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 1.0


@unique
class Step(Enum):
    """What to do with a turn that is taken up."""

    NOTHING = "it has its result"
    SEND = "send it"
    RESEND = "send it, though it may have been sent"
    END_STALE = "it is too old"
    END_SUPERSEDED = "the caller has spoken again"
    END_AMBIGUOUS = "it may have been sent, and is not sent again"


@dataclass(frozen=True, slots=True)
class Turn:
    """One input of the bot, and the record that brought it. `call` is None only where nothing is known of it."""

    received: Received
    utterance: Utterance
    id: str
    call: Call | None = field(default=None, compare=False)

    @property
    def since_us(self) -> int:
        """When the input was complete, microseconds since the epoch; its record's time where that is not known."""
        at_us = self.utterance.occurred_at_us
        return at_us if at_us >= 0 else self.received.timestamp_ms * 1000

    @property
    def superseded(self) -> bool:
        """Whether the caller has spoken again since."""
        return self.call is not None and self.call.superseded(self.received, self.utterance)

    def age_s(self, now_s: float) -> float:
        """Return how old the input is at an epoch time. Negative where clocks disagree."""
        return now_s - self.since_us / 1e6


@dataclass(frozen=True, slots=True)
class Boundary:
    """The begin or the end of a call, in the order of its inputs."""

    received: Received
    utterance: Utterance
    call: Call

    @property
    def opens(self) -> bool:
        """Whether it is the begin."""
        return self.utterance.kind is UtteranceKind.OPENED


Work = Turn | Boundary


@dataclass(frozen=True, slots=True)
class End:
    """How a turn ended, or stands. `waited_s` is how long the last request waited, None where none was made."""

    state: TurnState
    verdict: Verdict | None = None
    attempts: int = 0
    sent_at_s: float | None = None
    waited_s: float | None = None
    retaken: bool = False
    retryable: bool = False
    first_sent_at_s: float | None = None

    @property
    def ambiguous(self) -> bool:
        """Whether the input may or may not have reached the bot, or may have reached it twice."""
        return self.retaken or self.state is TurnState.AMBIGUOUS


TOO_LARGE = Verdict(Outcome.REFUSED, "too_large", "the input is larger than the endpoint takes; it was not sent")

NOT_STORED = Verdict(Outcome.REFUSED, "not_stored", "Kafka refused the intent of the turn; the input was not sent")


def utterance_of(received: Received) -> Utterance:
    """Return the utterance of a record. Raises `InvalidRecord` for one that could be sent twice without notice."""
    utterance = received.record
    if not isinstance(utterance, Utterance):
        message = "the record is no utterance"
        raise InvalidRecord(message)
    if utterance.kind is UtteranceKind.TEXT and not utterance.utterance_id:
        message = "the utterance has no id"
        raise InvalidRecord(message)
    return utterance


def is_input(utterance: Utterance, rules: Rules) -> bool:
    """Tell whether an utterance is an input of the bot: final words or keys of the channels that are wanted."""
    said = utterance.kind is UtteranceKind.TEXT and bool((utterance.text or "").strip())
    return said and utterance.channel in rules.channels


def turn_of(received: Received, utterance: Utterance, call: Call | None = None) -> Turn:
    """Return the turn an utterance causes."""
    return Turn(received, utterance, turn_id(utterance.utterance_id), call)


def works_of(received: Received, utterance: Utterance, call: Call, rules: Rules) -> list[Work]:
    """Return what is to be done for a record, in order."""
    if is_input(utterance, rules):
        return [turn_of(received, utterance, call)]
    if utterance.kind is UtteranceKind.OPENED:
        told = [turn_of(received, utterance, call)] if rules.metadata == "call_start" and utterance.utterance_id else []
        return [Boundary(received, utterance, call), *told]
    return [Boundary(received, utterance, call)] if utterance.kind is UtteranceKind.CLOSED else []


def first_step(state: TurnState | None, age_s: float, rules: Rules, *, superseded: bool = False) -> Step:
    """Return what to do with a turn: `state` is its result, SENDING for an intent without one, None for neither."""
    if state is TurnState.SENDING:
        again = rules.on_ambiguous == "resend" and age_s < rules.max_input_age_s
        return Step.RESEND if again else Step.END_AMBIGUOUS
    if state is not None:
        return Step.NOTHING
    if superseded and rules.on_newer_input == "supersede":
        return Step.END_SUPERSEDED
    return Step.SEND if age_s < rules.max_input_age_s else Step.END_STALE


_STATES = {
    Outcome.ANSWERED: TurnState.ANSWERED,
    Outcome.UNSENT: TurnState.FAILED,
    Outcome.AMBIGUOUS: TurnState.AMBIGUOUS,
    Outcome.REFUSED: TurnState.FAILED,
}


def end_of(  # noqa: PLR0913 - what there is to say of an attempt
    verdict: Verdict,
    *,
    retaken: bool,
    attempts: int = 0,
    sent_at_s: float | None = None,
    waited_s: float | None = None,
    first_sent_at_s: float | None = None,
) -> End:
    """Return how a turn ends whose last attempt came to this."""
    retryable = verdict.outcome is Outcome.UNSENT
    first_s = sent_at_s if first_sent_at_s is None else first_sent_at_s
    return End(_STATES[verdict.outcome], verdict, attempts, sent_at_s, waited_s, retaken, retryable, first_s)


def expired(*, retaken: bool, state: TurnState = TurnState.STALE) -> End:
    """Return how a turn ends that grew too old, or was superseded, before its first attempt."""
    return End(TurnState.AMBIGUOUS if retaken else state, retaken=retaken)


def left_behind() -> End:
    """Return how a turn ends that another process may have sent."""
    verdict = Verdict(Outcome.AMBIGUOUS, "unknown_outcome", "a process ended after it may have sent the input")
    return End(TurnState.AMBIGUOUS, verdict, attempts=-1, retaken=True)


def may_retry(end: End, rules: Rules) -> bool:
    """Tell whether the input provably never reached the bot, and was not tried too often."""
    unsent = end.verdict is not None and end.verdict.outcome is Outcome.UNSENT
    return unsent and 0 < end.attempts < rules.attempts


def wait_s(end: End, age_s: float, draw: float, rules: Rules) -> float | None:
    """Return how long to wait before the next attempt, None when there must be none and the turn ends so.

    `draw` is a number of 0 to 1. Full jitter from 100 ms doubled up to 1 s, or what Retry-After asks for.
    """
    verdict = end.verdict
    if verdict is None or not may_retry(end, rules):
        return None
    wait = verdict.retry_after_s
    if wait is None:
        wait = draw * min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (end.attempts - 1))
    return wait if age_s + wait < rules.max_input_age_s else None


def says_the_bot_is_down(verdict: Verdict) -> bool:
    """Tell whether an attempt says that the bot cannot be had: not an answer, and not a refusal of this input."""
    return verdict.outcome in {Outcome.UNSENT, Outcome.AMBIGUOUS}


_REASONS = {
    TurnState.STALE: ("stale", "it was too old to be sent"),
    TurnState.SUPERSEDED: ("superseded", "the caller spoke again before it was sent"),
    TurnState.AMBIGUOUS: ("ambiguous", "nobody knows whether the bot took it"),
}


def letter(end: End) -> Letter | None:
    """Return why the input of a turn is kept among the dead letters, None for one that was answered."""
    if end.state is TurnState.ANSWERED:
        return None
    reason, error = _REASONS.get(end.state, ("permanent", "the bot refused it"))
    verdict = end.verdict
    if end.state is TurnState.FAILED and verdict is not None:
        reason = "retries_exhausted" if end.retryable else reason
        reason = "too_large" if verdict is TOO_LARGE else reason
    if verdict is not None and verdict.error_class is not None:
        error = verdict.error_class if verdict.code < 0 else f"{verdict.error_class}, status {verdict.code}"
    return Letter(reason, error, max(0, end.attempts), _ms(end.first_sent_at_s), _ms(end.sent_at_s))


def _ms(at_s: float | None) -> int:
    return -1 if at_s is None else round(at_s * 1000)
