"""A WAV file → the records one call of it would be. Pure: `head` and the samples come from whoever opened the file."""

from collections.abc import Iterator
from typing import Final

from audio.frames import FrameEncoder
from audio.wav_reading import WavHead
from schemas.codec import SchemaStore
from schemas.records import AudioFrame, SessionInfo
from schemas.symbols import Channels, FrameKind, Source

FRAMES_PER_S: Final = 10
_CALL: Final = "wav"
_SESSION: Final = b"callstream audio"
"""Any 16 bytes but zeros: the records go nowhere."""


def records_of(head: WavHead, samples: bytes, layout: Channels, store: SchemaStore) -> tuple[list[bytes], list[bytes]]:
    """Return keys and values as calls.audio would have them. An incomplete last sample is left out."""
    encoder = FrameEncoder(store)
    values = [encoder.encode(frame) for frame in _frames(head, samples, layout, store)]
    return [_CALL.encode()] * len(values), values


def _frames(head: WavHead, samples: bytes, layout: Channels, store: SchemaStore) -> Iterator[AudioFrame]:
    info = store.encode(SessionInfo(conversation_id=_CALL, source_name=_CALL))
    yield _frame(head, layout, FrameKind.OPENED, 0, 0, info)
    whole = len(samples) - len(samples) % head.block_bytes
    size = head.sample_rate_hz // FRAMES_PER_S * head.block_bytes
    sequence = 1
    for at in range(0, whole, size):
        yield _frame(
            head, layout, FrameKind.AUDIO, sequence, at // head.block_bytes, samples[at : min(at + size, whole)]
        )
        sequence += 1
    yield _frame(head, layout, FrameKind.CLOSED, sequence, whole // head.block_bytes, b"")


def _frame(  # noqa: PLR0913, PLR0917 - the fields that differ
    head: WavHead, layout: Channels, kind: FrameKind, sequence: int, position: int, payload: bytes
) -> AudioFrame:
    return AudioFrame(
        kind=kind,
        source=Source.WAV,
        codec=head.codec,
        channels=layout,
        sample_rate_hz=head.sample_rate_hz,
        session_id=_SESSION,
        sequence=sequence,
        position_samples=position,
        duration_samples=len(payload) // head.block_bytes if kind is FrameKind.AUDIO else -1,
        captured_at_s=position / head.sample_rate_hz,
        payload=payload,
    )
