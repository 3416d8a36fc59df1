"""The records of one session that wait, in their order, until it is certain whether they are copied.

How long a frame waits is told by the audio behind it, not by clocks: `hold_us` of its own lane, of which each sample
counts once. Lanes are those of silence: the internal side's numbered stream has one of its own. Where that audio does
not come (the other side goes on alone, positions step back), a bound on what waits lets the frame go: copied, as what
is not certain always is.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from processors.silence.media import SIDES_OF
from processors.silence.orders import LANES
from processors.speech.spans import Spans

MOST_RECORDS: Final = 1024
"""Records of a session that wait at most."""
MOST_HOLDS: Final = 4
"""Audio of a session that waits at most, all lanes together, in lengths of the hold."""
_FAR_US: Final = 1_000_000
"""A numbered packet this far behind begins its lane's count anew: the one in front may have been a stray."""


@dataclass(slots=True)
class Held:
    """A record that waits. `sure`: it is copied whatever is found. The rest says what a frame with audio lies in.

    `heard_us` and `received_us` are the counts of its lane and of its session behind it.
    """

    key: bytes | None
    value: bytes
    audio: bool = False
    sure: bool = True
    layout: int = 0
    lane: int = 0
    start_us: int = -1
    end_us: int = -1
    heard_us: int = -1
    received_us: int = -1


@dataclass(slots=True)
class Lane:
    """Audio of one timeline: its media, its head, how much was heard of it, and for how much of that spans are told."""

    media: int = 0
    head_us: int = 0
    heard_us: int = 0
    told_us: int = 0


@dataclass(frozen=True, slots=True)
class Bounds:
    """The margin, and how much audio must follow a frame."""

    margin_us: int
    hold_us: int

    @property
    def keep_us(self) -> int:
        """For how long spans are kept: longer than anything waits."""
        return MOST_HOLDS * (self.hold_us + self.margin_us)


Let = Callable[[Held, bool], None]
"""What takes a record that waits no longer, and whether it is copied."""


@dataclass(slots=True)
class Session:
    """One session: `waiting` is in the order of its records. `peak_us`: behind all audio and marks so far.

    `still`: the last record that tells of the ingest's life came without audio behind the one before.
    """

    lanes: tuple[Lane, ...] = field(default_factory=lambda: tuple(Lane() for _ in range(LANES)))
    spans: Spans = field(default_factory=Spans)
    waiting: deque[Held] = field(default_factory=deque)
    received_us: int = 0
    peak_us: int = 0
    still: bool = False

    def audio(self, held: Held, media: int, *, numbered: bool) -> None:
        """Append a frame that can be judged; `held` has its lane and its place."""
        lane = self.lanes[held.lane]
        own_us = held.end_us - held.start_us
        if media != lane.media:
            lane.media, lane.head_us = media, held.start_us
        before_us = lane.heard_us
        if numbered and held.end_us < lane.head_us - _FAR_US:
            for other in self.waiting:
                other.sure = other.sure or other.lane == held.lane
            lane.head_us = held.end_us
        elif held.end_us > lane.head_us:
            lane.heard_us += min(own_us, held.end_us - lane.head_us)
            lane.head_us = held.end_us
        # a packet's place in the order is told by where it begins
        lane.told_us = before_us if numbered else lane.heard_us
        self.received_us += own_us
        self.peak_us = max(self.peak_us, held.end_us)
        self.still = False
        held.heard_us, held.received_us = lane.heard_us, self.received_us
        self.waiting.append(held)

    def release(self, bounds: Bounds, let: Let) -> None:
        """Let go of what is decided or has waited for too long, up to the first record that is neither."""
        waiting = self.waiting
        while waiting:
            held = waiting[0]
            if not (held.sure or self._due(held, bounds)):
                old = self.received_us - held.received_us >= MOST_HOLDS * bounds.hold_us
                if not old and len(waiting) <= MOST_RECORDS:
                    return
                held.sure = True
            waiting.popleft()
            let(held, self._passes(held, bounds))

    def flush(self, bounds: Bounds, let: Let, *, certain: bool) -> None:
        """Let go of everything. `certain`: all spans have ended, so nothing more can be found; else doubt copies."""
        while self.waiting:
            held = self.waiting.popleft()
            held.sure = held.sure or not (certain or self._due(held, bounds))
            let(held, self._passes(held, bounds))

    def _due(self, held: Held, bounds: Bounds) -> bool:
        return self.lanes[held.lane].told_us - held.heard_us >= bounds.hold_us

    def _passes(self, held: Held, bounds: Bounds) -> bool:
        return held.sure or self.spans.touch(SIDES_OF[held.layout], held.start_us, held.end_us, bounds.margin_us)
