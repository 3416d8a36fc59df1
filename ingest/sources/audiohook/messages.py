"""The text messages of AudioHook: JSON ↔ values, and its durations ↔ exact decimals.

Reading is lenient where leniency loses nothing (an absent `parameters` is an empty one, an absent `position` is not
stated, unknown types and fields pass) and refuses what contradicts the protocol with `MalformedMessage`. Writing emits
nothing the protocol does not name.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

from ingest.text import MalformedMessage, object_of, text_of, whole_number_of
from schemas.records import Participant
from schemas.symbols import Channels, Codec, Direction, ParticipantRole

VERSION = "2"
PROBE_ID = "00000000-0000-0000-0000-000000000000"

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_DURATION = re.compile(r"PT([0-9]{1,9}(?:\.[0-9]{1,20})?|\.[0-9]{1,20})S", re.ASCII)
_EXACT = Context(prec=64)
_MAX_COUNTER = 2**53
_MAX_RATE_HZ = 48_000
_MAX_LEVELS = 32
_BYTES_PER_SAMPLE = {Codec.PCMU: 1, Codec.L16_LE: 2, Codec.L16_BE: 2}


def parse_duration(text: Any) -> Decimal:
    """Return a duration (`PT1.2S`, `PT.5S`; seconds only) as exact seconds. Raises `MalformedMessage`."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        message = "a duration is not PT<seconds>S"
        raise MalformedMessage(message)
    return Decimal(match[1])


def format_duration(seconds: Decimal) -> str:
    """Return non-negative seconds as a duration, without an exponent and without trailing zeros."""
    text = f"{seconds:f}"
    return f"PT{text.rstrip('0').rstrip('.') if '.' in text else text}S"


def to_samples(seconds: Decimal, rate_hz: int) -> Decimal:
    """Return a duration in samples, exactly; whether it is a whole number is the caller's question."""
    return _EXACT.multiply(seconds, Decimal(rate_hz))


def add_exact(a: Decimal, b: Decimal) -> Decimal:
    """Return the exact sum of two durations."""
    return _EXACT.add(a, b)


def is_uuid(text: Any) -> bool:
    """Tell whether this is a UUID of any version in its canonical form, the all-zero one included."""
    return isinstance(text, str) and _UUID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class ClientMessage:
    """One text message of the client. `position` is None when it stated none; `current` tells version "2"."""

    current: bool
    type: str
    seq: int
    serverseq: int
    session_id: str
    position: Decimal | None
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MediaOffer:
    """One entry of `media` that we can take. `entry` is the offer as received, to be echoed unchanged."""

    entry: Mapping[str, Any]
    codec: Codec
    channels: Channels
    channel_count: int
    rate_hz: int

    @property
    def bytes_per_sample(self) -> int:
        """Bytes of one sample of all channels."""
        return _BYTES_PER_SAMPLE[self.codec] * self.channel_count


@dataclass(frozen=True, slots=True)
class OpenParameters:
    """What `open` says. `media` holds the entries we understand, in the order offered."""

    organization_id: str
    conversation_id: str
    participant: Participant
    media: tuple[MediaOffer, ...]
    language: str | None
    supported_languages_wanted: bool
    continued_from: str | None
    queue: str | None
    agent: str | None
    division: str | None
    direction: Direction

    @property
    def is_probe(self) -> bool:
        """True for the synthetic session by which the platform tries the connection."""
        return self.conversation_id == PROBE_ID and self.participant.id == PROBE_ID


def parse(text: str) -> ClientMessage:
    """Return a text message as its envelope and parameters. Raises `MalformedMessage`."""
    message = object_of(text)
    kind = message.get("type")
    parameters = message.get("parameters", {})
    _require(isinstance(kind, str) and bool(kind), "type is not a string")
    _require(isinstance(parameters, dict), "parameters is not an object")
    _require(is_uuid(message.get("id")), "id is not a UUID")
    position = message.get("position")
    return ClientMessage(
        current=message.get("version") == VERSION,
        type=str(kind),
        seq=_counter(message.get("seq"), "seq"),
        serverseq=_counter(message.get("serverseq"), "serverseq"),
        session_id=message["id"],
        position=None if position is None else parse_duration(position),
        parameters=parameters,
    )


