"""The text messages of AppFoundry: JSON → values. Text is cut to what `ingest.text` takes over."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ingest.media import payload_of
from ingest.text import MalformedMessage, object_of, text_of, whole_number_of

_CODE_LIMIT = 2**31


class Spoken(NamedTuple):
    """What texts and intents say beside themselves; `confidence` -1: not stated."""

    id: str | None
    language: str | None
    confidence: float


class Transcript(NamedTuple):
    """Words that were said."""

    text: str
    is_final: bool
    spoken: Spoken


class Intent(NamedTuple):
    """What was meant; `text` is what it was read from, where it says so."""

    name: str
    text: str | None
    spoken: Spoken


class Failure(NamedTuple):
    """An error of the platform; `code` -1: not stated."""

    message: str | None
    code: int


class Audio(NamedTuple):
    """A message of audio."""

    payload: bytes


def parse(text: str, payload_fields: Iterable[str]) -> Transcript | Intent | Failure | Audio | None:
    """Return a message, None where its type is not known. Raises `MalformedMessage`."""
    message = object_of(text)
    match message.get("type"):
        case "transcript":
            return _transcript(message)
        case "intent":
            return _intent(message)
        case "error":
            code = whole_number_of(message.get("code"), _CODE_LIMIT)
            return Failure(text_of(message.get("message")), -1 if code is None else code)
        case "audio":
            return Audio(payload_of(message, payload_fields))
        case str():
            return None
    raise MalformedMessage("type is not a string")  # noqa: EM101, TRY003 - a word


def _transcript(message: Mapping[str, Any]) -> Transcript:
    text = text_of(message.get("text"))
    if text is None:
        raise MalformedMessage("a transcript without text")  # noqa: EM101, TRY003 - a word
    return Transcript(text, message.get("isFinal") is not False, _spoken(message))


def _intent(message: Mapping[str, Any]) -> Intent:
    name = text_of(message.get("intent"))
    if name is None:
        raise MalformedMessage("an intent without a name")  # noqa: EM101, TRY003 - a word
    return Intent(name, text_of(message.get("text")), _spoken(message))


def _spoken(message: Mapping[str, Any]) -> Spoken:
    return Spoken(text_of(message.get("id")), text_of(message.get("language")), _confidence(message.get("confidence")))


def _confidence(value: Any) -> float:
    """Return a confidence from 0 to 1; -1 where the value is none."""
    sane = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    return float(value) if sane else -1.0
