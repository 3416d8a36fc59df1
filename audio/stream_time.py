"""Stream time of one partition: how much time its own records say has passed.

It is the sum of the positive steps of the running maximum timestamp, each capped at 10 s: a longer hole between two
records is our outage, not the caller's. It depends on the log alone, never on how the log was polled.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STEP_CAP_MS = 10_000
"""Largest step of stream time."""
_SECOND_MS = 1000


@dataclass(frozen=True, slots=True)
class Advance:
    """What consecutive records did to stream time.

    `stream_ms[i]` is the stream time at record `i`; `cuts` are the rows that first lift the running maximum timestamp
    into a new second of the epoch: whatever depends on time passing is looked at before each of them, and nowhere else.
    """

    stream_ms: NDArray[np.int64]
    cuts: list[int]


@dataclass(slots=True)
class StreamTime:
    """The running maximum timestamp (ms since the epoch, -1 before the first record) and the stream time, ms."""

    max_timestamp_ms: int = -1
    now_ms: int = 0

    def advance(self, timestamps_ms: NDArray[np.int64]) -> Advance:
        """Take the broker timestamps of consecutive records in; at least one."""
        before = self.max_timestamp_ms if self.max_timestamp_ms >= 0 else int(timestamps_ms[0])
        running = np.maximum(np.maximum.accumulate(timestamps_ms), before)
        steps = running.copy()
        steps[1:] -= running[:-1]
        steps[0] -= before
        stream = self.now_ms + np.minimum(steps, STEP_CAP_MS).cumsum()
        second = running // _SECOND_MS
        cuts = ((second[1:] > second[:-1]).nonzero()[0] + 1).tolist()
        if second[0] > self.max_timestamp_ms // _SECOND_MS:
            cuts.insert(0, 0)
        self.max_timestamp_ms = int(running[-1])
        self.now_ms = int(stream[-1])
        return Advance(stream, cuts)
