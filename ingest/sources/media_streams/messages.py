"""The text messages of media streams: JSON ↔ values."""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ingest.text import MalformedMessage, object_of, text_of, whole_number_of

NOT_AVAILABLE = "mediaNotAvailable"
"""Code of the error that says there is no media of an interaction, not yet or not any more."""
_MAX_STATUS = 1000
_FIRST_ERROR_STATUS = 400


class Packet(NamedTuple):
    """A packet of audio. The numbers are as sent, below 2^bits."""

    interaction_id: str
    sequence: int
    timestamp: int
    payload: bytes


class Failure(NamedTuple):
    """An error of the platform. `interaction_id` None: it names none; `status` -1 and `code` None: not stated."""

    interaction_id: str | None
    status: int
    code: str | None
    message: str | None

    @property
    def text(self) -> str | None:
        """What it says in words."""
        return ": ".join(part for part in (self.code, self.message) if part) or None

    def without(self, token: str | None) -> "Failure":
        """Return it without a token should it quote it."""
        if not token or token not in (self.text or ""):
            return self
        code, message = (part and part.replace(token, "...") for part in (self.code, self.message))
        return self._replace(code=code, message=message)


def subscription(interactions: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Return the message that asks for the media of interactions, each with its codecs from best to worst."""
    wanted = [
        {"interactionId": interaction, "mediaType": "voice", "codecPreferences": list(codecs)}
        for interaction, codecs in interactions
    ]
    return json.dumps({"interactions": wanted}, separators=(",", ":"))


def parse(text: str, sequence_bits: int, timestamp_bits: int) -> Packet | Failure | None:
    """Return a message as a packet or an error, None where it is neither. Raises `MalformedMessage`."""
    message = object_of(text)
    if "payload" in message or "sequenceNumber" in message:
        return _packet(message, sequence_bits, timestamp_bits)
    return _failure(message)


def _packet(message: Mapping[str, Any], sequence_bits: int, timestamp_bits: int) -> Packet:
    interaction = message.get("interactionId")
    sequence = whole_number_of(message.get("sequenceNumber"), 1 << sequence_bits)
    timestamp = whole_number_of(message.get("timestamp"), 1 << timestamp_bits)
    payload = message.get("payload")
    if not isinstance(interaction, str):
        raise MalformedMessage("interactionId is not a string")  # noqa: EM101, TRY003 - a word
    if sequence is None:
        raise MalformedMessage("sequenceNumber is not a number of the width set")  # noqa: EM101, TRY003 - a word
    if timestamp is None:
        raise MalformedMessage("timestamp is not a number of the width set")  # noqa: EM101, TRY003 - a word
    if not isinstance(payload, str):
        raise MalformedMessage("payload is not a string")  # noqa: EM101, TRY003 - a word
    try:
        return Packet(interaction, sequence, timestamp, base64.b64decode(payload, validate=True))
    except (binascii.Error, ValueError):
        raise MalformedMessage("payload is not base64") from None  # noqa: EM101, TRY003 - a word


def _failure(message: Mapping[str, Any]) -> Failure | None:
    status = whole_number_of(message.get("status"), _MAX_STATUS)
    code = text_of(message.get("code"))
    if code is None if status is None else status < _FIRST_ERROR_STATUS:
        return None
    interaction = message.get("interactionId")
    return Failure(
        interaction_id=interaction if isinstance(interaction, str) else None,
        status=-1 if status is None else status,
        code=code,
        message=text_of(message.get("message")),
    )
