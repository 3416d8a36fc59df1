"""One session while it is recorded: its files, its marks, its pauses and stalls. Pure."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from audio.arrival import ArrivalWatch, Stall
from audio.timeline import Missing
from schemas.symbols import Reason, Source
from sinks.recording_sync.segment import Segment

MOST_MARKS = 10_000
"""Marks kept of one session; a source that writes more is broken."""
MOST_SEGMENTS = 16
"""Files open for one session."""
_RATE_HZ = 8000


class Mark(NamedTuple):
    """From `start` on, `duration` samples (-1: not knowable) are missing, in samples of `rate`."""

    start: int
    duration: int
    rate: int
    reason: Reason


@dataclass(slots=True)
class Session:
    """What is kept of an open session between two polls.

    While `paused` holds a mark of unknown length frames are left out. `segments_begun` counts the files ever begun.
    """

    from_start: bool
    watch: ArrivalWatch
    source: Source = Source.UNKNOWN
    segments: list[Segment] = field(default_factory=list)
    segments_begun: int = 0
    marks: list[Mark] = field(default_factory=list)
    paused: Mark | None = None
    stalls: list[Stall] = field(default_factory=list)
    repeats: int = 0
    holes: int = 0
    missing_records: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def mark(self, start: int, duration: int, rate: int, reason: Reason) -> None:
        """Note that audio is missing."""
        if len(self.marks) < MOST_MARKS:
            self.marks.append(self._mark(start, duration, rate, reason))
        else:
            self.left_out["marks"] += 1

    def pause(self, start: int, rate: int, reason: Reason) -> None:
        """Leave frames out from here on."""
        begun = self._mark(start, -1, rate, reason)
        self.paused = begun if self.paused is None else Mark(self.paused.start, -1, self.paused.rate, reason)

    def resume(self, start: int, duration: int, rate: int, reason: Reason) -> None:
        """Take frames again. The media clock may have moved, so arrival is measured anew."""
        paused, self.paused = self.paused, None
        if paused is not None:
            reason = paused.reason
            if start < 0:
                start, rate = paused.start, paused.rate
        self.mark(start, duration, rate, reason)
        self.noted(self.watch.restart())

    def _mark(self, start: int, duration: int, rate: int, reason: Reason) -> "Mark":
        """Return a mark; one without a position stands where the audio ended, one without a rate has the audio's."""
        if rate <= 0:
            rate = self.segments[-1].form.sample_rate_hz if self.segments else _RATE_HZ
        return Mark(start if start >= 0 else self.stop(rate), duration, rate, reason)

    def stop(self, rate: int) -> int:
        """Return the position behind the session's last sample, in samples of a rate."""
        stops = [segment.stop_samples * rate // segment.form.sample_rate_hz for segment in self.segments]
        return max(stops, default=0)

    def missing(self, rate: int, base_samples: int) -> list[Missing]:
        """Return the marks that concern a file from `base_samples` on, in samples of its rate."""
        found = []
        for start, duration, unit, reason in self.marks:
            at = _scaled(start, rate, unit)
            mark = Missing(at, _scaled(start + duration, rate, unit) - at if duration >= 0 else -1, reason)
            if mark.stop >= base_samples:
                found.append(mark)
        return found

    def noted(self, stall: Stall | None) -> None:
        """Keep a stall that ended."""
        if stall is not None and len(self.stalls) < MOST_MARKS:
            self.stalls.append(stall)

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON."""
        return {
            "from_start": self.from_start,
            "watch": asdict(self.watch),
            "source": self.source,
            "segments": [segment.to_json() for segment in self.segments],
            "segments_begun": self.segments_begun,
            "marks": [list(mark) for mark in self.marks],
            "paused": None if self.paused is None else list(self.paused),
            "stalls": [asdict(stall) for stall in self.stalls],
            "repeats": self.repeats,
            "holes": self.holes,
            "missing_records": self.missing_records,
            "left_out": dict(self.left_out),
        }

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> "Session":
        """Return the session whose state this is."""
        return cls(
            **{
                **state,
                "watch": ArrivalWatch(**state["watch"]),
                "source": Source(state["source"]),
                "segments": [Segment.from_json(segment) for segment in state["segments"]],
                "marks": [_read(mark) for mark in state["marks"]],
                "paused": None if state["paused"] is None else _read(state["paused"]),
                "stalls": [Stall(**stall) for stall in state["stalls"]],
                "left_out": Counter(state["left_out"]),
            }
        )


def _scaled(position: int, rate: int, unit: int) -> int:
    return position if unit == rate else position * rate // unit


def _read(mark: list[Any]) -> Mark:
    start, duration, rate, reason = mark
    return Mark(start, duration, rate, Reason(reason))
