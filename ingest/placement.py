"""The numbers of one stream's packets → positions on its session's media clock. Pure.

The clock is 0 at the session's first packet, and a stream begins where its own first packet's arrival lies on it. From
there a packet's position follows its timestamp: the signed difference to the newest one (RFC 1982 section 3.2), summed
over the session and converted from the source's clock to samples at once, so that roundings never add up. The newest
packet is the one with the highest timestamp so far.

A packet does not belong to this count, and begins a new one, where its timestamp
- lies more than `TOLERANCE_S` ahead of where the newest packet ends plus the time since that came, or behind it; or
- goes back although the number does not; or
- goes back with the number by `MOST_DISORDER` or more, and not behind the count's first packet, or next after another
  that did: one such packet was on its way for long, two in a row are a stream that started over.
The new count begins where the packet's arrival lies on the media clock, but behind all audio so far. The count before
it is kept beside it: packets that belong there keep their places, so that two senders that alternate restart once.

After a lost connection timestamps may go on, also at something that was sent before. They do not where they lie outside
the tolerance, or at or before the first one of their count: then they are taken to have begun anew.

A packet before the first one has no place on the clock: its position is -1. What was held up while there was no
connection (`backlog`) has its place, and is late.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from audio.numbers import serial_step
from ingest.arrival import Gap
from ingest.backlog import Backlog
from schemas.symbols import Reason

TOLERANCE_S: Final = 10.0
"""How far a timestamp may be from where the arrival lets expect it."""
MOST_DISORDER: Final = 100
"""Numbers so far behind are no disorder, but for single ones (RFC 3550 A.1)."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The clocks and widths of a source's numbers."""

    sample_rate_hz: int = 8000
    clock_hz: int = 8000
    sequence_bits: int = 32
    timestamp_bits: int = 32


class Placed(NamedTuple):
    """Where a packet lies. `late`: one with a later position was there before, or it was held up.

    `gap`: what is missing before it, RECONNECT or RESTART.
    """

    position_samples: int
    late: bool
    gap: Gap | None = None


class _Packet(NamedTuple):
    sequence: int
    timestamp: int
    duration_ticks: int
    arrived_s: float


@dataclass(slots=True)
class _Count:
    """One run of timestamps: where it begins, its newest packet, and the sum of the steps up to that one.

    `straggler` is the number of a packet that came far behind the newest one, and since it; -1 without one.
    """

    base_samples: int
    newest: _Packet
    ticks: int = 0
    straggler: int = -1


class Placement:
    """Where the packets of one stream lie. `origin_s`: when its session's clock was 0, else at its first packet."""

    def __init__(self, scale: Scale, origin_s: float | None = None) -> None:
        self.head_samples = 0
        """Position behind the last sample."""
        self._scale = scale
        self._origin_s = origin_s
        self._newest_samples = 0
        self._count: _Count | None = None
        self._former: _Count | None = None
        self._interrupted = False
        self._backlog = Backlog()

    @property
    def begun(self) -> bool:
        """True once there was a packet."""
        return self._count is not None

    @property
    def interrupted(self) -> bool:
        """True from the loss of a connection on that brought packets, until another packet has come."""
        return self._interrupted

    def interrupt(self) -> None:
        """Take the loss of the connection: what is missing is known with the next packet."""
        self._interrupted = self.begun
        self._backlog.interrupt()

    def place(self, sequence: int, timestamp: int, duration_samples: int, now_s: float) -> Placed:
        """Return where a packet lies that came at `now_s`. A negative duration is not known."""
        scale, duration = self._scale, max(0, duration_samples)
        packet = _Packet(sequence, timestamp, duration * scale.clock_hz // scale.sample_rate_hz, now_s)
        gap = None
        count, ticks = self._find(packet)
        if count is None:
            count, ticks = self._begin(packet), 0
            if self.begun:
                reason = Reason.RECONNECT if self._interrupted else Reason.RESTART
                gap = self._gap(reason, count.base_samples, estimated=True)
            self._former, self._count = self._count, count
        elif self._interrupted:
            gap = self._gap(Reason.RECONNECT, self._position(count, ticks), estimated=False)
        if self._interrupted or ticks > count.ticks:
            count.newest, count.ticks, count.straggler = packet, ticks, -1
        if self._interrupted:
            self._interrupted, self._former = False, None
        position = self._position(count, ticks)
        end = position + duration
        held_up = self._backlog.holds(end / scale.sample_rate_hz, now_s)
        late = position < self._newest_samples or held_up
        self._newest_samples = max(self._newest_samples, position)
        self.head_samples = max(self.head_samples, end)
        return Placed(max(position, -1), late, gap)

    def locate(self, timestamp: int) -> int:
        """Return where something that is no audio lies by its timestamp, which may stand still; -1 where unknown.

        It changes nothing: where the audio goes on is for the audio to say.
        """
        count = self._count
        if count is None:
            return -1
        step = serial_step(timestamp, count.newest.timestamp, self._scale.timestamp_bits)
        if abs(step) > TOLERANCE_S * self._scale.clock_hz:
            return -1
        return max(-1, self._position(count, count.ticks + step))

    def _find(self, packet: _Packet) -> tuple[_Count | None, int]:
        """Return the count a packet belongs to, made the current one, and its ticks in it."""
        current, former = self._count, self._former
        if current is not None:
            ticks = self._ticks(current, packet)
            if ticks is not None:
                return current, ticks
        if former is not None:
            ticks = self._ticks(former, packet)
            if ticks is not None:
                self._count, self._former = former, current
                return former, ticks
        return None, 0

    def _ticks(self, count: _Count, packet: _Packet) -> int | None:
        """Return the ticks of a packet in a count; None where it does not belong there."""
        scale, newest = self._scale, count.newest
        step = serial_step(packet.timestamp, newest.timestamp, scale.timestamp_bits)
        tolerance = TOLERANCE_S * scale.clock_hz
        passed = max(0.0, packet.arrived_s - newest.arrived_s) * scale.clock_hz
        if not -tolerance <= step <= tolerance + passed + newest.duration_ticks:
            return None
        ticks = count.ticks + step
        if self._interrupted:
            return ticks if ticks > 0 else None
        if step < 0 and not self._behind(count, packet.sequence, ticks):
            return None
        return ticks

    def _behind(self, count: _Count, sequence: int, ticks: int) -> bool:
        """Tell whether a packet whose timestamp went back belongs to a count."""
        bits = self._scale.sequence_bits
        back = -serial_step(sequence, count.newest.sequence, bits)
        follows = count.straggler >= 0 and serial_step(sequence, count.straggler, bits) == 1
        if back <= 0 or follows:
            return False
        if back < min(MOST_DISORDER, 1 << (bits - 1)):
            return True
        count.straggler = sequence
        return ticks > 0

    def _begin(self, packet: _Packet) -> _Count:
        """Return a count that begins where a packet's arrival lies on the media clock, behind all audio so far."""
        if self._origin_s is None:
            self._origin_s = packet.arrived_s
        arrived = round((packet.arrived_s - self._origin_s) * self._scale.sample_rate_hz)
        return _Count(max(self.head_samples, arrived), packet)

    def _position(self, count: _Count, ticks: int) -> int:
        return count.base_samples + ticks * self._scale.sample_rate_hz // self._scale.clock_hz

    def _gap(self, reason: Reason, stop_samples: int, *, estimated: bool) -> Gap:
        head = self.head_samples
        return Gap(reason, head, max(0, stop_samples - head), estimated)
