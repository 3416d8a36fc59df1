"""What the voice detector remembers of each channel, and the samples of unfinished blocks. Part of the state.

Rows are lanes times `SIDES`. Nothing here outlives a break: a channel that was cleared begins as a new one does.
"""

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from audio.vad import NUMBERS, VadState
from audio.vad_features import HISTORY
from audio.vad_frames import FACTORS, tail_samples

SIDES: Final = 2
"""Channels per lane: row 0 is the external or only one, row 1 the internal one."""

_TAIL: Final = max(tail_samples(factor) for factor in FACTORS.values())
_WIDTH: Final = 160
_HEAD: Final = struct.Struct("<II")
_RAW: Final = (np.dtype("<i2"), np.dtype("<f4"))


class Voices:
    """`vad` has a row per channel, and so has `tail`, of what filters of higher rates need; `rest` one per lane."""

    def __init__(self) -> None:
        self.vad = VadState.new(0)
        self.tail = np.zeros((0, _TAIL), np.int16)
        self.rest = np.zeros((0, SIDES, _WIDTH), np.int16)

    def fit(self, lanes: int) -> None:
        """Give every lane its rows."""
        more = lanes - len(self.rest)
        if more > 0:
            new = VadState.new(SIDES * more)
            self.vad.history = np.concatenate((self.vad.history, new.history))
            self.vad.numbers = np.concatenate((self.vad.numbers, new.numbers))
            self.tail = np.concatenate((self.tail, np.zeros((SIDES * more, _TAIL), np.int16)))
            self.rest = np.concatenate((self.rest, np.zeros((more, SIDES, self.rest.shape[2]), np.int16)))

    def widen(self, samples: int) -> None:
        """Make room for unfinished blocks of this many samples."""
        more = samples - self.rest.shape[2]
        if more > 0:
            self.rest = np.concatenate((self.rest, np.zeros((*self.rest.shape[:2], more), np.int16)), axis=2)

    def clear(self, lane: int) -> None:
        """Begin anew on both channels of a lane."""
        rows = slice(SIDES * lane, SIDES * lane + SIDES)
        self.vad.history[rows] = 0
        self.vad.numbers[rows] = 0
        self.tail[rows] = 0

    def snapshot(self, lanes: NDArray[np.int64], left: NDArray[np.int64]) -> bytes:
        """Return canonical bytes: channels that have begun, and the `left` samples of each lane's unfinished block."""
        rows = (lanes[:, np.newaxis] * SIDES + np.arange(SIDES)).reshape(-1)
        begun = np.flatnonzero(self.vad.numbers[rows].any(axis=1))
        rows = rows[begun]
        filtered = np.flatnonzero(self.tail[rows].any(axis=1))
        parts = (
            _HEAD.pack(len(begun), len(filtered)),
            begun.astype("<u4").tobytes(),
            filtered.astype("<u4").tobytes(),
            self.vad.history[rows].astype(_RAW[0]).tobytes(),
            self.vad.numbers[rows].astype(_RAW[1]).tobytes(),
            self.tail[rows[filtered]].astype(_RAW[0]).tobytes(),
            *(self.rest[lane, :, :count].astype(_RAW[0]).tobytes() for lane, count in _some(lanes, left)),
        )
        return b"".join(parts)

    def restore(self, content: bytes, lanes: NDArray[np.int64], left: NDArray[np.int64]) -> None:
        """Take in a snapshot. Other bytes raise ValueError, struct.error or IndexError."""
        count, filtered = _HEAD.unpack_from(content)
        at = _HEAD.size

        def taken(dtype: np.dtype[np.generic] | str, *shape: int) -> NDArray[np.generic]:
            nonlocal at
            size = int(np.prod(shape))
            found = np.frombuffer(content, dtype, size, at).reshape(shape)
            at += found.nbytes
            return found

        rows = (lanes[:, np.newaxis] * SIDES + np.arange(SIDES)).reshape(-1)
        rows = rows[taken("<u4", count).astype(np.int64)]
        tails = rows[taken("<u4", filtered).astype(np.int64)]
        self.vad.history[rows] = taken(_RAW[0], count, HISTORY)
        self.vad.numbers[rows] = taken(_RAW[1], count, NUMBERS)
        self.tail[tails] = taken(_RAW[0], filtered, _TAIL)
        for lane, samples in _some(lanes, left):
            self.widen(samples)
            self.rest[lane, :, :samples] = taken(_RAW[0], SIDES, samples)
        if at != len(content):
            message = f"{len(content)} bytes instead of {at}"
            raise ValueError(message)


def _some(lanes: NDArray[np.int64], left: NDArray[np.int64]) -> list[tuple[int, int]]:
    chosen = np.flatnonzero(left)
    return list(zip(lanes[chosen].tolist(), left[chosen].tolist(), strict=True))
