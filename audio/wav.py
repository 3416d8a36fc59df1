"""WAV files around bytes as received: headers for mu-law, A-law and 16-bit linear audio, and digital silence.

Nothing is decoded or encoded here: the samples in the file are the bytes the source sent (16-bit big-endian samples
are swapped, because RIFF knows little-endian only). Mu-law and A-law get the 58-byte header with an 18-byte `fmt` chunk
and a `fact` chunk (Multimedia Programming Interface and Data Specifications 1.0, "WAVE"; new WAVE types, 1994), linear
audio the plain 44-byte header. No file grows beyond what 32-bit sizes can say.
"""

import struct
from dataclasses import dataclass

import numpy as np

from schemas.symbols import Channels, Codec

MEDIA_TYPE = "audio/x-wav"
MAX_DATA_BYTES = 2**32 - 1 - 64
"""What the sizes in the header can say."""

_TAGS = {Codec.PCMU: 7, Codec.PCMA: 6, Codec.L16_LE: 1, Codec.L16_BE: 1}
_SAMPLE_BYTES = {Codec.PCMU: 1, Codec.PCMA: 1, Codec.L16_LE: 2, Codec.L16_BE: 2}
_SILENCE = {Codec.PCMU: b"\xff", Codec.PCMA: b"\xd5", Codec.L16_LE: b"\0", Codec.L16_BE: b"\0"}
_LAYOUTS = {
    Channels.EXTERNAL: ("external",),
    Channels.INTERNAL: ("internal",),
    Channels.EXTERNAL_INTERNAL: ("external", "internal"),
    Channels.INTERNAL_EXTERNAL: ("internal", "external"),
    Channels.MIXED: ("mixed",),
    Channels.BOT: ("bot",),
}
_PLAIN = struct.Struct("<4sI4s4sIHHIIHH4sI")
_COMPANDED = struct.Struct("<4sI4s4sIHHIIHHH4sII4sI")


@dataclass(frozen=True, slots=True)
class WavFormat:
    """How the samples of a file lie: encoding, channels in interleaving order, samples per second and channel."""

    codec: Codec
    channels: Channels
    sample_rate_hz: int

    @property
    def writable(self) -> bool:
        """Whether a WAV file can hold this audio sample by sample: fixed bytes a sample, channels known."""
        return self.codec in _TAGS and self.channels in _LAYOUTS and 0 < self.sample_rate_hz < 2**20

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The channels by name, in interleaving order."""
        return _LAYOUTS[self.channels]

    @property
    def block_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return _SAMPLE_BYTES[self.codec] * len(self.channel_names)

    @property
    def header_bytes(self) -> int:
        """Where the samples begin in the file."""
        return _PLAIN.size if _TAGS[self.codec] == 1 else _COMPANDED.size

    def silence(self, samples: int) -> bytes:
        """Return digital silence for all channels: mu-law 0xFF, A-law 0xD5, linear 0 (ITU-T G.711)."""
        return _SILENCE[self.codec] * (samples * self.block_bytes)

    def stored(self, payload: bytes) -> bytes:
        """Return a payload as it stands in the file: whole blocks, linear samples little-endian."""
        whole = payload[: len(payload) - len(payload) % self.block_bytes]
        if self.codec is Codec.L16_BE:
            return np.frombuffer(whole, ">i2").astype("<i2").tobytes()
        return whole

    def header(self, samples: int) -> bytes:
        """Return the header of a file of that many samples per channel."""
        data_bytes = samples * self.block_bytes
        if data_bytes > MAX_DATA_BYTES:
            message = f"{data_bytes} bytes are more than a WAV file can say"
            raise ValueError(message)
        padded_bytes = data_bytes + data_bytes % 2
        tag, rate, count = _TAGS[self.codec], self.sample_rate_hz, len(self.channel_names)
        bits = 8 * _SAMPLE_BYTES[self.codec]
        riff_bytes = self.header_bytes - 8 + padded_bytes
        start = (b"RIFF", riff_bytes, b"WAVE", b"fmt ")
        form = (tag, count, rate, rate * self.block_bytes, self.block_bytes, bits)
        if tag == 1:
            return _PLAIN.pack(*start, 16, *form, b"data", data_bytes)
        return _COMPANDED.pack(*start, 18, *form, 0, b"fact", 4, samples, b"data", data_bytes)

    def padding(self, samples: int) -> bytes:
        """Return what must follow the samples: RIFF chunks are of even length."""
        return b"\0" * (samples * self.block_bytes % 2)
