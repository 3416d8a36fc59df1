"""What the rows of a poll say about their audio: how many samples, of which sides, and whether we can decode them."""

from dataclasses import dataclass, fields
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from audio.frames import Frames
from audio.session import by_slot
from schemas.symbols import Channel, Channels, Codec, FrameKind

BLOCKS_PER_S: Final = 50
"""Blocks of 20 ms. Their edges are the multiples of rate / 50, rounded up where that is no whole number."""

MAX_POSITION: Final = 1 << 42
"""Positions from here on are no positions: 17 years at 8 kHz."""

POSITION_BITS: Final = 43
"""Positions end at 2^42, samples of a row at 2^32: what is that far apart cannot reach each other."""
_MIN_RATE_HZ, _MAX_RATE_HZ = 1_000, 768_000
_MAX_SAMPLES: Final = 1 << 32

SIDES_OF: Final = {
    Channels.UNKNOWN.code: (Channel.UNKNOWN,),
    Channels.EXTERNAL.code: (Channel.EXTERNAL,),
    Channels.INTERNAL.code: (Channel.INTERNAL,),
    Channels.EXTERNAL_INTERNAL.code: (Channel.EXTERNAL, Channel.INTERNAL),
    Channels.MIXED.code: (Channel.MIXED,),
    Channels.BOT.code: (Channel.BOT,),
}
"""Layout → its channels, in the order of the state's rows and of the outputs."""

SWAPPED: Final = Channels.INTERNAL_EXTERNAL.code
_STEREO: Final = Channels.EXTERNAL_INTERNAL.code
_AUDIO: Final = FrameKind.AUDIO.code
_SAMPLE_BYTES: Final = np.zeros(256, np.int64)
_SAMPLE_BYTES[[Codec.PCMU.code, Codec.PCMA.code]] = 1
_SAMPLE_BYTES[[Codec.L16_LE.code, Codec.L16_BE.code]] = 2
_CHANNELS: Final = np.ones(256, np.int64)
_CHANNELS[[SWAPPED, _STEREO]] = 2
_CHANNELS[Channels.UNKNOWN.code] = 0
_LAYOUT: Final = np.arange(256)
_LAYOUT[SWAPPED] = _STEREO
_USED: Final = np.zeros(256, np.bool_)
_USED[
    [
        kind.code
        for kind in (
            FrameKind.AUDIO,
            FrameKind.PAUSED,
            FrameKind.RESUMED,
            FrameKind.DISCARDED,
            FrameKind.GAP,
            FrameKind.CLOSED,
        )
    ]
] = True

Numbers = NDArray[np.int64]
N = TypeVar("N", int, Numbers)


@dataclass(slots=True)
class Rows:
    """Audio and marks of a poll, by session and in each session in their order.

    `row` is the row in the poll, `mark` False on audio. Audio has `samples` samples per channel from `position` on (-1
    on marks), `sample_bytes` bytes for each of them (all channels; 0: content unknown), and `media`, one number for its
    rate, channels and whether it can be decoded.
    """

    row: Numbers
    slot: Numbers
    mark: NDArray[np.bool_]
    media: Numbers
    position: Numbers
    samples: Numbers
    sample_bytes: Numbers

    def __len__(self) -> int:
        return len(self.row)

    def take(self, chosen: NDArray[np.bool_]) -> "Rows":
        """Return the rows where `chosen` is True."""
        return Rows(*(getattr(self, field.name)[chosen] for field in fields(self)))


def rows_of(frames: Frames, slots: Numbers, accepted: NDArray[np.bool_]) -> Rows:
    """Return the accepted rows that tell something about the timeline, in the order they came."""
    row = usable(frames, slots, accepted)
    return described(frames, row, slots[row])


def usable(frames: Frames, slots: Numbers, accepted: NDArray[np.bool_]) -> Numbers:
    """Return the accepted rows that tell something, by session. Audio that has no place on the timeline is left out."""
    placeable = (frames.sample_rate_hz >= _MIN_RATE_HZ) & (frames.sample_rate_hz <= _MAX_RATE_HZ)
    placeable &= (frames.position_samples >= 0) & (frames.position_samples < MAX_POSITION)
    row = (accepted & _USED[frames.kind] & (placeable | (frames.kind != _AUDIO))).nonzero()[0]
    chosen: Numbers = row[by_slot(slots[row])]
    return chosen


def described(frames: Frames, row: Numbers, slot: Numbers) -> Rows:
    """Return what these rows say; `slot` has the session of each."""
    mark = frames.kind[row] != _AUDIO
    channels = frames.channels[row]
    sample_bytes = _SAMPLE_BYTES[frames.codec[row]] * _CHANNELS[channels]
    known = sample_bytes > 0
    samples = frames.payload_bytes[row] // np.maximum(sample_bytes, 1)
    if np.count_nonzero(known) < len(row):
        samples = np.where(known, samples, np.clip(frames.duration_samples[row], 0, _MAX_SAMPLES))
    position = frames.position_samples[row]
    if np.count_nonzero(mark):
        samples[mark], position[mark] = 0, -1
    return Rows(
        row=row,
        slot=slot,
        mark=mark,
        media=media(frames.sample_rate_hz[row], _LAYOUT[channels], known),
        position=position,
        samples=samples,
        sample_bytes=sample_bytes,
    )


def media(rate_hz: Numbers, layout: Numbers, analysed: Numbers | NDArray[np.bool_]) -> Numbers:
    """Return rate, layout and decodability as one number."""
    return rate_hz << 8 | layout << 1 | analysed


def parts_of(number: int) -> tuple[int, int, int]:
    """Return (rate, layout, analysed) of a number of `media`."""
    return number >> 8, number >> 1 & 0x7F, number & 1


def distinct(values: Numbers) -> list[int]:
    """Return the values that occur, in their order."""
    if len(values) and np.count_nonzero(values != values[0]) == 0:  # the usual poll, without sorting
        return [int(values[0])]
    found: list[int] = np.unique(values).tolist()
    return found


def some(index: Numbers, count: int) -> Numbers | slice:
    """Return an index that chooses some of `count` elements; as a slice, which copies nothing, if it chooses all."""
    return index if len(index) < count else slice(None)


def block_start(block: N, rate_hz: N) -> N:
    """Return the first position of a block, or of each of many."""
    return (block * rate_hz + (BLOCKS_PER_S - 1)) // BLOCKS_PER_S
