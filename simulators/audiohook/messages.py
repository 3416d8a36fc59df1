"""AudioHook messages as the client writes and reads them: JSON text ↔ typed values, strict as the platform's validator.

Pure. What a message means for the session is `protocol`'s business.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

VERSION: Final = "2"
RATE_HZ: Final = 8000
TEXT_MAX_CHARS: Final = 65_535
_DURATION: Final = re.compile(r"PT(\d+(?:\.\d*)?|\.\d+)S")
_ENVELOPE: Final = {"version", "id", "type", "seq", "clientseq", "parameters"}
_PARAMETERS: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = {
    # type: (needed, allowed beside them)
    "opened": (frozenset({"media"}), frozenset({"startPaused", "discardTo", "supportedLanguages"})),
    "pong": (frozenset(), frozenset()),
    "pause": (frozenset(), frozenset()),
    "resume": (frozenset(), frozenset()),
    "updated": (frozenset(), frozenset()),
    "event": (frozenset({"entities"}), frozenset()),
    "disconnect": (frozenset({"reason"}), frozenset({"info", "outputVariables"})),
    "closed": (frozenset(), frozenset()),
    "reconnect": (frozenset(), frozenset({"info"})),
}
_DISCONNECT_REASONS: Final = ("completed", "unauthorized", "error")


class Violation(Exception):
    """The server broke the protocol; the client answers with `error` of this code and, if fatal, ends the session."""

    def __init__(self, code: int, message: str) -> None:
        """Keep the `error` message's code (as HTTP's) and text."""
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Media:
    """One offer, or the server's choice: mu-law at 8 kHz with channels in the order of their samples."""

    channels: tuple[str, ...]
    encoding: str = "PCMU"
    rate_hz: int = RATE_HZ

    def as_json(self) -> dict[str, object]:
        """Return the entry as `open` and `opened` carry it."""
        return {"type": "audio", "format": self.encoding, "channels": list(self.channels), "rate": self.rate_hz}


@dataclass(frozen=True, slots=True)
class ServerMessage:
    """A server message whose envelope and parameters are well formed."""

    kind: str
    seq: int
    clientseq: int
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Head:
    """What every client message carries: session, own number, the server's last number, position as a duration."""

    session_id: str
    seq: int
    serverseq: int
    position: str


def duration(samples: int, rate_hz: int = RATE_HZ) -> str:
    """Write samples as `PT…S`, exact (every count of samples at 8 kHz has at most six decimals), without exponent."""
    text = f"{Decimal(samples) / Decimal(rate_hz):f}"
    return f"PT{text.rstrip('0').rstrip('.') if '.' in text else text}S"


def seconds_duration(seconds: float) -> str:
    """Write measured seconds as `PT…S` with a resolution of one nanosecond."""
    return duration(max(0, round(seconds * 1e9)), 1_000_000_000)


def parse_duration(text: object) -> Decimal:
    """Read `PT…S` as exact seconds; raises Violation(400) for anything else."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise Violation(400, "not a duration")
    return Decimal(match[1])


def encode(kind: str, head: Head, parameters: Mapping[str, object]) -> str:
    """Write a client message."""
    envelope = {"version": VERSION, "id": head.session_id, "type": kind, "seq": head.seq, "serverseq": head.serverseq}
    return json.dumps(envelope | {"position": head.position, "parameters": parameters}, separators=(",", ":"))


def parse(text: str, session_id: str) -> ServerMessage:
    """Read a server message; raises Violation with the code the client would send back."""
    if len(text) > TEXT_MAX_CHARS:
        raise Violation(413, "Message too large")
    try:
        message = json.loads(text)
    except ValueError:
        raise Violation(400, "Malformed server message: not JSON") from None
    if not isinstance(message, dict) or set(message) != _ENVELOPE:
        raise Violation(400, "Malformed server message: envelope")
    if message["version"] != VERSION or message["id"] != session_id:
        raise Violation(400, "Malformed server message: version or id")
    seq, clientseq, kind = message["seq"], message["clientseq"], message["type"]
    if type(seq) is not int or type(clientseq) is not int or not isinstance(kind, str):
        raise Violation(400, "Malformed server message: seq, clientseq or type")
    if kind not in _PARAMETERS:
        raise Violation(400, "Unknown message type")
    parameters = message["parameters"]
    if not isinstance(parameters, dict):
        raise Violation(400, "Malformed server message: parameters")
    needed, allowed = _PARAMETERS[kind]
    if not needed <= set(parameters) <= needed | allowed:
        raise Violation(400, f"Malformed server message: fields of {kind}")
    _check_values(kind, parameters)
    return ServerMessage(kind, seq, clientseq, parameters)


def _check_values(kind: str, parameters: Mapping[str, Any]) -> None:
    if kind == "opened":
        _check_opened(parameters)
    elif kind == "event" and not _is_entities(parameters["entities"]):
        raise Violation(400, "Malformed server message: entities")
    elif kind == "disconnect" and parameters["reason"] not in _DISCONNECT_REASONS:
        raise Violation(400, "Malformed server message: reason")


def _check_opened(parameters: Mapping[str, Any]) -> None:
    languages = parameters.get("supportedLanguages", [])
    if type(parameters.get("startPaused", False)) is not bool:
        raise Violation(400, "Malformed server message: startPaused")
    if not isinstance(languages, list) or not all(isinstance(code, str) for code in languages):
        raise Violation(400, "Malformed server message: supportedLanguages")
    parse_duration(parameters.get("discardTo", "PT0S"))


def _is_entities(entities: object) -> bool:
    # the platform reads the first entity without looking, so an empty list is as wrong as none
    return (
        isinstance(entities, list)
        and len(entities) > 0
        and all(isinstance(entity, dict) and set(entity) == {"type", "data"} for entity in entities)
    )


def choose_media(selected: object, offers: Sequence[Media]) -> Media | None:
    """Find the offer the server echoed; None for an empty list. Raises Violation(400) for anything not offered."""
    if not isinstance(selected, list) or len(selected) > 1:
        raise Violation(400, "Selected media must be a list of one or none")
    if not selected:
        return None
    for offer in offers:
        if offer.as_json() == selected[0]:
            return offer
    raise Violation(400, "Selected media not one of the offered")
