"""The rows of a poll, one at a time, with their audio in samples."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from audio.frames import Frames
from schemas.symbols import Channel, Channels, Codec

MAX_POSITION: Final = 1 << 42
"""Positions from here on are no positions: 17 years at 8 kHz."""
MIN_RATE_HZ: Final = 1_000
MAX_RATE_HZ: Final = 768_000
_MAX_SAMPLES: Final = 1 << 32

_SAMPLE_BYTES: Final = np.zeros(256, np.int64)
_SAMPLE_BYTES[[Codec.PCMU.code, Codec.PCMA.code]] = 1
_SAMPLE_BYTES[[Codec.L16_LE.code, Codec.L16_BE.code]] = 2
_WIDTH: Final = np.ones(256, np.int64)
_WIDTH[[Channels.EXTERNAL_INTERNAL.code, Channels.INTERNAL_EXTERNAL.code]] = 2

CHANNEL_OF: Final = {
    Channels.UNKNOWN.code: Channel.UNKNOWN.code,
    Channels.EXTERNAL.code: Channel.EXTERNAL.code,
    Channels.INTERNAL.code: Channel.INTERNAL.code,
    Channels.EXTERNAL_INTERNAL.code: Channel.ALL.code,
    Channels.INTERNAL_EXTERNAL.code: Channel.ALL.code,
    Channels.MIXED.code: Channel.MIXED.code,
    Channels.BOT.code: Channel.BOT.code,
}
"""Layout of a payload → the channel a stream of such payloads is about."""


class Row(NamedTuple):
    """One accepted record: the columns of `Frames` this processor reads, under their names.

    `samples` are those of its audio, per channel: counted from the payload where the codec tells how many there are,
    else as stated.
    """

    row: int
    slot: int
    kind: int
    reason: int
    source: int
    codec: int
    channels: int
    rate_hz: int
    position: int
    duration: int
    samples: int
    payload_bytes: int
    captured_us: int
    stream: int
    number: int
    number_bits: int
    stated: int
    stated_bits: int


def rows_of(frames: Frames, slots: NDArray[np.int64], accepted: NDArray[np.bool_]) -> Iterator[Row]:
    """Return the accepted rows in the order of the poll."""
    row = np.flatnonzero(accepted)
    width = _SAMPLE_BYTES[frames.codec[row]] * _WIDTH[frames.channels[row]]
    payload_bytes = frames.payload_bytes[row]
    stated = np.clip(frames.duration_samples[row], 0, _MAX_SAMPLES)
    samples = np.where(width > 0, payload_bytes // np.maximum(width, 1), stated)
    columns = (
        row,
        slots[row],
        frames.kind[row],
        frames.reason[row],
        frames.source[row],
        frames.codec[row],
        frames.channels[row],
        frames.sample_rate_hz[row],
        frames.position_samples[row],
        frames.duration_samples[row],
        samples,
        payload_bytes,
        frames.captured_at_us[row],
        frames.stream[row],
        frames.source_sequence[row],
        frames.source_sequence_bits[row],
        frames.source_timestamp[row],
        frames.source_timestamp_bits[row],
    )
    return map(Row._make, zip(*(column.tolist() for column in columns), strict=True))
