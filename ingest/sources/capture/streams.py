"""The sessions of a capture that are open, and their streams: who they are, and where their packets lie. Pure."""

from typing import NamedTuple

from ingest.placement import Placement, Scale
from ingest.sources.capture.encryption import Encryption
from ingest.sources.capture.messages import SEQUENCE_BITS, TIMESTAMP_BITS
from ingest.sources.capture.payload_types import Meaning
from schemas.symbols import Channels


class Way(NamedTuple):
    """Between which ends packets of an SSRC go."""

    ssrc: int
    source: bytes
    destination: bytes


class Session:
    """An open session: its key, its rate, when its media clock was 0."""

    def __init__(self, key: str, meaning: Meaning, at_s: float) -> None:
        self.key = key
        self.rate_hz = meaning.clock_hz
        self.origin_s = at_s
        self.streams: list[Stream] = []

    @property
    def last_s(self) -> float:
        """When its newest packet came."""
        return max((stream.last_s for stream in self.streams), default=self.origin_s)

    @property
    def head_samples(self) -> int:
        """Position behind the last sample of all streams, in the session's rate."""
        heads = [
            self.in_own_rate(placement.head_samples, clock_hz)
            for stream in self.streams
            for clock_hz, placement in stream.placements.items()
        ]
        return max(heads, default=0)

    def in_own_rate(self, samples: int, clock_hz: int) -> int:
        """Return samples of a stream's clock as samples of the session's rate; less than 0 is no number of them."""
        return samples if samples < 0 or clock_hz == self.rate_hz else samples * self.rate_hz // clock_hz


class Stream:
    """An SSRC on its way, in its session. It has a count of positions for each clock that it used."""

    def __init__(self, way: Way, session: Session, channels: Channels, at_s: float) -> None:
        self.way = way
        self.session = session
        self.channels = channels
        self.last_s = at_s
        self.placements: dict[int, Placement] = {}
        self.clock_hz = 0
        self.event: int | None = None
        self.encryption = Encryption()
        session.streams.append(self)

    def placement(self, clock_hz: int) -> Placement:
        """Return the count of a clock; a new one goes on behind all audio so far."""
        found = self.placements.get(clock_hz)
        if found is not None and clock_hz == self.clock_hz:
            return found
        if found is None:
            scale = Scale(clock_hz, clock_hz, SEQUENCE_BITS, TIMESTAMP_BITS)
            found = self.placements[clock_hz] = Placement(scale, self.session.origin_s)
            if self.clock_hz:
                found.head_samples = self.placements[self.clock_hz].head_samples * clock_hz // self.clock_hz
        self.clock_hz = clock_hz
        return found
