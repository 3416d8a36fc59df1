"""How far before a stretch reading must begin so that the state at its first record is what live processing had. Pure.

A partition's state at a record consists of the sessions in its table and of stream time.

- Sessions. One is forgotten 15 minutes of stream time after it was closed, and closed as idle after 15 minutes without
  a record: whoever is in the table had a record within the last 30 minutes of stream time, give or take the length of a
  step. So reading from a record that lies further back, and at or before the first record (number 0) of each session
  seen in those 30 minutes, makes the same table. Sessions of which only a later part is read ended before the 30
  minutes, and are forgotten by then in both runs.
- Stream time counts in differences only. They are equal from any record on that live processing stopped at to let time
  pass: one that lifts the highest timestamp so far into a new second. The first record at or after a whole second is
  one, whatever the broker's clock did, so reading begins at such a record.

Where the log begins too late for that, what is left of those sessions is `partial`, and one that fell silent in the
log's very first second may be closed as idle one second earlier or later than it was live.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from audio.frames import decode
from audio.session import IDLE_MS
from audio.stream_time import STEP_CAP_MS, StreamTime
from schemas.codec import SchemaStore
from schemas.errors import InvalidRecord
from schemas.records import CallEvent
from schemas.symbols import CallEventKind, FrameKind
from schemas.topics import AUDIO, EVENTS

REMEMBERED_MS = 2 * (IDLE_MS + STEP_CAP_MS + 1000)
"""Stream time after which nothing of a session's last record is left; each limit is looked at once a step of it."""
FIRST_STEP_MS = 31 * 60_000
"""How far the first look goes back; each further one goes twice as far."""
MARGIN_MS = 60_000
"""How much earlier reading begins: a first record that was sent twice must be met the first time."""
_TICK = FrameKind.TICK.code


@dataclass(frozen=True, slots=True)
class Sighting:
    """Sessions of some records: all that occur, and those of them whose first record (number 0) is among them."""

    seen: frozenset[bytes]
    begun: frozenset[bytes]


def sighting(topic: str, values: Sequence[bytes | None], store: SchemaStore) -> Sighting:
    """Return the sessions of consecutive records of `calls.audio` or `calls.events`; of other topics none."""
    if topic == AUDIO.name:
        return _of_frames(values, store)
    return _of_events(values, store) if topic == EVENTS.name else Sighting(frozenset(), frozenset())


def _of_frames(values: Sequence[bytes | None], store: SchemaStore) -> Sighting:
    frames = decode(values, store)
    rows = frames.identified & (frames.kind != _TICK)
    first = rows & (frames.sequence == 0)
    return Sighting(frozenset(frames.session_id[rows].tolist()), frozenset(frames.session_id[first].tolist()))


def _of_events(values: Sequence[bytes | None], store: SchemaStore) -> Sighting:
    found = list(_events(values, store))
    return Sighting(
        frozenset(event.session_id.encode() for event in found),
        frozenset(event.session_id.encode() for event in found if event.event_counter == 0),
    )


def _events(values: Sequence[bytes | None], store: SchemaStore) -> Iterable[CallEvent]:
    for value in values:
        try:
            event = store.decode(value, CallEvent)
        except InvalidRecord:
            continue
        if event.kind is not CallEventKind.TICK:
            yield event


@dataclass(slots=True)
class Window:
    """What some consecutive records of a partition say; fill it in their order."""

    seen: set[bytes] = field(default_factory=set)
    begun: set[bytes] = field(default_factory=set)
    first_ms: int = -1
    time: StreamTime = field(default_factory=StreamTime)

    def add(self, timestamps_ms: Sequence[int], sessions: Sighting) -> None:
        """Take consecutive records in; at least one."""
        if self.first_ms < 0:
            self.first_ms = timestamps_ms[0]
        self.seen |= sessions.seen
        self.begun |= sessions.begun
        self.time.advance(np.array(timestamps_ms, np.int64))

    def spans_ms(self, next_ms: int) -> int:
        """Return the stream time from the first record to one with this timestamp that follows the last."""
        if self.first_ms < 0:
            return 0
        self.time.advance(np.array([next_ms], np.int64))
        return self.time.now_ms


class LookBack:
    """The windows looked at so far before one record, each ending where the one before it began."""

    def __init__(self, record_ms: int) -> None:
        """`record_ms` is the timestamp of the record whose state is wanted."""
        self._next_ms = record_ms
        self._stream_ms = 0
        self._needed: set[bytes] = set()
        self._begun: set[bytes] = set()
        self._step_ms = FIRST_STEP_MS
        self._from_ms = _whole_second(record_ms)
        self._all = False

    @property
    def start_ms(self) -> int:
        """Where the next window begins: at the first record at or after this time."""
        return max(0, self._from_ms - self._step_ms)

    def earlier(self, window: Window) -> None:
        """Take in the window that ends where the last one began."""
        self._all = self.start_ms == 0
        if self._stream_ms < REMEMBERED_MS:
            self._needed |= window.seen
        self._begun |= window.begun
        self._stream_ms += window.spans_ms(self._next_ms)
        if window.first_ms >= 0:
            self._next_ms = window.first_ms
        self._step_ms *= 2

    @property
    def enough(self) -> bool:
        """Whether reading from the last window's first record gives the live state, or nothing lies before it."""
        return self._all or (self._stream_ms >= REMEMBERED_MS and not self.missing)

    @property
    def missing(self) -> int:
        """How many sessions are needed of which no first record was seen."""
        return len(self._needed - self._begun)

    @property
    def margin_ms(self) -> int:
        """Where to begin in the end: at the first record at or after this time."""
        return max(0, _whole_second(self._next_ms) - MARGIN_MS)


def _whole_second(time_ms: int) -> int:
    return time_ms // 1000 * 1000
