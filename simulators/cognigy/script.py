"""What the bot is told to do with its inputs: pure, without a network.

An input is answered by the first of: the next answer of `queue` (each used up once), the answer to its text, and
`otherwise`.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Any

MOST_BODY_BYTES = 60_000
"""The documented limit of a request's JSON."""


@unique
class Fault(Enum):
    """What happens instead of, or in the middle of, an answer."""

    NONE = "none"
    RESET_BEFORE_READ = "the connection is reset before the request was read"
    RESET_AFTER_READ = "the connection is reset after the request was read"
    RESET_IN_ANSWER = "the connection is reset in the middle of the answer"
    SILENCE = "the request is read and never answered"


@dataclass(frozen=True, slots=True)
class Output:
    """One output of the Flow."""

    text: str | None = None
    data: Any = None
    source: str = "bot"


@dataclass(frozen=True, slots=True)
class Answer:
    """How one input is answered: with outputs, or with a status, or with any bytes as `body`, or with a fault."""

    outputs: tuple[Output, ...] = ()
    status: int = 200
    retry_after: str | None = None
    body: bytes | None = None
    delay_s: float = 0.0
    fault: Fault = Fault.NONE


@dataclass(frozen=True, slots=True)
class Input:
    """One input the bot took. `arrived_s` is the event loop's time when its request had been read whole."""

    session_id: str
    user_id: str
    text: str | None
    data: Any
    arrived_s: float


def echo(text: str) -> Answer:
    """Return the answer of a bot that repeats what it heard."""
    return Answer((Output(f"You said: {text}", {"intent": "echo", "intentScore": 0.9}),))


@dataclass
class Script:
    """The bot's behaviour."""

    answers: dict[str, Answer] = field(default_factory=dict)
    otherwise: Callable[[str], Answer] = echo
    queue: deque[Answer] = field(default_factory=deque)

    def resets_unread(self) -> bool:
        """Tell whether the next request is to be reset before it is read, and use that up."""
        if self.queue and self.queue[0].fault is Fault.RESET_BEFORE_READ:
            self.queue.popleft()
            return True
        return False

    def answer(self, text: str | None) -> Answer:
        """Return the answer to an input, and use it up where it is one of the queue."""
        if self.queue:
            return self.queue.popleft()
        return self.answers.get(text or "") or self.otherwise(text or "")


def defect(request: Any) -> str | None:
    """Return why a request is refused, None for a good one."""
    if not isinstance(request, dict):
        return "the body is no JSON object"
    for name in ("userId", "sessionId"):
        if not isinstance(request.get(name), str) or not request[name]:
            return f"{name} is missing"
    if not request.get("text") and not request.get("data"):
        return "text and data are missing"
    return None


def documented(taken: Input, outputs: tuple[Output, ...], trace_id: str) -> dict[str, Any]:
    """Return the body of an answer with status 200."""
    merged: dict[str, Any] = {}
    for output in outputs:
        merged.update(output.data if isinstance(output.data, dict) else {})
    return {
        "text": "".join(output.text or "" for output in outputs),
        "data": merged,
        "outputStack": [
            {
                "text": output.text,
                "data": output.data,
                "traceId": trace_id,
                "disableSensitiveLogging": False,
                "source": output.source,
            }
            for output in outputs
        ],
        "userId": taken.user_id,
        "sessionId": taken.session_id,
    }
