"""What a call sounds like: mu-law audio from a WAV file, the shipped conversation, or a generator."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simulators.audiohook.messages import RATE_HZ, Media
from simulators.conversation import mulaw, script

STEREO = ("external", "internal")


@dataclass(frozen=True, slots=True)
class Audio:
    """Mu-law at 8 kHz, sample-interleaved in the order of `channels` (external = customer, internal = agent)."""

    payload: bytes
    channels: tuple[str, ...] = STEREO

    @property
    def samples(self) -> int:
        """Samples per channel."""
        return len(self.payload) // len(self.channels)

    def select(self, channels: tuple[str, ...]) -> bytes:
        """Return the payload with just these channels, in this order."""
        if channels == self.channels:
            return self.payload
        out = bytearray(self.samples * len(channels))
        for index, channel in enumerate(channels):
            out[index :: len(channels)] = self.payload[self.channels.index(channel) :: len(self.channels)]
        return bytes(out)

    def repeated(self, times: int) -> "Audio":
        """Return the same audio several times in a row."""
        return Audio(self.payload * times, self.channels)

    def offers(self) -> tuple[Media, ...]:
        """Return what the platform would offer: all channels together, then each alone."""
        if len(self.channels) == 1:
            return (Media(self.channels),)
        return (Media(self.channels), *(Media((channel,)) for channel in self.channels))


def conversation() -> Audio:
    """Return the shipped conversation."""
    shipped = script.load()
    return Audio(shipped.payload, shipped.channels)


def wav(path: Path) -> Audio:
    """Read a mu-law WAV at 8 kHz: external alone, or external and internal; raises ValueError for another."""
    payload, channels, rate_hz = script.read_mulaw_wav(path.read_bytes())
    if rate_hz != RATE_HZ or channels > len(STEREO):
        message = f"{path.name}: {rate_hz} Hz, {channels} channels; a call has {RATE_HZ} Hz and at most {len(STEREO)}"
        raise ValueError(message)
    return Audio(payload, STEREO[:channels])


def silence(duration_ms: int, code: int = mulaw.SILENCE, channels: tuple[str, ...] = STEREO) -> Audio:
    """Return one silent byte value, 0xFF or 0x7F, throughout."""
    return Audio(bytes([code]) * (duration_ms * RATE_HZ // 1000 * len(channels)), channels)


def tone(duration_ms: int, frequency_hz: float = 440.0, rms: float = 0.1, channels: tuple[str, ...] = STEREO) -> Audio:
    """Return a sine of that RMS (full scale = 1) in every channel, each a fifth above the one before."""
    at_s = np.arange(duration_ms * RATE_HZ // 1000) / RATE_HZ
    pitches = [frequency_hz * 1.5**index for index in range(len(channels))]
    waves = np.stack([rms * np.sqrt(2.0) * np.sin(2 * np.pi * pitch * at_s) for pitch in pitches], axis=1)
    return Audio(mulaw.encode(waves).tobytes(), channels)
