"""What a call's stream of packets is: numbers, times and imperfections, worked out before anything is sent.

Pure and deterministic: the same script gives the same packets every time, and the truth about them is exact. Losses,
delays and copies stand only where a receiver can tell them: not among the first two or the last packets of a stretch
between two actions.
"""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any, Final

from simulators.conversation import script as conversation

RATE_HZ: Final = 8000
PACKET_MS: Final = 20
PACKET_SAMPLES: Final = RATE_HZ * PACKET_MS // 1000
LONGEST_DELAY: Final = 3
RUNS: Final = (1, 1, 1, 2, 3)
"""Lengths of runs of lost packets, each as likely as another."""
UNTOUCHED: Final = 2
"""Packets at the beginning of a stretch that arrive as they should."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing is sent from a moment on: numbers wait, timestamps and the call go on."""

    at_ms: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Drop:
    """The server cuts the TCP connection."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Restart:
    """Numbers and timestamps begin anew."""

    at_ms: int
    sequence_number: int
    timestamp: int


Action = Stop | Drop | Restart


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet. `send_at_ms` counts from the call's start, `start_samples` is where its audio lies in the call.

    `number` counts packets from 0 without wrap-around, anew after each restart; `epoch` counts the restarts before it.
    """

    send_at_ms: int
    sequence_number: int
    timestamp: int
    payload: bytes
    start_samples: int
    number: int
    epoch: int

    @property
    def end_samples(self) -> int:
        """Where the next packet's audio lies."""
        return self.start_samples + len(self.payload)


@dataclass(frozen=True, slots=True)
class Truth:
    """What packets sent in some order say by their numbers, in packets; a receiver of all of them must find the same.

    expected: from the lowest to the highest number, over all epochs. reordered: packets that came after one with a
    higher number (RFC 4737); a second copy is a duplicate and nothing else. lost_spans: [start, end) in samples of the
    call, in order, adjoining ones joined.
    """

    expected: int
    received: int
    unique: int
    duplicates: int
    reordered: int
    lost: int
    lost_spans: tuple[tuple[int, int], ...]

    def as_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


Step = Packet | Drop


