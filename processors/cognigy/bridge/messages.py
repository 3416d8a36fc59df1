"""The messages of the bridge: an input or a piece of audio → text, a message → what the bot's side says. Pure.

The frame's type is looked at before its content: what is binary is never parsed.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from processors.cognigy.events import BotEvent, BotInput, Heard, Intent, Spoke, Understood
from schemas.symbols import Codec

CODECS: Mapping[str, Codec] = {"pcmu": Codec.PCMU, "pcma": Codec.PCMA, "l16": Codec.L16_LE, "l16be": Codec.L16_BE}
_LONGEST_TEXT = 4096
_CODE_LIMIT = 2**31 - 1
_KNOWN = ("audio", "transcript", "intent", "error")


@dataclass(frozen=True, slots=True)
class Reading:
    """How messages are read, as the settings say."""

    codec: Codec = Codec.L16_LE
    sample_rate_hz: int = 8000
    payload_fields: Sequence[str] = ("data", "payload", "audio")
    end_types: Sequence[str] = ()
    turn_field: str = "turnId"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of the bot's side; `code` -1: not stated."""

    message: str | None
    code: int


@dataclass(frozen=True, slots=True)
class Message:
    """A message, read. `kind` is one of a fixed list of words, for counting.

    `ends`: it ends the answer. `turn_id` and `id` are None where it names none.
    """

    kind: str
    event: BotEvent | Failure | None = None
    ends: bool = False
    turn_id: str | None = None
    id: str | None = None


def user_input(said: BotInput) -> str:
    """Return the message of an input.

    The time is that of the words, in seconds as the document has it, not that of sending: the same input has the same
    bytes however often it is derived, and `id` says which one it is.
    """
    utterance = said.utterance
    data: dict[str, Any] = {
        "text": utterance.text or "",
        "sessionId": utterance.conversation_id,
        "timestamp": utterance.occurred_at_us / 1e6 if utterance.occurred_at_us >= 0 else None,
        "id": said.turn_id,
        "input": utterance.input.lower(),
        "language": utterance.language,
    }
    if said.about is not None:
        data["call"] = dict(said.about)
    return _text({"type": "event", "event": "userInput", "data": data})


def audio_chunk(conversation_id: str, payload: bytes, codec: Codec, sample_rate_hz: int, position_samples: int) -> str:
    """Return the message of a piece of the caller's voice. The position is that on the call's media clock."""
    names = {each: name for name, each in CODECS.items()}
    return _text(
        {
            "type": "audio",
            "sessionId": conversation_id,
            "encoding": names[codec],
            "sampleRate": sample_rate_hz,
            "position": position_samples,
            "payload": base64.b64encode(payload).decode("ascii"),
        }
    )


def read(frame: str | bytes, reading: Reading) -> Message:
    """Return what a message says. What nobody can read is a message too, and no event."""
    if isinstance(frame, bytes):
        return Message("binary")
    try:
        content = json.loads(frame, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return Message("malformed")
    if not isinstance(content, dict) or not isinstance(content.get("type"), str):
        return Message("malformed")
    kind = content["type"]
    try:
        event = _event(kind, content, reading)
    except ValueError:
        return Message("malformed")
    ends = kind in reading.end_types
    named, own = content.get(reading.turn_field), content.get("id")
    return Message(
        kind if kind in _KNOWN else "end" if ends else "unknown",
        event,
        ends or isinstance(event, Failure),
        named if isinstance(named, str) and named else None,
        own if isinstance(own, str) and own else None,
    )


def _event(kind: str, content: Mapping[str, Any], reading: Reading) -> BotEvent | Failure | None:
    """Return the event of a message, None for a type that is not known. Raises `ValueError` for one without sense."""
    match kind:
        case "audio":
            return Spoke(_payload(content, reading.payload_fields), reading.codec, reading.sample_rate_hz)
        case "transcript":
            return Heard(_wanted(content.get("text")), _rest(content, "text"))
        case "intent":
            name = _wanted(content.get("intent"))
            score = _number(content.get("confidence", content.get("score")), 1)
            return Understood(Intent(name, score, "intent"), _rest(content, "intent"))
        case "error":
            return Failure(text_of(content.get("message")), int(_number(content.get("code"), _CODE_LIMIT)))
    return None


def _number(value: Any, most: float) -> float:
    """Return a number of 0 to `most`, -1 for anything else."""
    sane = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most
    return float(value) if sane else -1.0


def text_of(value: Any) -> str | None:
    """Return a text that UTF-8 can hold, cut where it is too long; None for what is no text or empty."""
    if not isinstance(value, str) or not value:
        return None
    return value[:_LONGEST_TEXT].encode("utf-8", "replace").decode()


def _wanted(value: Any) -> str:
    text = text_of(value)
    if text is None:
        raise ValueError
    return text


def _rest(content: Mapping[str, Any], *taken: str) -> str | None:
    """Return what else a message says, as JSON; None where that is nothing."""
    rest = {name: value for name, value in content.items() if name not in {"type", *taken}}
    return json.dumps(rest, separators=(",", ":")) if rest else None


def _payload(content: Mapping[str, Any], fields: Sequence[str]) -> bytes:
    found = next((content[name] for name in fields if isinstance(content.get(name), str)), None)
    if found is None:
        raise ValueError
    try:
        payload = base64.b64decode(found, validate=True)
    except binascii.Error:
        raise ValueError from None
    if not payload:
        raise ValueError
    return payload


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _refuse(constant: str) -> Any:
    raise ValueError(constant)
