"""How the bot's end of a bridge answers: pure, without a network."""

import base64
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Any

SAMPLES_20_MS = 160


@unique
class Fault(Enum):
    """What happens instead of, or after, the messages of an answer."""

    NONE = "none"
    SILENCE = "the input is read and never answered"
    RESET = "the connection is cut after the messages"
    CLOSE = "the connection is closed with 1011 after the messages"


@dataclass(frozen=True, slots=True)
class Message:
    """One message, sent `after_s` the one before it. `content` goes as it is."""

    content: str | bytes
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """How one input is answered. `echoes_turn`: each message of it repeats the input's id in `turnId`."""

    messages: tuple[Message, ...] = ()
    fault: Fault = Fault.NONE
    echoes_turn: bool = False


@dataclass(frozen=True, slots=True)
class Input:
    """One input the bot took. `arrived_s` is the event loop's time."""

    session_id: str
    text: str | None
    data: Mapping[str, Any]
    path: str
    arrived_s: float


@dataclass(frozen=True, slots=True)
class Voice:
    """A piece of the caller's voice as it came."""

    session_id: str
    payload: bytes
    encoding: str
    sample_rate_hz: int
    position: int
    arrived_s: float


def transcript(text: str, after_s: float = 0.0, **more: Any) -> Message:
    """Return a transcript."""
    return typed("transcript", after_s, text=text, **more)


def intent(name: str, after_s: float = 0.0, **more: Any) -> Message:
    """Return a matched intent."""
    return typed("intent", after_s, intent=name, **more)


def error(text: str, after_s: float = 0.0, **more: Any) -> Message:
    """Return an error."""
    return typed("error", after_s, message=text, **more)


def audio(payload: bytes, after_s: float = 0.0, name: str = "payload") -> Message:
    """Return a piece of speech."""
    return typed("audio", after_s, **{name: base64.b64encode(payload).decode("ascii")})


def typed(kind: str, after_s: float = 0.0, **fields: Any) -> Message:
    """Return a message of any type, known or not."""
    return Message(json.dumps({"type": kind} | fields), after_s)


def echo(text: str) -> Answer:
    """Return the answer of a bot that repeats what it heard: what it understood, its words, and 40 ms of silence."""
    silence = audio(bytes(2 * SAMPLES_20_MS))
    return Answer((intent("echo", confidence=0.9), transcript(f"You said: {text}"), silence, silence))


@dataclass
class Script:
    """The bot's behaviour: the next answer of `queue`, else the one to the text, else `otherwise`."""

    answers: dict[str, Answer] = field(default_factory=dict)
    otherwise: Callable[[str], Answer] = echo
    queue: deque[Answer] = field(default_factory=deque)

    def answer(self, text: str | None) -> Answer:
        """Return the answer to an input."""
        if self.queue:
            return self.queue.popleft()
        return self.answers.get(text or "") or self.otherwise(text or "")


def named(content: str | bytes, turn_id: Any) -> str | bytes:
    """Return a message that repeats whose answer it is."""
    return json.dumps(json.loads(content) | {"turnId": turn_id})


def input_of(message: str | bytes) -> Mapping[str, Any] | None:
    """Return the data of a userInput event, None for any other message."""
    content = _object(message)
    good = content.get("type") == "event" and content.get("event") == "userInput"
    data = content.get("data")
    return data if good and isinstance(data, dict) else None


def voice_of(message: str | bytes, arrived_s: float) -> Voice | None:
    """Return a piece of the caller's voice, None for any other message."""
    content = _object(message)
    if content.get("type") != "audio":
        return None
    payload = base64.b64decode(content["payload"])
    return Voice(
        content["sessionId"], payload, content["encoding"], content["sampleRate"], content["position"], arrived_s
    )


def _object(message: str | bytes) -> dict[str, Any]:
    try:
        content = json.loads(message) if isinstance(message, str) else None
    except ValueError:
        content = None
    return content if isinstance(content, dict) else {}
