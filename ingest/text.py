"""What text messages of a peer hold: JSON objects, and strings that may be taken over. Nothing here trusts the peer."""

import json
from typing import Any

MAX_STRING_CHARACTERS = 4096
"""Longest text taken over from a message; the rest is cut."""


class MalformedMessage(Exception):
    """A message contradicts the protocol. The text names the defect and never quotes the message."""


def object_of(text: str) -> dict[str, Any]:
    """Return a text message that is a JSON object. Raises `MalformedMessage`, also for NaN and infinities."""
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise MalformedMessage("not JSON") from None  # noqa: EM101, TRY003 - a word
    if not isinstance(value, dict):
        raise MalformedMessage("not a JSON object")  # noqa: EM101, TRY003 - a word
    return value


def text_of(value: Any) -> str | None:
    """Return a string of a message as text that can be written as UTF-8, or None where it is empty or no string."""
    if not isinstance(value, str) or not value:
        return None
    return value[:MAX_STRING_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def whole_number_of(value: Any, below: int) -> int | None:
    """Return a number of a message where it is whole, not negative and below a limit; else None."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < below:
        return value
    return None


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
