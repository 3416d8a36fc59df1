"""One stream: the packets of one SSRC by their numbers and arrival, or the arrival of a session's unnumbered messages.

Counts only grow; a window and a segment are what was counted since their beginning. What does not add up (the largest,
percentiles, bursts) is measured for window, segment and stream side by side.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from processors.loss.bursts import Bursts
from processors.loss.delays import MOST_STAMP, NONE, US, Delays, Spread
from processors.loss.numbering import BEHIND, COPY, RESTARTED, UNCOUNTED, Numbering
from processors.loss.rows import AUDIBLE, Row
from processors.loss.trend import Trend
from schemas.symbols import Codec, Reason

MAX_GAPS: Final = 100
"""Most gaps in one report of a session; those that begin first are kept."""
MAX_STREAM_GAPS: Final = 32
"""The same of a stream."""
MOST_GIVEN: Final = 3 * 32
"""Numbers of `Stream.given` with which the bursts are told at once."""
_COMFORT_NOISE: Final = Codec.COMFORT_NOISE.code
_TELEPHONE_EVENT: Final = Codec.TELEPHONE_EVENT.code
_LOST: Final = Reason.LOST_IN_NETWORK.code

Gap = tuple[int, int, int]
"""Reason code, start, duration (-1: not knowable)."""


class Counted(NamedTuple):
    """What a stream counted since it began. `expected` and `lost` leave out the pending ones."""

    frames: int = 0
    payload_bytes: int = 0
    audio: int = 0
    expected: int = 0
    received: int = 0
    unique: int = 0
    duplicates: int = 0
    reordered: int = 0
    late: int = 0
    lost: int = 0
    given_up: int = 0
    restarts: int = 0

    def since(self, mark: "Counted") -> "Counted":
        """Return what came after `mark`. A packet that was lost before it and came since makes nothing negative."""
        return Counted._make([now - before if now > before else 0 for now, before in zip(self, mark, strict=True)])

    def plus(self, other: "Counted") -> "Counted":
        """Return the sums."""
        return Counted._make([a + b for a, b in zip(self, other, strict=True)])


_NOTHING: Final = Counted()


@dataclass(slots=True)
class Measures:
    """What does not add up, of a window, a segment or a stream. -1 where nothing was measured."""

    extent: int = 0
    extent_us: int = -1
    longest_run: int = 0
    bursts: Bursts = field(default_factory=Bursts)
    spread: Spread = field(default_factory=Spread)


@dataclass(slots=True)
class Stream:
    """The state of a stream. `row` is its row in the columns of `LossState`.

    `fed` is the number up to which the bursts know what became of each, `run` how many at its end were lost; `given`
    has the runs of places given up since: first number, packets, position of each. `least_us` is the least transit time
    of former windows, for the lag of the media; `start` the position where the segment began.
    """

    row: int = -1
    frames: int = 0
    payload_bytes: int = 0
    audio: int = 0
    frame_samples: int = 0
    codec: int = 0
    numbering: Numbering = field(default_factory=Numbering)
    delays: Delays = field(default_factory=Delays)
    fed: int = 0
    run: int = 0
    least_us: int = NONE
    start: int = 0
    loss_alarm: int = 0
    mos_alarm: int = 0
    window: Measures = field(default_factory=Measures)
    segment: Measures = field(default_factory=Measures)
    total: Measures = field(default_factory=Measures)
    window_mark: Counted = _NOTHING
    segment_mark: Counted = _NOTHING
    trend: Trend = field(default_factory=Trend)
    window_gaps: list[Gap] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    given: "array[int]" = field(default_factory=lambda: array("q"))

    @property
    def measures(self) -> tuple[Measures, Measures, Measures]:
        """Those of the window, the segment and the stream."""
        return self.window, self.segment, self.total

    def counted(self) -> Counted:
        """Return all that was counted."""
        n = self.numbering
        decided = n.expected - n.pending
        return Counted(
            self.frames,
            self.payload_bytes,
            self.audio,
            decided,
            n.unique + n.copies,
            n.unique,
            n.copies,
            n.reordered,
            n.late,
            decided - n.unique,
            n.given_up,
            n.restarts,
        )

    def packet(self, row: Row, reorder_samples: int) -> None:
        """Take a numbered packet that does not begin another segment."""
        numbering, delays = self.numbering, self.delays
        self._count(row)
        if row.codec in AUDIBLE and row.samples and row.samples != self.frame_samples:
            self.feed()
            self.frame_samples = row.samples
            if numbering.bits:
                self._give_up(numbering.decide(numbering.frontier), row.position)
            numbering.wait(-(-reorder_samples // row.samples))
        if not numbering.bits:
            self.feed()
            self.fed, self.run = row.number - 1, 0
        if not delays.knows(row.clock_hz, row.stamp_bits):
            self._new_clock(row)
        stamp = delays.unwrapped(row.stamp)
        step = numbering.step(row.number)
        leaps = delays.leaps(stamp, row.captured_us, forward=step > 0)
        base = numbering.base
        became = numbering.take(row.number, row.number_bits, odd=leaps)
        if became == BEHIND:
            self._behind(-step, (delays.stamp - stamp) * US // delays.clock_hz)
            if numbering.base < base:
                self.feed()
                self.fed = numbering.base - 1 if self.fed == base - 1 else self.fed
        if numbering.highest >= numbering.due:
            self._give_up(numbering.decide(numbering.frontier), row.position)
        if became not in (UNCOUNTED, COPY):
            self._time(row, stamp, leaps=leaps, behind=became == BEHIND)

    def message(self, row: Row) -> None:
        """Take an unnumbered message: nothing but its arrival."""
        self._count(row)
        if not self.delays.knows(row.clock_hz, row.stamp_bits):
            self._new_clock(row)
        self._time(row, row.stamp, leaps=False, behind=False)

    def begin_segment(self, row: Row) -> None:
        """Count the packet that proves a restart; the former segment must have ended."""
        self._count(row)
        was_proven = self.numbering.proven
        self.numbering.take(row.number, row.number_bits)
        if not was_proven:
            self.window_mark = self.segment_mark = Counted(self.frames, self.payload_bytes, self.audio)
        self.fed, self.run = self.numbering.base - 1, 0
        self._new_clock(row)
        if row.captured_us >= 0 and row.codec in AUDIBLE:
            self.delays.take(self.delays.transit(row.stamp, row.captured_us))

    def end_run(self, position: int) -> None:
        """Decide about all that is pending: no packet will follow on these numbers."""
        numbering = self.numbering
        if numbering.bits:
            numbering.settle()
            self._give_up(numbering.decide(numbering.highest), position)
            self.feed()
            self._received(numbering.highest)
        self.over()
        self.delays.transit_us = self.least_us = NONE

    def cut(self, position: int) -> None:
        """End the run of numbers: what is missing up to the next packet was never sent, or has another cause."""
        self.end_run(position)
        self.numbering.cut()

    def next_segment(self, position: int) -> None:
        """Begin a segment: what follows is counted apart as well."""
        self.segment = Measures()
        self.segment_mark = self.counted()
        self.start = position

    def over(self) -> None:
        """End the stretch in which delays are compared with their least one."""
        least_us = self.delays.least_us
        if least_us != NONE:
            self.least_us = least_us if self.least_us == NONE else min(self.least_us, least_us)
        self.delays.over(tuple(one.spread for one in self.measures))

    def begin_window(self, leak_us: int) -> None:
        """Let a window begin here. The least transit time rises by `leak_us`: drifting clocks make no lag."""
        if not (self.frames or self.numbering.bits):
            return
        self.window = Measures()
        if self.least_us != NONE:
            self.least_us += leak_us
        self.window_mark = self.counted()
        self.window_gaps = []

    def catch_up(self) -> None:
        """Tell the bursts of the packets that came since the last place was given up."""
        self.feed()
        if self.numbering.bits:
            self._received(self.numbering.frontier)

    def _count(self, row: Row) -> None:
        self.frames += 1
        self.payload_bytes += row.payload_bytes
        if row.codec in AUDIBLE:
            self.audio += row.samples
            self.codec = row.codec

    def _time(self, row: Row, stamp: int, *, leaps: bool, behind: bool) -> None:
        """Take the arrival of a packet that counts. Where the source's clock may be another one it starts anew."""
        delays = self.delays
        if row.codec == _TELEPHONE_EVENT:
            return
        if leaps or abs(stamp - delays.stamp_base) >= MOST_STAMP:
            self._new_clock(row)
            stamp = row.stamp
        elif row.marker or row.codec == _COMFORT_NOISE:
            self.over()
            delays.transit_us = NONE
        if not behind:
            delays.stamp = max(stamp, delays.stamp)
        if row.captured_us >= 0 and row.codec != _COMFORT_NOISE:
            delays.take(delays.transit(stamp, row.captured_us))

    def _new_clock(self, row: Row) -> None:
        self.over()
        self.delays.begin(row.clock_hz, row.stamp_bits, row.stamp)
        self.least_us = NONE

    def _behind(self, packets: int, lateness_us: int) -> None:
        for one in self.measures:
            one.extent = max(one.extent, packets)
            one.extent_us = max(one.extent_us, lateness_us)

    def _received(self, number: int) -> None:
        if number > self.fed:
            self.run = 0
            for one in self.measures:
                one.bursts.take_received(number - self.fed)
            self.fed = number

    def _give_up(self, lost: list[int], position: int) -> None:
        """Note the runs of places that were given up with a packet at this position."""
        if lost:
            self.given.extend(runs(lost, position - self.numbering.highest * self.frame_samples, self.frame_samples))
            if len(self.given) >= MOST_GIVEN:
                self.feed()

    def feed(self) -> None:
        """Tell the bursts of the places that were given up; list each run of them as a gap."""
        given = iter(self.given.tolist())
        del self.given[:]
        for first, run, start in zip(given, given, given, strict=True):
            self._received(first - 1)
            for one in self.measures:
                one.bursts.take_lost(run)
                one.longest_run = max(one.longest_run, self.run + run)
            for gaps in (self.window_gaps, self.gaps):
                if self.run and gaps and sum(gaps[-1][1:]) == start:
                    gaps[-1] = (_LOST, gaps[-1][1], gaps[-1][2] + run * self.frame_samples)
                elif len(gaps) < MAX_STREAM_GAPS:
                    gaps.append((_LOST, max(0, start), run * self.frame_samples))
            self.run += run
            self.fed = first + run - 1


def runs(lost: Iterable[int], origin: int, frame_samples: int) -> list[int]:
    """Return first number, packets and position of each run of lost places; `origin` is the position of number 0."""
    found: list[int] = []
    for number in lost:
        if found and number == found[-3] + found[-2]:
            found[-2] += 1
        else:
            found += (number, 1, origin + number * frame_samples)
    return found


__all__ = ["MAX_GAPS", "RESTARTED", "Counted", "Gap", "Measures", "Stream"]
