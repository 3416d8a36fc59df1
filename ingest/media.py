"""How the audio of a source without descriptions is read, as its settings say: payloads → samples. Pure."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ingest.text import MalformedMessage
from schemas.symbols import Channels, Codec

CODECS: Mapping[str, Codec] = MappingProxyType(
    {"pcmu": Codec.PCMU, "pcma": Codec.PCMA, "l16": Codec.L16_LE, "l16be": Codec.L16_BE}
)
"""Name in the settings → codec. `l16` has the low byte first, `l16be` the high byte (RFC 3551 section 4.5.11)."""
PAYLOAD_FIELDS = ("data", "payload", "audio")
"""Where a JSON message may hold its audio: no document names the field."""
_SAMPLE_BYTES: Mapping[Codec, int] = MappingProxyType({Codec.PCMU: 1, Codec.PCMA: 1, Codec.L16_LE: 2, Codec.L16_BE: 2})
_STEREO = (Channels.EXTERNAL_INTERNAL, Channels.INTERNAL_EXTERNAL)


@dataclass(frozen=True, slots=True)
class Media:
    """What payloads are. Samples of two channels are interleaved."""

    codec: Codec = Codec.PCMU
    sample_rate_hz: int = 8000
    channels: Channels = Channels.MIXED

    def samples(self, payload: bytes) -> int:
        """Return how many samples per channel a payload holds. Raises `MalformedMessage` for none and for parts."""
        if not payload:
            raise MalformedMessage("payload is empty")  # noqa: EM101, TRY003 - a word
        size = _SAMPLE_BYTES[self.codec] * (2 if self.channels in _STEREO else 1)
        samples, rest = divmod(len(payload), size)
        if rest:
            raise MalformedMessage("payload holds no whole samples")  # noqa: EM101, TRY003 - a word
        return samples


def from_base64(text: Any) -> bytes:
    """Return the bytes of a payload. Raises `MalformedMessage`."""
    if not isinstance(text, str):
        raise MalformedMessage("payload is not a string")  # noqa: EM101, TRY003 - a word
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedMessage("payload is not base64") from None  # noqa: EM101, TRY003 - a word


def payload_of(message: Mapping[str, Any], fields: Iterable[str]) -> bytes:
    """Return the audio of a JSON message: of the first of the fields that it has. Raises `MalformedMessage`."""
    for field in fields:
        if field in message:
            return from_base64(message[field])
    raise MalformedMessage("audio without a payload")  # noqa: EM101, TRY003 - a word
