"""Which stretches of a session's media timeline hold audio, and why the others do not.

Positions are samples on the session's media clock. A stretch is [start, stop). A hole is a stretch without audio
between the first and the last sample; the marks that travel with the audio say why it is there.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schemas.records import Gap
from schemas.symbols import Reason


def anchor_us(captured_at_us: int, stop_samples: int, sample_rate_hz: int) -> int:
    """Return the UTC of position 0 by a frame's arrival, microseconds; -1 where the arrival is not known.

    `stop_samples` is the position behind the frame: it cannot have left before its last sample was there.
    """
    return captured_at_us - stop_samples * 1_000_000 // sample_rate_hz if captured_at_us >= 0 else -1


class Coverage:
    """The stretches that hold audio, merged and in order."""

    def __init__(self, stretches: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for start, stop in stretches:
            self.add(start, stop)

    @property
    def stretches(self) -> tuple[tuple[int, int], ...]:
        """All stretches, merged and in order."""
        return tuple(zip(self._starts, self._stops, strict=True))

    @property
    def stop(self) -> int | None:
        """Position behind the last sample, None while there is none."""
        return self._stops[-1] if self._stops else None

    def add(self, start: int, stop: int) -> int:
        """Add a stretch; return how many of its samples were there before."""
        if stop <= start:
            return 0
        if self._stops and start == self._stops[-1]:
            self._stops[-1] = stop
            return 0
        first = bisect_left(self._stops, start)
        last = bisect_right(self._starts, stop)
        known = sum(
            max(0, min(stop, self._stops[index]) - max(start, self._starts[index])) for index in range(first, last)
        )
        if first < last:
            start, stop = min(start, self._starts[first]), max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]
        return known

    def holes(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Return the stretches of [start, stop) without audio."""
        found = []
        for begin, end in self.stretches:
            if begin > start and start < stop:
                found.append((start, min(begin, stop)))
            start = max(start, end)
        if start < stop:
            found.append((start, stop))
        return found


@dataclass(frozen=True, slots=True)
class Missing:
    """A mark: from `start` on, `duration` samples are missing (-1: not knowable), for this reason."""

    start: int
    duration: int
    reason: Reason

    @property
    def stop(self) -> int:
        """Position behind the missing stretch; its start where the length is not knowable."""
        return self.start + max(0, self.duration)


def end_of(coverage: Coverage, marks: Iterable[Missing], start: int) -> int:
    """Return where the timeline ends: behind the last audio, and behind the marks that lead on from there."""
    stop = start if coverage.stop is None else coverage.stop
    for mark in sorted(marks, key=lambda mark: mark.start):
        if mark.start <= stop:
            stop = max(stop, mark.stop)
    return stop


def gaps(holes: Iterable[tuple[int, int]], marks: Iterable[Missing], unmarked: Reason) -> tuple[Gap, ...]:
    """Return every hole with its reason, and every mark of unknown length that left no hole, by position.

    A hole is cut where marks begin and end; what no mark explains gets the reason `unmarked`. A mark of unknown length
    reaches to the end of the hole it lies in. A pause that took no media time stands in the list with length 0.
    """
    ordered = sorted(set(marks), key=lambda mark: (mark.start, mark.stop, mark.reason))
    found = [gap for hole in holes for gap in _explained(hole, ordered, unmarked)]
    used = {(gap.start_samples, gap.reason) for gap in found}
    for mark in ordered:
        pause = mark.duration == 0 and mark.reason in (Reason.SECURE_PAUSE, Reason.OWN_PAUSE)
        if (mark.duration < 0 or pause) and (mark.start, mark.reason) not in used:
            found.append(Gap(reason=mark.reason, start_samples=mark.start, duration_samples=mark.duration))
            used.add((mark.start, mark.reason))
    return tuple(sorted(found, key=lambda gap: (gap.start_samples, gap.duration_samples)))


def _explained(hole: tuple[int, int], marks: Sequence[Missing], unmarked: Reason) -> list[Gap]:
    position, stop = start, _ = hole
    found = []
    for mark in marks:
        if mark.duration < 0 and mark.start < start:
            continue
        end = min(stop, mark.stop if mark.duration >= 0 else stop)
        if mark.start >= stop or end <= position:
            continue
        if mark.start > position:
            found.append(_gap(unmarked, position, mark.start))
            position = mark.start
        found.append(_gap(mark.reason, position, end))
        position = end
    if position < stop:
        found.append(_gap(unmarked, position, stop))
    return found


def _gap(reason: Reason, start: int, stop: int) -> Gap:
    return Gap(reason=reason, start_samples=start, duration_samples=stop - start)
