"""The rows of a poll as one table of whole numbers, with their audio in samples and the time of their source."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from audio.frames import Frames
from audio.numbers import NEVER_WRAPS
from schemas.symbols import Channel, Channels, Codec, FrameKind

MAX_POSITION: Final = 1 << 42
"""Positions from here on are no positions: 17 years at 8 kHz."""
MIN_RATE_HZ: Final = 1_000
MAX_RATE_HZ: Final = 768_000
"""Numbers and stamps of so many bits never wrap."""
_US: Final = 1_000_000
_MAX_SAMPLES: Final = 1 << 32
_MAX_STREAM: Final = (1 << 33) - 1
_AUDIO: Final = FrameKind.AUDIO.code
AUDIBLE: Final = frozenset(codec.code for codec in Codec if codec not in {Codec.COMFORT_NOISE, Codec.TELEPHONE_EVENT})
"""Codecs whose frames are audio; the others are packets that count and take time, and cannot be heard."""

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
    else as stated. `numbered` is 1 on packets, whose `number` is within its `number_bits`. `stamp` is when the source
    made the frame, in units of `clock_hz`: its timestamp, or where it gives none its position.
    """

    row: int
    slot: int
    kind: int
    reason: int
    source: int
    codec: int
    channels: int
    marker: int
    rate_hz: int
    position: int
    duration: int
    samples: int
    payload_bytes: int
    captured_us: int
    stream: int
    numbered: int
    number: int
    number_bits: int
    clock_hz: int
    stamp: int
    stamp_bits: int
    stated: int
    stated_bits: int


FIELDS: Final = len(Row._fields)
COLUMN: Final = {
    name: number for number, name in enumerate((*Row._fields, "plain", "key", "stop_us", "half", "stamp_half"))
}
"""Name of a field → its place in what `table_of` returns.

Behind those of `Row` stand what is worked out for a poll at once: whether it is a frame of audio with place and time,
its stream as one number, the media time behind it, and half the range of its number and stamp.
"""
_HALF: Final = np.array([1 << 62, *(1 << bits - 1 for bits in range(1, NEVER_WRAPS)), 1 << 62], np.int64)
_HEARD: Final = np.zeros(256, np.bool_)
_HEARD[sorted(AUDIBLE)] = True
_CHANNELS: Final = np.array([CHANNEL_OF.get(layout, 0) for layout in range(256)], np.int64)


def rows_of(table: NDArray[np.int64]) -> list[Row]:
    """Return columns of `table_of` as rows."""
    return list(map(Row._make, table[:FIELDS].T.tolist()))


def stream_key(channel: int, stream: int) -> int:
    """Return what a session's stream is found by: its channel and SSRC in one number, never 0."""
    return (channel << 34) + stream + 2


def table_of(frames: Frames, slots: NDArray[np.int64], accepted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the accepted records in the order of the poll, a column of numbers for each field of `Row`."""
    row = np.flatnonzero(accepted)
    whole = len(row) == len(frames)

    def column(values: NDArray[np.generic]) -> NDArray[np.int64]:
        return (values if whole else values[row]).astype(np.int64, copy=False)

    codec, channels = column(frames.codec), column(frames.channels)
    width = _SAMPLE_BYTES[codec] * _WIDTH[channels]
    payload_bytes, duration = column(frames.payload_bytes), column(frames.duration_samples)
    stated_samples = np.clip(duration, 0, _MAX_SAMPLES)
    samples = np.where(width > 0, payload_bytes // np.maximum(width, 1), stated_samples)
    rate_hz, position = column(frames.sample_rate_hz), column(frames.position_samples)
    number, number_bits = column(frames.source_sequence), np.minimum(column(frames.source_sequence_bits), NEVER_WRAPS)
    stamp, stamp_bits = column(frames.source_timestamp), np.minimum(column(frames.source_timestamp_bits), NEVER_WRAPS)
    audio = column(frames.kind) == _AUDIO
    stamped = audio & (stamp >= 0) & (stamp_bits > 0)
    clock_hz = column(frames.source_clock_hz)
    captured_us, stream = column(frames.captured_at_us), np.clip(column(frames.stream), -1, _MAX_STREAM)
    stamp_bits = np.where(stamped, stamp_bits, NEVER_WRAPS)
    values = {
        "row": row,
        "slot": column(slots),
        "kind": column(frames.kind),
        "reason": column(frames.reason),
        "source": column(frames.source),
        "codec": codec,
        "channels": channels,
        "marker": column(frames.marker),
        "rate_hz": rate_hz,
        "position": position,
        "duration": duration,
        "samples": samples,
        "payload_bytes": payload_bytes,
        "captured_us": captured_us,
        "stream": stream,
        "numbered": audio & (number_bits > 0) & (number >= 0),
        "number": _wrapped(number, number_bits),
        "number_bits": number_bits,
        "clock_hz": np.where(stamped & (clock_hz > 0), clock_hz, rate_hz),
        "stamp": np.where(stamped, _wrapped(stamp, stamp_bits), position),
        "stamp_bits": stamp_bits,
        "stated": stamp,
        "stated_bits": column(frames.source_timestamp_bits),
        "plain": audio & _HEARD[codec] & (captured_us >= 0) & (position < MAX_POSITION),
        "key": (_CHANNELS[channels] << 34) + stream + 2,
        "stop_us": np.minimum(position + samples, MAX_POSITION) * _US // np.maximum(rate_hz, 1),
        "half": _HALF[number_bits],
        "stamp_half": _HALF[stamp_bits],
    }
    table = np.empty((len(COLUMN), len(row)), np.int64)
    for name, place in COLUMN.items():
        table[place] = values[name]
    return table


def _wrapped(number: NDArray[np.int64], bits: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers within their bits; those of 53 bits as they are."""
    wrapped: NDArray[np.int64] = np.where(
        bits < NEVER_WRAPS, number & ((np.int64(1) << np.clip(bits, 0, NEVER_WRAPS)) - 1), number
    )
    return wrapped
