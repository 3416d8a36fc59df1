"""The text messages of conversation audio: base64 or JSON → values."""

from collections.abc import Iterable
from typing import NamedTuple

from ingest.media import from_base64, payload_of
from ingest.text import MalformedMessage, object_of, text_of, whole_number_of

_CODE_LIMIT = 2**31


class Audio(NamedTuple):
    """A message of audio."""

    payload: bytes


class Failure(NamedTuple):
    """An error of the platform; `code` -1: not stated."""

    message: str | None
    code: int


def parse(text: str, payload_fields: Iterable[str], *, bare: bool) -> Audio | Failure | None:
    """Return a message, None where its type is not known. Raises `MalformedMessage`.

    `bare`: audio is the base64 alone, else a JSON object holds it. An object is never base64.
    """
    if bare and not text.lstrip().startswith("{"):
        return Audio(from_base64(text))
    message = object_of(text)
    kind = message.get("type")
    if kind == "error":
        code = whole_number_of(message.get("code"), _CODE_LIMIT)
        return Failure(text_of(message.get("message")), -1 if code is None else code)
    if kind is not None and not isinstance(kind, str):
        raise MalformedMessage("type is not a string")  # noqa: EM101, TRY003 - a word
    if kind not in (None, "audio"):
        return None
    return Audio(payload_of(message, payload_fields))
