"""What goes to a bot and what comes back, whichever way it is reached. Pure.

A transport turns its own messages into these, and these into its own: nothing else of the component knows what a
transport's messages look like.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, unique
from typing import Any

from schemas.records import Utterance
from schemas.symbols import BotSpeaker, Codec


@unique
class Outcome(Enum):
    """What an attempt came to."""

    ANSWERED = "answered"
    UNSENT = "unsent"
    AMBIGUOUS = "ambiguous"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Intent:
    """An intent as the bot's side stated it. `score` is -1 where it gave none; `path` says where it stood."""

    name: str
    score: float
    path: str


@dataclass(frozen=True, slots=True)
class BotOutput:
    """One output of the bot. With a `defect` it could not be read, and the rest is empty."""

    speaker: BotSpeaker = BotSpeaker.UNKNOWN
    text: str | None = None
    data_json: str | None = None
    trace_id: str | None = None
    intent: Intent | None = None
    defect: str | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """Words that the bot's side understood, or says it spoke."""

    text: str
    data_json: str | None = None


@dataclass(frozen=True, slots=True)
class Understood:
    """What the bot's side takes the words to mean."""

    intent: Intent
    data_json: str | None = None


@dataclass(frozen=True, slots=True)
class Spoke:
    """A piece of the bot's speech."""

    payload: bytes
    codec: Codec
    sample_rate_hz: int


@dataclass(frozen=True, slots=True)
class Complained:
    """An error that is no answer to any input."""

    message: str | None
    code: int = -1


@dataclass(frozen=True, slots=True)
class Verdict:
    """An attempt, judged. `error_class` is a fixed word, None where there is no error; `code` its status, else -1.

    `intent` is that of the whole answer, where it states one.
    """

    outcome: Outcome
    error_class: str | None = None
    message: str | None = None
    code: int = -1
    retry_after_s: float | None = None
    trace_id: str | None = None
    intent: Intent | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The last event of an attempt."""

    verdict: Verdict


BotEvent = BotOutput | Heard | Understood | Spoke | Complained | Ended


@dataclass(frozen=True, slots=True)
class BotInput:
    """One input. `about` is what the bot is told of the call with it, None: nothing.

    `left_s`: for so long it is of use; a transport that must first connect gives up then.
    """

    turn_id: str
    utterance: Utterance
    about: Mapping[str, Any] | None = None
    left_s: float = 8.0
