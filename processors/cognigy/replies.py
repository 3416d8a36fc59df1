"""An answer of the REST endpoint, or none → what it means: only what provably was not taken is UNSENT. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from processors.cognigy.events import BotOutput, Outcome, Verdict
from processors.cognigy.messages import read_answer, trace_of
from processors.cognigy.rules import Rules

# status codes of RFC 9110, section 15
_SUCCESS = 200
_REDIRECT = 300
_REQUEST_TIMEOUT = 408
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500
_SERVICE_UNAVAILABLE = 503


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


def judge(reply: Reply | NoReply, rules: Rules) -> tuple[Verdict, Sequence[BotOutput]]:
    """Return what an attempt came to, and what the bot said in it."""
    if isinstance(reply, NoReply):
        if reply.unsent:
            return Verdict(Outcome.UNSENT, "unreachable", "no connection to the bot"), ()
        return Verdict(Outcome.AMBIGUOUS, "no_answer", "the request was written and not answered"), ()
    status = reply.status
    if _SUCCESS <= status < _REDIRECT:
        paths = (rules.intent_path, rules.intent_score_path)
        answer = read_answer(reply.body, rules.longest_answer_bytes, paths)
        return Verdict(Outcome.ANSWERED, trace_id=answer.trace_id, intent=answer.intent), answer.outputs
    outcome, error_class = _refusal(status, reply.retry_after_s)
    message = f"the bot answered with status {status}"
    return Verdict(outcome, error_class, message, status, reply.retry_after_s, trace_of(reply.body)), ()


def _refusal(status: int, retry_after_s: float | None) -> tuple[Outcome, str]:
    if status == _TOO_MANY_REQUESTS:
        return Outcome.UNSENT, "rate_limited"
    if status == _SERVICE_UNAVAILABLE and retry_after_s is not None:
        return Outcome.UNSENT, "overloaded"
    if status == _REQUEST_TIMEOUT or status >= _SERVER_ERROR:
        return Outcome.AMBIGUOUS, "server_error"
    return Outcome.REFUSED, "rejected"
