"""One session: its timeline, what is missing on it and why, its streams, and which alarms stand."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from audio.arrival import ArrivalWatch
from processors.loss.streams import Gap, Stream
from processors.loss.trend import Trend
from schemas.symbols import Channel

ALL: Final = (Channel.ALL.code, -1)
"""The stream key of what is about the whole session."""


@dataclass(slots=True)
class Counts:
    """What was counted in a window or in the whole session: samples by what became of them, records, stalls."""

    frames: int = 0
    payload_bytes: int = 0
    audio: int = 0
    lost: int = 0
    discarded: int = 0
    paused: int = 0
    reconnect: int = 0
    dropped: int = 0
    late: int = 0
    stalls: int = 0
    stall_ms: int = 0
    stall_longest_ms: int = 0
    longest_gap: int = 0

    @property
    def missing(self) -> int:
        """Samples of the timeline that did not come though they were expected."""
        return self.lost + self.discarded + self.reconnect + self.dropped + self.late

    def add(self, other: "Counts") -> None:
        """Add a window."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _LARGEST:
            setattr(self, name, max(getattr(self, name), getattr(other, name)))


_LARGEST: Final = ("stall_longest_ms", "longest_gap")
_SUMS: Final = tuple(field.name for field in dataclasses.fields(Counts) if field.name not in _LARGEST)


@dataclass(slots=True)
class Session:
    """One session.

    `head` is the end of its timeline, `window_start` where the window began, `empty` how long there has been no audio;
    `cause` the reason of a missing stretch whose length is not known yet, `paused` 1 while no audio is expected.
    `drift` means something if `stated` is 1. Arrival times are -1 when not known; `audio_ms` is the stream time of the
    newest audio, -1 before any is due. The alarms are 1 while raised. `told` has what FINALs said that may have to be
    corrected: those of a session that may return, by stream key (`report.told_key`), and of segments packets of which
    may still come (`former.former_key`).
    """

    rate_hz: int
    head: int
    begin: int
    window_start: int
    source: int = 0
    codec: int = 0
    anchor_us: int = -1
    first_us: int = -1
    window_us: int = -1
    last_us: int = -1
    audio_ms: int = -1
    paused: int = 0
    cause: int = 0
    empty: int = 0
    stated: int = 0
    drift: int = 0
    loss_alarm: int = 0
    mos_alarm: int = 0
    stall_alarm: int = 0
    drift_alarm: int = 0
    no_audio_alarm: int = 0
    watch: ArrivalWatch = field(default_factory=ArrivalWatch)
    window: Counts = field(default_factory=Counts)
    total: Counts = field(default_factory=Counts)
    trend: Trend = field(default_factory=Trend)
    arrivals: Stream = field(default_factory=Stream)
    """The session's messages without numbers."""
    window_gaps: list[Gap] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    streams: dict[tuple[int, int], Stream] = field(default_factory=dict)
    """By channel code and SSRC."""
    told: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict)

    @property
    def is_odd(self) -> bool:
        """Whether the next frame changes more than counts: it comes first, or ends a pause, a gap, a stall."""
        return bool(
            self.paused
            or self.cause
            or self.empty
            or self.no_audio_alarm
            or self.told
            or self.watch.since_us >= 0
            or self.watch.least_us is None
            or min(self.anchor_us, self.first_us, self.audio_ms) < 0
        )

    def keys(self) -> list[tuple[int, int]]:
        """Return the streams that have reports of their own, in the order of the outputs."""
        return sorted(key for key in self.streams if key != ALL)

    def parts(self) -> Iterator[Stream]:
        """Return all streams, the unnumbered messages first."""
        yield self.arrivals
        for key in sorted(self.streams):
            yield self.streams[key]

    def measured(self) -> Stream | None:
        """Return the stream whose measures are those of the whole session, None where it has several of its own."""
        if not self.streams:
            return self.arrivals
        return self.streams.get(ALL) if len(self.streams) == 1 else None
