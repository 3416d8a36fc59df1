"""How evenly the frames of one stream arrived: interarrival jitter, and delays above the least one.

Jitter is that of RFC 3550, A.8, in arrival order, copies left out; where the source's clock may have been set anew
(silence that was not sent, pauses, restarts) no difference is taken. Delay variation is RFC 5481's PDV: each delay
minus the least of its stretch, which is a window, or what lies between two such places; so two clocks that drift apart
do not count as delay. Whole numbers only: the same bits whichever way they are computed.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NONE: Final = -(1 << 62)
"""No time."""
US: Final = 1_000_000
BIN_US: Final = 1000
"""Resolution of the delays."""
BINS: Final = 512
LAST: Final = BINS - 1
"""Delays from here on (in ms) are told apart no more."""
SCALE_BITS: Final = 16
"""Jitter is kept in microseconds * 2^16, its sum in microseconds * 2^10."""
SUM_SHIFT: Final = 6
MOST_STEP_US: Final = 1 << 40
MOST_STAMP: Final = 1 << 40
"""Farther from their base, stamps get a new base: their microseconds stay exact."""
LEAP_US: Final = 10_000_000
"""A stamp that leaps so far ahead of its arrival, or back, is another clock's (a restart, or a jump of the number)."""


@dataclass(slots=True)
class Spread:
    """Frames by delay above the least, in bins of 1 ms; the largest delay exactly. -1 where nothing was measured.

    `jitter_count` differences were taken; their running jitter's sum and maximum.
    """

    bins: dict[int, int] = field(default_factory=dict)
    most_us: int = -1
    jitter_sum: int = 0
    jitter_count: int = 0
    jitter_max: int = -1

    def percentile_ms(self, percent: int) -> float:
        """Return the delay that so many percent of the frames had at most, to 1 ms."""
        total, seen = sum(self.bins.values()), 0
        for index in sorted(self.bins):
            seen += self.bins[index]
            if seen * 100 >= total * percent:
                return self.most_us / 1000 if index == LAST else min(float(index), self.most_us / 1000)
        return -1.0

    @property
    def jitter_mean_ms(self) -> float:
        """The mean of the running jitter."""
        return self.jitter_sum / self.jitter_count / (1 << (SCALE_BITS - SUM_SHIFT)) / 1000 if self.jitter_count else -1

    @property
    def jitter_max_ms(self) -> float:
        """The largest running jitter."""
        return jitter_ms(self.jitter_max) if self.jitter_count else -1


def jitter_ms(jitter: int) -> float:
    """Return a jitter as it is kept, in ms."""
    return jitter / (1 << SCALE_BITS) / 1000


@dataclass(slots=True)
class Delays:
    """The state of one stream. The fields are columns of `LossState.streams`, `bins` the stream's row of its histogram.

    `stamp` is the unwrapped source time of the frame farthest ahead, in units of `clock_hz`. `least_us`, `most_us`, the
    histogram and the sums are of the stretch under way.
    """

    clock_hz: int = 0
    stamp_bits: int = 0
    stamp: int = 0
    stamp_base: int = 0
    transit_us: int = NONE
    jitter: int = 0
    jitter_sum: int = 0
    jitter_count: int = 0
    jitter_max: int = 0
    least_us: int = NONE
    most_us: int = NONE
    bins: NDArray[np.int32] = field(default_factory=lambda: np.zeros(BINS, np.int32), compare=False)

    def knows(self, clock_hz: int, bits: int) -> bool:
        """Tell whether stamps of this clock and width can be compared with those before."""
        return clock_hz == self.clock_hz and bits == self.stamp_bits

    def begin(self, clock_hz: int, bits: int, stamp: int) -> None:
        """Let the source's clock start here. The stretch under way must have been taken."""
        self.clock_hz, self.stamp_bits = clock_hz, bits
        self.stamp = self.stamp_base = stamp
        self.transit_us = NONE

    def unwrapped(self, stamp: int) -> int:
        """Return a stamp, extended by its signed difference to the one farthest ahead."""
        if self.stamp_bits >= MAX_BITS:
            return stamp
        half = 1 << (self.stamp_bits - 1)
        return self.stamp + ((stamp - self.stamp + half) % (half << 1) - half)

    def transit(self, stamp: int, captured_us: int) -> int:
        """Return arrival minus media time of an unwrapped stamp, in microseconds."""
        return captured_us - (stamp - self.stamp_base) * US // self.clock_hz

    def leaps(self, stamp: int, captured_us: int, *, forward: bool) -> bool:
        """Tell whether an unwrapped stamp cannot be of the same clock. `forward`: it goes with a later number."""
        moved_us = (stamp - self.stamp) * US // self.clock_hz
        if forward:
            early = self.transit_us != NONE and captured_us >= 0
            return moved_us < -LEAP_US or (early and self.transit_us - self.transit(stamp, captured_us) > LEAP_US)
        return abs(moved_us) > LEAP_US

    def take(self, transit_us: int) -> None:
        """Take a frame's transit time in."""
        if self.transit_us != NONE:
            step_us = min(abs(transit_us - self.transit_us), MOST_STEP_US)
            self.jitter += ((step_us << SCALE_BITS) - self.jitter) >> 4
            self.jitter_sum += self.jitter >> SUM_SHIFT
            self.jitter_count += 1
            self.jitter_max = max(self.jitter_max, self.jitter)
        self.transit_us = transit_us
        if self.least_us == NONE:
            self.least_us = self.most_us = transit_us
        index = transit_us // BIN_US - self.least_us // BIN_US
        if index < 0:
            shift(self.bins, -index)
            index = 0
        self.bins[min(index, LAST)] += 1
        self.least_us, self.most_us = min(self.least_us, transit_us), max(self.most_us, transit_us)

    def over(self, spreads: tuple[Spread, ...]) -> None:
        """End the stretch under way and add it to each of these."""
        if self.jitter_count:
            for spread in spreads:
                spread.jitter_sum += self.jitter_sum
                spread.jitter_count += self.jitter_count
                spread.jitter_max = max(spread.jitter_max, self.jitter_max)
            self.jitter_sum = self.jitter_count = self.jitter_max = 0
        if self.least_us == NONE:
            return
        used = np.flatnonzero(self.bins)
        counted: Any = list(zip(used.tolist(), self.bins[used].tolist(), strict=True))
        for spread in spreads:
            bins = spread.bins
            if bins:
                for index, frames in counted:
                    bins[index] = bins.get(index, 0) + frames
            else:
                bins.update(counted)
            spread.most_us = max(spread.most_us, self.most_us - self.least_us)
        self.bins[used] = 0
        self.least_us = self.most_us = NONE


MAX_BITS: Final = 53
"""Stamps of this width never wrap."""


def shift(bins: NDArray[np.int32], by: int) -> None:
    """Move counts to delays that are larger by so many bins: the least delay is less than was known."""
    by = min(by, LAST)
    beyond = int(bins[BINS - by :].sum())
    bins[by:] = bins[: BINS - by].copy()
    bins[:by] = 0
    bins[LAST] += beyond
