"""AudioFrame records → framed bytes. A message of audio has a way of its own: it is what nearly all records are."""

# ruff: noqa: D102 - the properties of AudioFields are the fields of AudioFrame

import struct
from functools import lru_cache
from typing import Protocol

from audio.layout import layout
from schemas.codec import SchemaStore, framing
from schemas.records import AudioFrame
from schemas.symbols import Channels, Codec, FrameKind, Reason, Source
from schemas.versions import newest

_FIXED = struct.Struct("<5B2?5f16s7d")
_AUDIO, _NO_REASON = 2 * FrameKind.AUDIO.code, 2 * Reason.UNKNOWN.code
_SIZES = 4096
"""So many lengths of payloads are kept as Avro writes them; each call has few."""


class AudioFields(Protocol):
    """What a message of audio brings itself, as the fields of the same names of an AudioFrame."""

    @property
    def payload(self) -> bytes: ...
    @property
    def codec(self) -> Codec: ...
    @property
    def channels(self) -> Channels: ...
    @property
    def sample_rate_hz(self) -> float: ...
    @property
    def position_samples(self) -> float: ...
    @property
    def duration_samples(self) -> float: ...
    @property
    def stream(self) -> float: ...
    @property
    def source_sequence(self) -> float: ...
    @property
    def source_timestamp(self) -> float: ...
    @property
    def source_clock_hz(self) -> float: ...
    @property
    def source_sequence_bits(self) -> float: ...
    @property
    def source_timestamp_bits(self) -> float: ...
    @property
    def payload_type(self) -> float: ...
    @property
    def marker(self) -> bool: ...
    @property
    def late(self) -> bool: ...


class FrameEncoder:
    """Writes AudioFrame records as framed bytes. One per schema id; stateless, so it may be shared."""

    def __init__(self, store: SchemaStore) -> None:
        schema_id = store.write_id("audio_frame")
        expected = layout(newest("audio_frame").definition)
        if expected is None or expected.width_bytes != _FIXED.size:  # pragma: no cover - the schema test forbids it
            message = "the encoder does not fit the newest AudioFrame schema"
            raise ValueError(message)
        self._framing = framing(schema_id)

    def encode(self, frame: AudioFrame) -> bytes:
        """Return one record as framed bytes. Raises `struct.error` when a number does not fit its field."""
        fixed = _FIXED.pack(
            2 * frame.kind.code,
            2 * frame.reason.code,
            2 * frame.source.code,
            2 * frame.codec.code,
            2 * frame.channels.code,
            frame.late,
            frame.marker,
            frame.payload_type,
            frame.sample_rate_hz,
            frame.source_clock_hz,
            frame.source_sequence_bits,
            frame.source_timestamp_bits,
            frame.session_id,
            frame.stream,
            frame.sequence,
            frame.source_sequence,
            frame.source_timestamp,
            frame.position_samples,
            frame.duration_samples,
            frame.captured_at_s,
        )
        return b"".join((self._framing, fixed, varint(len(frame.payload)), frame.payload))

    def encode_audio(
        self, audio: AudioFields, source: Source, session_id: bytes, sequence: int, captured_at_s: float
    ) -> bytes:
        """Return what `encode` returns of the AUDIO frame with these fields, without making that frame first.

        Raises `struct.error` when a number does not fit its field.
        """
        fixed = _FIXED.pack(
            _AUDIO,
            _NO_REASON,
            2 * source.code,
            2 * audio.codec.code,
            2 * audio.channels.code,
            audio.late,
            audio.marker,
            audio.payload_type,
            audio.sample_rate_hz,
            audio.source_clock_hz,
            audio.source_sequence_bits,
            audio.source_timestamp_bits,
            session_id,
            audio.stream,
            sequence,
            audio.source_sequence,
            audio.source_timestamp,
            audio.position_samples,
            audio.duration_samples,
            captured_at_s,
        )
        payload = audio.payload
        return b"".join((self._framing, fixed, varint(len(payload)), payload))


@lru_cache(_SIZES)
def varint(size: int) -> bytes:
    """Return a non-negative number as Avro writes a long: zigzag, seven bits a byte, lowest first."""
    rest = 2 * size
    out = bytearray()
    while rest > 0x7F:  # noqa: PLR2004 - seven bits
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)
