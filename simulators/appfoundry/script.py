"""What a WebSocket of an app says and when: messages on a timeline, worked out before anything is sent. Pure."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from simulators.conversation import script as conversation

MS_PER_S: Final = 1000
AUDIO_FIELD: Final = "payload"
"""A choice: the document does not name the field."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent, exactly, and when, in ms from the moment the timeline is played."""

    at_ms: int
    content: str | bytes


@dataclass(frozen=True, slots=True)
class Timeline:
    """Messages in the order of their times; raises ValueError for another order."""

    messages: tuple[Message, ...] = ()

    def __post_init__(self) -> None:
        """Check the order."""
        if any(later.at_ms < earlier.at_ms for earlier, later in pairwise(self.messages)):
            message = "messages stand in the order of their times"
            raise ValueError(message)


def transcript(at_ms: int, text: str, **more: Any) -> Message:
    """Return a transcript; `more` are fields beyond the document's."""
    return typed(at_ms, "transcript", text=text, **more)


def intent(at_ms: int, name: str) -> Message:
    """Return a matched intent."""
    return typed(at_ms, "intent", intent=name)


def error(at_ms: int, text: str) -> Message:
    """Return an error of the platform."""
    return typed(at_ms, "error", message=text)


def audio(at_ms: int, payload: bytes, name: str = AUDIO_FIELD) -> Message:
    """Return a chunk of audio; `name` is the field that holds it."""
    return typed(at_ms, "audio", **{name: base64.b64encode(payload).decode("ascii")})


def typed(at_ms: int, kind: str, **fields: Any) -> Message:
    """Return a message of any type, known or not."""
    return Message(at_ms, encoded({"type": kind} | fields))


def encoded(message: Mapping[str, Any] | str | bytes) -> str | bytes:
    """Return an object as JSON; text and bytes go as they are."""
    return message if isinstance(message, str | bytes) else json.dumps(message)


def spoken(channel: str = "external", delay_ms: int = 300) -> Timeline:
    """Return the lines of one speaker of the shipped conversation, each `delay_ms` after its last word."""
    truth = json.loads((conversation.FOLDER / "truth.json").read_text())
    index = truth["channels"].index(channel)
    return Timeline(
        tuple(
            transcript(line["end"] * MS_PER_S // truth["sample_rate_hz"] + delay_ms, line["text"])
            for line in truth["speech"]
            if line["channel"] == index
        )
    )
