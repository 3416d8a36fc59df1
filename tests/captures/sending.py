"""Who sends, and what the network does to it: packets as sent → packets as they arrive, with the truth about them."""

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.captures.packets import Address, Packet

START_US = 1_700_000_000_000_000
TRANSIT_US = 20_000
PCMU, PCMA, COMFORT_NOISE, TELEPHONE_EVENT = 0, 8, 13, 101
_NOISE = random.Random(1).randbytes(1 << 17)
"""Where the audio of every packet comes from."""


class Sent(NamedTuple):
    """A packet as sent. `number` and `ticks` never wrap; `segment` counts the sender's restarts."""

    sent_us: int
    ssrc: int
    segment: int
    number: int
    ticks: int
    payload_type: int
    marker: bool
    payload: bytes
    source: Address
    destination: Address


@dataclass(slots=True)
class Sender:
    """One sender of one SSRC. Each method adds to `sent`; time, numbers and timestamps go on by themselves."""

    ssrc: int
    number: int = 1000
    ticks: int = 160_000
    payload_type: int = PCMU
    clock_hz: int = 8000
    frame_ticks: int = 160
    payload_bytes: int = 160
    now_us: int = START_US
    source: Address = ("192.0.2.1", 5004)
    destination: Address = ("192.0.2.2", 5004)
    segment: int = 0
    sent: list[Sent] = field(default_factory=list)

    def audio(self, packets: int, *, marker: bool = False) -> None:
        """Send audio without a break; `marker` on the first packet."""
        for index in range(packets):
            start = (self.ssrc + self.segment * 7919 + self.number) * 2_654_435_761 % (len(_NOISE) - self.payload_bytes)
            payload = _NOISE[start : start + self.payload_bytes]
            self._send(self.payload_type, payload, marker=marker and index == 0)
            self._pass(self.frame_ticks)

    def quiet(self, ms: int, *, noise_every_ms: int | None = None) -> None:
        """Send nothing for so long, but for comfort noise, where asked. The media clock goes on."""
        passed = 0
        while passed < ms:
            step = min(ms - passed, noise_every_ms or ms)
            if noise_every_ms is not None:
                self._send(COMFORT_NOISE, b"\x3c", marker=False)
            self._pass(step * self.clock_hz // 1000)
            passed += step

    def event(self, digit: int, packets: int) -> None:
        """Send a telephone event (RFC 4733): packets of one timestamp, the last one three times; no audio meanwhile."""
        for index in range(packets + 2):
            steps = min(index + 1, packets)
            end = index >= packets - 1
            payload = bytes([digit, end << 7 | 10]) + (steps * self.frame_ticks).to_bytes(2, "big")
            self._send(TELEPHONE_EVENT, payload, marker=index == 0)
            if index < packets - 1:
                self.now_us += self._us(self.frame_ticks)
        self.now_us += self._us(self.frame_ticks)
        self.ticks += packets * self.frame_ticks

    def restart(self, number: int, ticks: int) -> None:
        """Begin anew on the same SSRC, as a sender that was started again; no time passes."""
        self.segment += 1
        self.number, self.ticks = number, ticks

    def _send(self, payload_type: int, payload: bytes, *, marker: bool) -> None:
        ends = self.source, self.destination
        self.sent.append(
            Sent(self.now_us, self.ssrc, self.segment, self.number, self.ticks, payload_type, marker, payload, *ends)
        )
        self.number += 1

    def _pass(self, ticks: int) -> None:
        self.ticks += ticks
        self.now_us += self._us(ticks)

    def _us(self, ticks: int) -> int:
        return ticks * 1_000_000 // self.clock_hz


class Arrival(NamedTuple):
    """A packet as it arrives. `copy`: one was there before."""

    arrival_us: int
    sent: Sent
    copy: bool

    @property
    def packet(self) -> Packet:
        """The packet, its numbers as wide as on the wire."""
        one = self.sent
        number, ticks = one.number & 0xFFFF, one.ticks & 0xFFFFFFFF
        ends = one.source, one.destination
        return Packet(self.arrival_us, one.ssrc, number, ticks, one.payload_type, one.marker, one.payload, *ends)


def deliver(
    sent: Sequence[Sent],
    *,
    lost: Collection[int] = (),
    delays_us: Mapping[int, int] | None = None,
    copies_us: Mapping[int, int] | None = None,
) -> list[Arrival]:
    """Return what arrives, in order. Keys are indices in `sent`.

    `delays_us`: beside the usual transit; `copies_us`: how long behind the first one a second copy comes.
    """
    delays, copies, gone = delays_us or {}, copies_us or {}, frozenset(lost)
    found: list[tuple[int, Sent]] = []
    for index, one in enumerate(sent):
        at_us = one.sent_us + TRANSIT_US + delays.get(index, 0)
        if index not in gone:
            found.append((at_us, one))
        if index in copies:
            found.append((at_us + copies[index], one))
    found.sort(key=lambda pair: pair[0])
    arrivals, seen = [], set()
    for at_us, one in found:
        key = one.ssrc, one.segment, one.number
        arrivals.append(Arrival(at_us, one, key in seen))
        seen.add(key)
    return arrivals


@dataclass(frozen=True, slots=True)
class SegmentTruth:
    """What is true of one run of numbers of one SSRC, between two starts of its sender.

    `expected` and `lost` count between the lowest and the highest number that arrived: what is missing before and
    behind (`unseen_head`, `unseen_tail`) no receiver can know. `reordered`: first copies behind a higher number
    (RFC 4737 Type-P-Reordered). `lost_signed` is RFC 3550 A.3: expected - received, copies included. Jitter is RFC 3550
    A.8 over every packet in order of arrival: its mean, maximum and last value in ms.
    """

    first_number: int
    last_number: int
    received: int
    unique: int
    duplicates: int
    reordered: int
    lost_numbers: tuple[int, ...]
    unseen_head: int
    unseen_tail: int
    jitter_mean_ms: float
    jitter_max_ms: float
    jitter_last_ms: float

    @property
    def expected(self) -> int:
        """Numbers from the first to the last."""
        return self.last_number - self.first_number + 1

    @property
    def lost(self) -> int:
        """Numbers that never arrived, though one behind them did."""
        return len(self.lost_numbers)

    @property
    def lost_signed(self) -> int:
        """Negative where copies outnumber what is lost."""
        return self.expected - self.received


@dataclass(frozen=True, slots=True)
class StreamTruth:
    """What is true of one SSRC."""

    ssrc: int
    clock_hz: int
    payload_types: frozenset[int]
    segments: tuple[SegmentTruth, ...]

    @property
    def received(self) -> int:
        """Packets that arrived, copies included."""
        return sum(segment.received for segment in self.segments)

    @property
    def expected(self) -> int:
        """Sum over the segments."""
        return sum(segment.expected for segment in self.segments)

    @property
    def unique(self) -> int:
        """Sum over the segments."""
        return sum(segment.unique for segment in self.segments)

    @property
    def duplicates(self) -> int:
        """Sum over the segments."""
        return sum(segment.duplicates for segment in self.segments)

    @property
    def reordered(self) -> int:
        """Sum over the segments."""
        return sum(segment.reordered for segment in self.segments)

    @property
    def lost(self) -> int:
        """Sum over the segments."""
        return sum(segment.lost for segment in self.segments)

    @property
    def restarts(self) -> int:
        """How often the sender began anew."""
        return len(self.segments) - 1


def truth_of(sent: Sequence[Sent], arrivals: Sequence[Arrival], clocks_hz: Mapping[int, int]) -> dict[int, StreamTruth]:
    """Return the truth by SSRC. `clocks_hz`: the RTP clock of each."""
    streams = {}
    for ssrc, clock_hz in clocks_hz.items():
        own = [one for one in arrivals if one.sent.ssrc == ssrc]
        segments = tuple(
            _segment([one for one in sent if (one.ssrc, one.segment) == (ssrc, segment)], arrived, clock_hz)
            for segment in sorted({one.sent.segment for one in own})
            if (arrived := [one for one in own if one.sent.segment == segment])
        )
        types = frozenset(one.sent.payload_type for one in own)
        streams[ssrc] = StreamTruth(ssrc, clock_hz, types, segments)
    return streams


def _segment(sent: Sequence[Sent], arrivals: Sequence[Arrival], clock_hz: int) -> SegmentTruth:
    numbers = {one.sent.number for one in arrivals}
    first, last = min(numbers), max(numbers)
    reordered, highest = 0, -1
    for one in arrivals:
        reordered += not one.copy and one.sent.number < highest
        highest = max(highest, one.sent.number)
    jitters = list(_jitter_ms(arrivals, clock_hz))
    return SegmentTruth(
        first_number=first,
        last_number=last,
        received=len(arrivals),
        unique=len(numbers),
        duplicates=sum(one.copy for one in arrivals),
        reordered=reordered,
        lost_numbers=tuple(one.number for one in sent if first < one.number < last and one.number not in numbers),
        unseen_head=sum(one.number < first for one in sent),
        unseen_tail=sum(one.number > last for one in sent),
        jitter_mean_ms=sum(jitters) / len(jitters),
        jitter_max_ms=max(jitters),
        jitter_last_ms=jitters[-1],
    )


def _jitter_ms(arrivals: Iterable[Arrival], clock_hz: int) -> Iterable[float]:
    """Return the running estimate of RFC 3550 A.8 after each packet, in ms; it is 0 at the first one."""
    jitter, transit = 0.0, None
    for one in arrivals:
        now = one.arrival_us / 1000 - one.sent.ticks * 1000 / clock_hz
        if transit is not None:
            jitter += (abs(now - transit) - jitter) / 16
        transit = now
        yield jitter
