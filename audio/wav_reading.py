"""The head of a WAV file → how its samples lie and where: PCM of 16 bits, mu-law and A-law, one channel or two.

RIFF and RF64 (EBU Tech 3306), plain and extensible formats. Chunks before the samples are passed over; a size that was
never filled in (0, or all ones) means that the samples go on to the end of the file, as after a crash of the writer.
"""

import struct
from dataclasses import dataclass
from typing import Final

from schemas.symbols import Codec

HEAD_BYTES: Final = 1 << 20
"""The samples of a file begin within so many bytes, or it is none that can be read."""
_CODECS = {(1, 16): Codec.L16_LE, (6, 8): Codec.PCMA, (7, 8): Codec.PCMU}
_EXTENSIBLE = 0xFFFE
_SUBFORMAT = bytes.fromhex("000000001000800000aa00389b71")
_LEAST_FORMAT_BYTES, _EXTENSIBLE_BYTES = 16, 40
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)
_CHUNK = struct.Struct("<4sI")
_FORMAT = struct.Struct("<HHIIHH")
_RATES_HZ = range(1000, 384_001)


class NotReadable(ValueError):
    """The file is no WAV, or one of a format that is not read; the text says why."""


@dataclass(frozen=True, slots=True)
class WavHead:
    """Encoding, channels (1 or 2), samples per second and channel; the samples' place, `data_bytes` -1: to the end."""

    codec: Codec
    channel_count: int
    sample_rate_hz: int
    data_offset: int
    data_bytes: int

    @property
    def block_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channel_count * (2 if self.codec is Codec.L16_LE else 1)


def is_wav(head: bytes) -> bool:
    """Tell whether a file that begins so calls itself a WAV."""
    return head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE"


def read_head(head: bytes) -> WavHead:
    """Return what the first bytes of a file say, at most `HEAD_BYTES` of them. Raises `NotReadable`."""
    if not is_wav(head):
        message = "is no WAV file"
        raise NotReadable(message)
    form: tuple[Codec, int, int] | None = None
    long_bytes = -1
    at = 12
    while at + _CHUNK.size <= len(head):
        name, size = _CHUNK.unpack_from(head, at)
        body = head[at + 8 : at + 8 + size]
        if name == b"data":
            if form is None:
                message = "has samples before it says how they lie"
                raise NotReadable(message)
            data_bytes = long_bytes if size in _UNKNOWN_SIZES else size
            return WavHead(*form, at + 8, data_bytes)
        if name == b"fmt ":
            form = _form(body)
        elif name == b"ds64" and len(body) >= 16:  # noqa: PLR2004 - the sizes of the file and of its samples
            long_bytes = struct.unpack_from("<Q", body, 8)[0]
        at += 8 + size + size % 2
    message = f"has no samples within its first {HEAD_BYTES} bytes" if len(head) >= HEAD_BYTES else "has no samples"
    raise NotReadable(message)


def _form(body: bytes) -> tuple[Codec, int, int]:
    if len(body) < _LEAST_FORMAT_BYTES:
        message = "has a format chunk that is too short"
        raise NotReadable(message)
    tag, channels, rate, _, block, bits = _FORMAT.unpack_from(body)
    if tag == _EXTENSIBLE and len(body) >= _EXTENSIBLE_BYTES and body[26:40] == _SUBFORMAT:
        tag = int.from_bytes(body[24:26], "little")
    codec = _CODECS.get((tag, bits))
    if codec is None:
        message = f"holds samples of format {tag:#x} with {bits} bits; 16-bit PCM, mu-law and A-law can be read"
        raise NotReadable(message)
    if channels not in (1, 2):
        message = f"has {channels} channels; one or two can be read"
        raise NotReadable(message)
    if rate not in _RATES_HZ or block != channels * bits // 8:
        message = f"contradicts itself: {rate} samples per second, blocks of {block} bytes"
        raise NotReadable(message)
    return codec, channels, rate
