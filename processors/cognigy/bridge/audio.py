"""The caller's voice for a bridge: frames of calls.audio → chunks of a fixed length, only what is of use now. Pure."""

from dataclasses import dataclass

import numpy as np

from audio.g711 import decode_pcma, decode_pcmu
from schemas.symbols import Channels, Codec

_SAMPLE_BYTES = {Codec.PCMU: 1, Codec.PCMA: 1, Codec.L16_LE: 2, Codec.L16_BE: 2}
_PLACES = {
    Channels.EXTERNAL: (1, 0),
    Channels.MIXED: (1, 0),
    Channels.UNKNOWN: (1, 0),
    Channels.EXTERNAL_INTERNAL: (2, 0),
    Channels.INTERNAL_EXTERNAL: (2, 1),
}
"""How many channels are interleaved, and which is the caller's; channels that are not here are not the caller's."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Audio of the caller as one frame or chunk. `captured_at_us` is when its end reached us."""

    payload: bytes
    codec: Codec
    sample_rate_hz: int
    position_samples: int
    captured_at_us: int

    @property
    def samples(self) -> int:
        """How many samples it holds."""
        return len(self.payload) // _SAMPLE_BYTES[self.codec]


def callers(payload: bytes, codec: Codec, channels: Channels) -> bytes | None:
    """Return the caller's part of a frame's payload; None where there is none, or where it cannot be told."""
    size, place = _SAMPLE_BYTES.get(codec), _PLACES.get(channels)
    if size is None or place is None or not payload:
        return None
    count, index = place
    if len(payload) % (size * count):
        return None
    if count == 1:
        return payload
    return np.frombuffer(payload, f"V{size}")[index::count].tobytes()


def linear(piece: Piece) -> Piece:
    """Return a piece as samples of 16 bits, the low byte first."""
    match piece.codec:
        case Codec.PCMU:
            payload = decode_pcmu(piece.payload).astype("<i2").tobytes()
        case Codec.PCMA:
            payload = decode_pcma(piece.payload).astype("<i2").tobytes()
        case Codec.L16_BE:
            payload = np.frombuffer(piece.payload, ">i2").astype("<i2").tobytes()
        case _:
            return piece
    return Piece(payload, Codec.L16_LE, piece.sample_rate_hz, piece.position_samples, piece.captured_at_us)


class Chunker:
    """Cuts the voice of one audio session. A chunk holds what is contiguous; a gap, or another codec, ends it early."""

    def __init__(self, chunk_ms: int) -> None:
        self._chunk_ms = chunk_ms
        self._waiting: Piece | None = None

    def take(self, piece: Piece) -> list[Piece]:
        """Take the next piece, and return the chunks that are full now."""
        waiting, found = self._waiting, []
        if waiting is not None:
            follows = piece.position_samples == waiting.position_samples + waiting.samples
            same = (piece.codec, piece.sample_rate_hz) == (waiting.codec, waiting.sample_rate_hz)
            if follows and same:
                payload = waiting.payload + piece.payload
                piece = Piece(
                    payload, piece.codec, piece.sample_rate_hz, waiting.position_samples, piece.captured_at_us
                )
            else:
                found.append(waiting)
        size = _SAMPLE_BYTES[piece.codec]
        samples = max(1, piece.sample_rate_hz * self._chunk_ms // 1000)
        whole = piece.samples // samples
        for number in range(whole):
            part = piece.payload[number * samples * size : (number + 1) * samples * size]
            at = piece.position_samples + number * samples
            found.append(Piece(part, piece.codec, piece.sample_rate_hz, at, piece.captured_at_us))
        rest = piece.payload[whole * samples * size :]
        at = piece.position_samples + whole * samples
        self._waiting = Piece(rest, piece.codec, piece.sample_rate_hz, at, piece.captured_at_us) if rest else None
        return found
