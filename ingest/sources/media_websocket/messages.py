"""The text messages of media WebSockets: JSON ↔ values."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ingest.media import payload_of
from ingest.text import MalformedMessage, object_of, text_of, whole_number_of

_ACKNOWLEDGEMENTS = ("ack", "subscribe", "subscribed", "subscription")
_SUCCESS = "success"
_CODE_LIMIT = 2**31


class Authentication(NamedTuple):
    """The answer to a token; `message` is why it was refused, where that is said."""

    granted: bool
    message: str | None


class Subscription(NamedTuple):
    """The answer to a subscription. No result is a good one."""

    granted: bool
    message: str | None


class Audio(NamedTuple):
    """A message of audio."""

    payload: bytes


class Failure(NamedTuple):
    """An error of the platform; `code` -1: not stated."""

    message: str | None
    code: int


def auth(token: str, user_id: str | None) -> str:
    """Return the message that says who we are."""
    user = {} if user_id is None else {"userId": user_id}
    return json.dumps({"type": "auth", "token": token, **user}, separators=(",", ":"))


def subscribe(connection_id: str) -> str:
    """Return the message that asks for the audio of a media connection."""
    message = {"type": "subscribe", "connectionId": connection_id, "capabilities": ["audio"]}
    return json.dumps(message, separators=(",", ":"))


def parse(text: str, payload_fields: Iterable[str]) -> Authentication | Subscription | Audio | Failure | None:
    """Return a message, None where its type is not known. Raises `MalformedMessage`."""
    message = object_of(text)
    match message.get("type"):
        case "audio":
            return Audio(payload_of(message, payload_fields))
        case "auth":
            return Authentication(message.get("result") == _SUCCESS, _reason(message))
        case "error":
            code = whole_number_of(message.get("code"), _CODE_LIMIT)
            return Failure(_reason(message), -1 if code is None else code)
        case str(kind):
            if kind in _ACKNOWLEDGEMENTS:
                return Subscription(message.get("result", _SUCCESS) == _SUCCESS, _reason(message))
            return None
    raise MalformedMessage("type is not a string")  # noqa: EM101, TRY003 - a word


def _reason(message: Mapping[str, Any]) -> str | None:
    return text_of(message.get("message"))