def parse_open(parameters: Mapping[str, Any], l16: Codec) -> OpenParameters:
    """Return the parameters of `open`. `l16` is the byte order to read L16 in. Raises `MalformedMessage`."""
    participant = parameters.get("participant")
    media = parameters.get("media", [])
    _require(is_uuid(parameters.get("organizationId")), "organizationId is not a UUID")
    _require(is_uuid(parameters.get("conversationId")), "conversationId is not a UUID")
    _require(isinstance(participant, dict) and is_uuid(participant.get("id")), "participant has no UUID")
    _require(isinstance(media, list), "media is not an array")
    custom = _custom_config(parameters.get("customConfig"))
    return OpenParameters(
        organization_id=parameters["organizationId"],
        conversation_id=parameters["conversationId"],
        participant=_participant(participant or {}),
        media=tuple(offer for entry in media if (offer := _offer(entry, l16)) is not None),
        language=text_of(parameters.get("language")),
        supported_languages_wanted=parameters.get("supportedLanguages") is True,
        continued_from=_continued_from(parameters.get("continuedSessions")),
        queue=text_of(custom.get("queue")),
        agent=text_of(custom.get("agent")),
        division=text_of(custom.get("division")),
        direction=_direction(custom.get("direction")),
    )


def choose(media: tuple[MediaOffer, ...]) -> MediaOffer | None:
    """Return the offer to accept: the first stereo one, else the first mono one, else None."""
    stereo = (offer for offer in media if offer.channel_count > 1)
    return next(stereo, media[0] if media else None)


def duration_parameter(parameters: Mapping[str, Any], name: str) -> Decimal:
    """Return a parameter that must be a duration. Raises `MalformedMessage`."""
    return parse_duration(parameters.get(name))


def build(kind: str, session_id: str, seq: int, clientseq: int, parameters: Mapping[str, Any]) -> str:
    """Return a server message as text."""
    message = {
        "version": VERSION,
        "id": session_id,
        "type": kind,
        "seq": seq,
        "clientseq": clientseq,
        "parameters": parameters,
    }
    return json.dumps(message, separators=(",", ":"))


def opened_parameters(
    offer: MediaOffer | None, *, supported_languages: tuple[str, ...] | None, start_paused: bool = False
) -> dict[str, Any]:
    """Return the parameters of `opened`: the accepted offer echoed, or no media."""
    parameters: dict[str, Any] = {"startPaused": start_paused, "media": [] if offer is None else [dict(offer.entry)]}
    if supported_languages is not None:
        parameters["supportedLanguages"] = list(supported_languages)
    return parameters


def _require(condition: bool, defect: str) -> None:
    if not condition:
        raise MalformedMessage(defect)


def _counter(value: Any, name: str) -> int:
    counter = whole_number_of(value, _MAX_COUNTER)
    if counter is None:
        raise MalformedMessage(f"{name} is not a counter")  # noqa: EM102, TRY003 - a word
    return counter


def _offer(entry: Any, l16: Codec) -> MediaOffer | None:
    """Return an offer entry we understand, else None: the platform may offer what we cannot take."""
    if not isinstance(entry, dict) or entry.get("type") != "audio":
        return None
    names, rate = entry.get("channels"), entry.get("rate")
    codec = {"PCMU": Codec.PCMU, "L16": l16}.get(str(entry.get("format")))
    channels = _CHANNELS.get(tuple(map(str, names))) if isinstance(names, list) else None
    if codec is None or channels is None or not isinstance(names, list) or not _can_be_echoed(entry):
        return None
    if not isinstance(rate, int) or isinstance(rate, bool) or not 0 < rate <= _MAX_RATE_HZ:
        return None
    return MediaOffer(entry=entry, codec=codec, channels=channels, channel_count=len(names), rate_hz=rate)


def _can_be_echoed(value: Any, levels: int = _MAX_LEVELS) -> bool:
    """Tell whether this can be written as JSON: what can be read may be too deep or, as 1e999, beyond every number."""
    if isinstance(value, float):
        return math.isfinite(value)
    if not isinstance(value, dict | list):
        return True
    inside = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_can_be_echoed(each, levels - 1) for each in inside)


_CHANNELS = {
    ("external", "internal"): Channels.EXTERNAL_INTERNAL,
    ("internal", "external"): Channels.INTERNAL_EXTERNAL,
    ("external",): Channels.EXTERNAL,
    ("internal",): Channels.INTERNAL,
}


def _participant(value: Mapping[str, Any]) -> Participant:
    return Participant(
        role=ParticipantRole.CUSTOMER,
        id=value["id"],
        name=text_of(value.get("aniName")),
        address=text_of(value.get("ani")),
        dialled=text_of(value.get("dnis")),
    )


def _continued_from(value: Any) -> str | None:
    """Return the platform id of the newest session this one goes on from."""
    ids = [entry.get("id") for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
    return next((found for found in reversed(ids) if is_uuid(found)), None)


def _custom_config(value: Any) -> Mapping[str, Any]:
    """Return the administrator's own configuration: an object, or an object written as a string."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def _direction(value: Any) -> Direction:
    return Direction.__members__.get(value.upper(), Direction.UNKNOWN) if isinstance(value, str) else Direction.UNKNOWN
