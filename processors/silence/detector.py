"""Is a block active? The only place that decides it, behind an interface another detector can fill.

A block is 20 ms of one channel, or what a gap left of it. The detector sees the blocks of all channels of a poll at
once; what it must remember from one poll to the next stands in an integer column the state keeps per channel.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from audio.levels import mean_square


@dataclass(frozen=True, slots=True)
class Blocks:
    """Blocks in the order of their channels, and in each channel in the order of time.

    `sums` are sums of squares over `samples` samples. `first` is True where another channel begins. `memory` is the
    channel's memory in front of its first block, repeated on each of its blocks; 0 where the audio has just begun.
    """

    sums: NDArray[np.int64]
    samples: NDArray[np.int64]
    first: NDArray[np.bool_]
    memory: NDArray[np.int64]


class Detector(Protocol):
    """Tells active blocks from quiet ones: the same way for any cut into polls and any neighbours."""

    name: str
    """Name and version, written into every event."""

    def memories(self, blocks: Blocks) -> NDArray[np.int64]:
        """Return the memory behind each block; its lowest bit is 1 where the block is active."""


class LevelDetector:
    """Two thresholds on the true RMS: active from `on_dbfs` up, quiet below `off_dbfs`, between them as before."""

    name = "level-1"

    def __init__(self, on_dbfs: float, off_dbfs: float) -> None:
        self._on = mean_square(on_dbfs)
        self._off = mean_square(off_dbfs)

    def memories(self, blocks: Blocks) -> NDArray[np.int64]:
        """Return 1 for active blocks, 0 for quiet ones. Integers decide, so no rounding does."""
        active = blocks.sums >= self._on * blocks.samples
        certain = active | (blocks.sums < self._off * blocks.samples)
        memories = active.astype(np.int64)
        between = (~certain).nonzero()[0]
        if len(between):
            known = np.concatenate(((-1,), certain.nonzero()[0]))
            source = known[known.searchsorted(between) - 1]
            begins = blocks.first.nonzero()[0]
            start = begins[begins.searchsorted(between, "right") - 1]
            memories[between] = np.where(source >= start, memories[source], blocks.memory[between])
        return memories