@dataclass(frozen=True)
class Plan:
    """A call: `numbered` are all of its packets, also those never sent; `packets` what is sent, in sending order."""

    numbered: tuple[Packet, ...]
    packets: tuple[Packet, ...]
    actions: tuple[Action, ...]
    length_samples: int

    @property
    def duration_ms(self) -> int:
        """When the call is over, from its start."""
        return -(-self.length_samples * 1000 // RATE_HZ)

    @cached_property
    def steps(self) -> tuple[tuple[int, Step], ...]:
        """What the server does and when, in ms from the call's start."""
        drops = [(action.at_ms, action) for action in self.actions if isinstance(action, Drop)]
        sent: list[tuple[int, Step]] = [(packet.send_at_ms, packet) for packet in self.packets]
        return tuple(sorted([*drops, *sent], key=lambda step: step[0]))

    @property
    def silent_spans(self) -> tuple[tuple[int, int], ...]:
        """Return where no packet was numbered because of a `Stop`: [start, end) in samples."""
        ends = [0, *(packet.end_samples for packet in self.numbered)]
        starts = [*(packet.start_samples for packet in self.numbered), self.length_samples]
        return tuple((end, start) for end, start in zip(ends, starts, strict=True) if end < start)

    def truth(self, sent: Sequence[Packet] | None = None) -> Truth:
        """Account for packets of this plan in the order in which they were sent; None: all that it sends."""
        packets = self.packets if sent is None else sent
        seen: dict[int, set[int]] = {}
        highest: dict[int, int] = {}
        duplicates = reordered = 0
        for packet in packets:
            numbers = seen.setdefault(packet.epoch, set())
            if packet.number in numbers:
                duplicates += 1
                continue
            numbers.add(packet.number)
            reordered += packet.number < highest.get(packet.epoch, -1)
            highest[packet.epoch] = max(packet.number, highest.get(packet.epoch, -1))
        lowest = {epoch: min(numbers) for epoch, numbers in seen.items()}
        missing = [
            packet
            for packet in self.numbered
            if lowest.get(packet.epoch, 0) < packet.number < highest.get(packet.epoch, -1)
            and packet.number not in seen[packet.epoch]
        ]
        unique = len(packets) - duplicates
        return Truth(unique + len(missing), len(packets), unique, duplicates, reordered, len(missing), _joined(missing))


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A call and its imperfections.

    audio: any bytes, one per sample of 8 kHz; cut into packets of 20 ms. loss_ratio: exactly `round(ratio · packets)`
    are lost, alone or two or three in a row. reordered: packets delayed by one to three places. duplicates: packets
    that are sent again, up to three places later. Actions stand in the order of their times. `plan` raises ValueError
    for more imperfections than the packets have room for.
    """

    audio: bytes
    first_sequence_number: int = 0
    first_timestamp: int = 0
    sequence_bits: int = 32
    timestamp_bits: int = 32
    loss_ratio: float = 0.0
    reordered: int = 0
    duplicates: int = 0
    seed: int = 0
    actions: tuple[Action, ...] = ()

    def plan(self) -> Plan:
        """Work out every packet."""
        draw = random.Random(self.seed)
        stretches = self._stretches()
        numbered = tuple(packet for stretch in stretches for packet in stretch)
        lost = _lost(stretches, round(self.loss_ratio * len(numbered)), draw)
        kept = [[packet for packet in stretch if packet not in lost] for stretch in stretches]
        delayed = _delayed(kept, self.reordered, draw)
        copied = _copied(kept, self.duplicates, delayed, draw)
        sent = [packet for stretch in kept for packet in _in_sending_order(stretch, delayed, copied)]
        return Plan(numbered, tuple(sent), self.actions, len(self.audio))

    def _stretches(self) -> list[list[Packet]]:
        """Number the packets; a stretch ends where an action stands."""
        packets: list[tuple[int, Packet]] = []
        restart, begun_samples, number, epoch = Restart(0, self.first_sequence_number, self.first_timestamp), 0, 0, 0
        waiting = list(self.actions)
        silent_until_ms = 0
        for start in range(0, len(self.audio), PACKET_SAMPLES):
            at_ms = start * 1000 // RATE_HZ
            while waiting and waiting[0].at_ms <= at_ms:
                action = waiting.pop(0)
                if isinstance(action, Stop):
                    silent_until_ms = action.at_ms + action.duration_ms
                elif isinstance(action, Restart):
                    restart, begun_samples, number, epoch = action, start, 0, epoch + 1
            if at_ms < silent_until_ms:
                continue
            packet = Packet(
                send_at_ms=at_ms,
                sequence_number=(restart.sequence_number + number) % (1 << self.sequence_bits),
                timestamp=(restart.timestamp + start - begun_samples) % (1 << self.timestamp_bits),
                payload=self.audio[start : start + PACKET_SAMPLES],
                start_samples=start,
                number=number,
                epoch=epoch,
            )
            packets.append((len(waiting), packet))
            number += 1
        return [[packet for _, packet in group] for _, group in groupby(packets, key=lambda entry: entry[0])]


def channel(name: str) -> bytes:
    """Return one channel of the shipped conversation, `external` or `internal`: mu-law at 8 kHz."""
    shipped = conversation.load()
    return shipped.payload[shipped.channels.index(name) :: len(shipped.channels)]


def _joined(missing: Sequence[Packet]) -> tuple[tuple[int, int], ...]:
    spans: list[tuple[int, int]] = []
    for packet in missing:
        start = spans.pop()[0] if spans and spans[-1][1] == packet.start_samples else packet.start_samples
        spans.append((start, packet.end_samples))
    return tuple(spans)


def _require(found: int, wanted: int, what: str) -> None:
    if found < wanted:
        message = f"there is room for {found} {what} packets, not for {wanted}"
        raise ValueError(message)


def _lost(stretches: list[list[Packet]], count: int, draw: random.Random) -> set[Packet]:
    """Choose runs; they keep apart as long as there is room."""
    inner = [stretch[UNTOUCHED:-1] for stretch in stretches]
    _require(sum(map(len, inner)), count, "lost")
    places = [(stretch, at) for stretch in inner for at in range(len(stretch))]
    draw.shuffle(places)
    lost: set[Packet] = set()
    for stretch, at in places:
        run = stretch[at : at + min(draw.choice(RUNS), count - len(lost))]
        if lost.isdisjoint(stretch[max(at - 1, 0) : at + len(run) + 1]):
            lost.update(run)
    crowded = [stretch[at] for stretch, at in places if stretch[at] not in lost]
    return lost.union(crowded[: count - len(lost)])


def _delayed(kept: list[list[Packet]], count: int, draw: random.Random) -> dict[Packet, int]:
    """Choose packets and by how many places they are late; the one behind is never delayed, so it overtakes."""
    places = [(stretch, at) for stretch in kept for at in _movable(stretch)]
    draw.shuffle(places)
    delayed: dict[Packet, int] = {}
    for stretch, at in places:
        if len(delayed) < count and delayed.keys().isdisjoint((stretch[at - 1], stretch[at + 1])):
            delayed[stretch[at]] = draw.randint(1, LONGEST_DELAY)
    _require(len(delayed), count, "reordered")
    return delayed


def _copied(kept: list[list[Packet]], count: int, delayed: dict[Packet, int], draw: random.Random) -> dict[Packet, int]:
    """Choose packets and after how many further places their second copy follows."""
    places = [stretch[at] for stretch in kept for at in _movable(stretch) if stretch[at] not in delayed]
    _require(len(places), count, "duplicate")
    return {packet: draw.randint(0, LONGEST_DELAY) for packet in draw.sample(places, count)}


def _movable(stretch: list[Packet]) -> range:
    return range(UNTOUCHED, len(stretch) - LONGEST_DELAY - 1)


def _in_sending_order(stretch: list[Packet], delayed: dict[Packet, int], copied: dict[Packet, int]) -> list[Packet]:
    """Sort by place: a delayed packet follows the one it is late by, a copy follows that."""
    order: list[tuple[float, Packet]] = []
    for at, packet in enumerate(stretch):
        late = delayed.get(packet, 0)
        order.append((at + late + (0.5 if late else 0.0), _sent_with(packet, stretch[at + late])))
        if packet in copied:
            order.append((at + copied[packet] + 0.75, _sent_with(packet, stretch[at + copied[packet]])))
    order.sort(key=lambda entry: entry[0])
    return [packet for _, packet in order]


def _sent_with(packet: Packet, other: Packet) -> Packet:
    return packet if packet is other else replace(packet, send_at_ms=other.send_at_ms)
