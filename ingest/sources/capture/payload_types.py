"""What RTP payload types mean: the static ones (RFC 3551 section 6), and those that an operator explains. Pure."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from schemas.symbols import Codec

_SAMPLE_BYTES: Final = {Codec.PCMU: 1, Codec.PCMA: 1, Codec.L16_BE: 2}
_NAMES: Final = {
    "PCMU": Codec.PCMU,
    "PCMA": Codec.PCMA,
    "L16": Codec.L16_BE,
    "CN": Codec.COMFORT_NOISE,
    "TELEPHONE-EVENT": Codec.TELEPHONE_EVENT,
    "OPUS": Codec.OPUS,
}
_OPUS_HZ = 48_000
"""Opus counts so whatever it carries (RFC 7587 section 4.1)."""
_EXPLAINED = re.compile(r"(\d{1,3})=([A-Za-z0-9-]+)/(\d{4,6})(?:/(\d))?", re.ASCII)
_RTCP_TYPES = range(64, 96)


class Meaning(NamedTuple):
    """How payloads of a type are to be read; samples and RTP clock have the same rate."""

    codec: Codec
    clock_hz: int

    @property
    def is_audio(self) -> bool:
        """Whether its payloads hold samples, so that the media clock follows it."""
        return self.codec not in (Codec.TELEPHONE_EVENT, Codec.UNKNOWN)

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample, 0 where payloads do not tell how many they hold."""
        return _SAMPLE_BYTES.get(self.codec, 0)


STATIC: Final[Mapping[int, Meaning]] = MappingProxyType(
    {
        0: Meaning(Codec.PCMU, 8000),
        8: Meaning(Codec.PCMA, 8000),
        11: Meaning(Codec.L16_BE, 44_100),
        13: Meaning(Codec.COMFORT_NOISE, 8000),
        101: Meaning(Codec.TELEPHONE_EVENT, 8000),
    }
)
"""Without any word from the operator. 101 is no static one, but what nearly everybody uses."""


def explained(texts: Iterable[str]) -> dict[int, Meaning]:
    """Return all meanings, with those of texts like `96=L16/16000/1` (as in SDP's rtpmap). Raises `ValueError`."""
    meanings = dict(STATIC)
    for text in texts:
        found = _EXPLAINED.fullmatch(text)
        if found is None:
            message = f"{text!r} is not of the form 96=L16/16000/1"
            raise ValueError(message)
        number, name, clock_hz, channels = int(found[1]), found[2].upper(), int(found[3]), int(found[4] or 1)
        if number > 127 or number in _RTCP_TYPES:  # noqa: PLR2004 - seven bits
            message = f"{text!r}: no RTP payload type has this number"
            raise ValueError(message)
        if name not in _NAMES:
            message = f"{text!r}: known encodings are {', '.join(_NAMES)}"
            raise ValueError(message)
        meaning = Meaning(_NAMES[name], clock_hz)
        if meaning.codec is Codec.OPUS and clock_hz != _OPUS_HZ:
            message = f"{text!r}: the clock of Opus is {_OPUS_HZ}"
            raise ValueError(message)
        if channels != 1 and meaning.codec is not Codec.OPUS:
            message = f"{text!r}: only streams of one channel can be taken"
            raise ValueError(message)
        meanings[number] = meaning
    return meanings
