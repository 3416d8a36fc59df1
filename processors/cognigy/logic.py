"""What happens to a turn: its state and age → the next step, an attempt → its verdict, a verdict → its end. Pure."""

from dataclasses import dataclass
from enum import Enum, unique

from processors.cognigy.messages import BotAnswer, read_answer, trace_of, turn_id
from processors.cognigy.rules import Rules
from runtime.forwarding import Received
from schemas.errors import InvalidRecord
from schemas.records import Utterance
from schemas.symbols import TurnState, UtteranceKind

# status codes of RFC 9110, section 15
_SUCCESS = 200
_REDIRECT = 300
_REQUEST_TIMEOUT = 408
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500
_SERVICE_UNAVAILABLE = 503
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 1.0


@unique
class Step(Enum):
    """What to do with a turn that is taken up."""

    NOTHING = "it has its result"
    SEND = "send it"
    RESEND = "send it, though it may have been sent"
    END_STALE = "it is too old"
    END_AMBIGUOUS = "it may have been sent, and is not sent again"


@unique
class Outcome(Enum):
    """What an attempt came to."""

    ANSWERED = "answered"
    UNSENT = "unsent"
    AMBIGUOUS = "ambiguous"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Turn:
    """One input of the bot, and the record that brought it."""

    received: Received
    utterance: Utterance
    id: str

    @property
    def since_us(self) -> int:
        """When the input was complete, microseconds since the epoch; its record's time where that is not known."""
        at_us = self.utterance.occurred_at_us
        return at_us if at_us >= 0 else self.received.timestamp_ms * 1000

    def age_s(self, now_s: float) -> float:
        """Return how old the input is at an epoch time. Negative where clocks disagree."""
        return now_s - self.since_us / 1e6


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the endpoint. `retry_after_s` is None where it asks for no wait. The body never holds the token."""

    status: int
    body: bytes = b""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class NoReply:
    """No answer came. `unsent` when the request cannot have reached the bot."""

    unsent: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """An attempt, judged. `error_class` is a fixed word, None where there is no error; `code` its status, else -1."""

    outcome: Outcome
    error_class: str | None = None
    message: str | None = None
    code: int = -1
    retry_after_s: float | None = None
    trace_id: str | None = None
    answer: BotAnswer | None = None


@dataclass(frozen=True, slots=True)
class End:
    """How a turn ended. `waited_s` is how long the last request waited, None where none was made."""

    state: TurnState
    verdict: Verdict | None = None
    attempts: int = 0
    sent_at_s: float | None = None
    waited_s: float | None = None
    retaken: bool = False
    retryable: bool = False

    @property
    def ambiguous(self) -> bool:
        """Whether the input may or may not have reached the bot, or may have reached it twice."""
        return self.retaken or self.state is TurnState.AMBIGUOUS


TOO_LARGE = Verdict(Outcome.REFUSED, "too_large", "the input is larger than the endpoint takes; it was not sent")


def turn_of(received: Received, rules: Rules) -> Turn | None:
    """Return the turn a record of calls.utterances causes, None where it causes none.

    Raises `InvalidRecord` for a text without an utterance id: it could be sent twice and nobody would know.
    """
    utterance = received.record
    if not isinstance(utterance, Utterance):
        message = "the record is no utterance"
        raise InvalidRecord(message)
    if utterance.kind is not UtteranceKind.TEXT or utterance.channel not in rules.channels:
        return None
    if not utterance.utterance_id:
        message = "the utterance has no id"
        raise InvalidRecord(message)
    if not (utterance.text or "").strip():
        return None
    return Turn(received, utterance, turn_id(utterance.utterance_id))


def first_step(state: TurnState | None, age_s: float, rules: Rules) -> Step:
    """Return what to do with a turn: `state` is its result, SENDING for an intent without one, None for neither."""
    if state is TurnState.SENDING:
        again = rules.on_ambiguous == "resend" and age_s < rules.max_input_age_s
        return Step.RESEND if again else Step.END_AMBIGUOUS
    if state is not None:
        return Step.NOTHING
    return Step.SEND if age_s < rules.max_input_age_s else Step.END_STALE


def judge(reply: Reply | NoReply, rules: Rules) -> Verdict:
    """Return what an attempt came to: only what provably was not taken is UNSENT."""
    if isinstance(reply, NoReply):
        if reply.unsent:
            return Verdict(Outcome.UNSENT, "unreachable", "no connection to the bot")
        return Verdict(Outcome.AMBIGUOUS, "no_answer", "the request was written and not answered")
    status = reply.status
    if _SUCCESS <= status < _REDIRECT:
        paths = (rules.intent_path, rules.intent_score_path)
        answer = read_answer(reply.body, rules.longest_answer_bytes, paths)
        return Verdict(Outcome.ANSWERED, trace_id=answer.trace_id, answer=answer)
    outcome, error_class = _refusal(status, reply.retry_after_s)
    message = f"the bot answered with status {status}"
    return Verdict(outcome, error_class, message, status, reply.retry_after_s, trace_of(reply.body))


def _refusal(status: int, retry_after_s: float | None) -> tuple[Outcome, str]:
    if status == _TOO_MANY_REQUESTS:
        return Outcome.UNSENT, "rate_limited"
    if status == _SERVICE_UNAVAILABLE and retry_after_s is not None:
        return Outcome.UNSENT, "overloaded"
    if status == _REQUEST_TIMEOUT or status >= _SERVER_ERROR:
        return Outcome.AMBIGUOUS, "server_error"
    return Outcome.REFUSED, "rejected"


_STATES = {
    Outcome.ANSWERED: TurnState.ANSWERED,
    Outcome.UNSENT: TurnState.FAILED,
    Outcome.AMBIGUOUS: TurnState.AMBIGUOUS,
    Outcome.REFUSED: TurnState.FAILED,
}


def end_of(
    verdict: Verdict,
    *,
    retaken: bool,
    attempts: int = 0,
    sent_at_s: float | None = None,
    waited_s: float | None = None,
) -> End:
    """Return how a turn ends whose last attempt came to this."""
    retryable = verdict.outcome is Outcome.UNSENT
    return End(_STATES[verdict.outcome], verdict, attempts, sent_at_s, waited_s, retaken, retryable)


def expired(*, retaken: bool) -> End:
    """Return how a turn ends that grew too old before its first attempt."""
    return End(TurnState.AMBIGUOUS if retaken else TurnState.STALE, retaken=retaken)


def left_behind() -> End:
    """Return how a turn ends that another process may have sent."""
    verdict = Verdict(Outcome.AMBIGUOUS, "unknown_outcome", "a process ended after it may have sent the input")
    return End(TurnState.AMBIGUOUS, verdict, attempts=-1, retaken=True)


def wait_s(end: End, age_s: float, draw: float, rules: Rules) -> float | None:
    """Return how long to wait before the next attempt, None when there must be none and the turn ends so.

    `draw` is a number of 0 to 1. Full jitter from 100 ms doubled up to 1 s, or what Retry-After asks for.
    """
    verdict = end.verdict
    if verdict is None or verdict.outcome is not Outcome.UNSENT or not 0 < end.attempts < rules.attempts:
        return None
    wait = verdict.retry_after_s
    if wait is None:
        wait = draw * min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (end.attempts - 1))
    return wait if age_s + wait < rules.max_input_age_s else None
