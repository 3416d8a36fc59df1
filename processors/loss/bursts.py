"""How the losses of one stream cluster: bursts and gaps by the definition of RFC 3611, 4.7.2.

A burst begins and ends with a lost packet, and within it fewer than `GMIN` packets in a row were received. A loss that
`GMIN` received packets stand on both sides of is isolated and belongs to a gap; before the stream and after it there
are as many by assumption. The counters of RFC 3611, A.2, are not used: they judge the first packets differently and
know nothing of what followed the last loss.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

GMIN: Final = 16
"""Received packets in a row that end a burst (RFC 3611, 4.7.2)."""


@dataclass(frozen=True, slots=True)
class BurstFigures:
    """Bursts and gaps so far, in packets; lengths, densities and ratios are -1 where there is nothing to take them of.

    `burst_ratio` is `mean_loss_run` over what it would be if as many packets were lost at random (G.107, 3.5): 1 is
    random, more is in bursts.
    """

    bursts: int
    burst_packets: int
    burst_lost: int
    gaps: int
    gap_packets: int
    gap_lost: int
    burst_density_ratio: float
    gap_density_ratio: float
    mean_burst_packets: float
    mean_gap_packets: float
    mean_loss_run: float
    burst_ratio: float


@dataclass(slots=True)
class Bursts:
    """Takes the fate of each packet in the order of their numbers, once it is decided. All fields are whole numbers.

    `bursts`, `burst_packets` and `burst_lost` are those that are over. A cluster is open from its first loss until
    `GMIN` packets in a row were received: `open_packets` reaches to its last loss, `open_received` counts those after
    it. `led` is 1 if anything came before the first burst.
    """

    received: int = 0
    lost: int = 0
    loss_runs: int = 0
    bursts: int = 0
    burst_packets: int = 0
    burst_lost: int = 0
    open_packets: int = 0
    open_lost: int = 0
    open_received: int = 0
    led: int = 0

    def take_received(self, packets: int) -> None:
        """Take the next packets, all received; 0 changes nothing."""
        self.received += packets
        if self.open_lost:
            self.open_received += packets
            if self.open_received >= GMIN:
                self._close()

    def take_lost(self, packets: int) -> None:
        """Take the next packets, all lost; 0 changes nothing."""
        if not packets:
            return
        if self.open_received or not self.open_lost:
            self.loss_runs += 1
        if not self.bursts and not self.open_lost:
            self.led = int(self.received + self.lost > 0)
        self.open_packets += self.open_received + packets
        self.open_lost += packets
        self.open_received = 0
        self.lost += packets

    def figures(self) -> BurstFigures:
        """Return the figures as if `GMIN` received packets followed. The state stays as it is."""
        burst = self.open_lost > 1
        bursts = self.bursts + burst
        burst_packets = self.burst_packets + (self.open_packets if burst else 0)
        burst_lost = self.burst_lost + (self.open_lost if burst else 0)
        packets = self.received + self.lost
        gap_packets, gap_lost = packets - burst_packets, self.lost - burst_lost
        followed = int(self.open_received > 0 if burst else packets > 0)
        gaps = bursts - 1 + self.led + followed if bursts else followed
        return BurstFigures(
            bursts=bursts,
            burst_packets=burst_packets,
            burst_lost=burst_lost,
            gaps=gaps,
            gap_packets=gap_packets,
            gap_lost=gap_lost,
            burst_density_ratio=_per(burst_lost, burst_packets),
            gap_density_ratio=_per(gap_lost, gap_packets),
            mean_burst_packets=_per(burst_packets, bursts),
            mean_gap_packets=_per(gap_packets, gaps),
            mean_loss_run=_per(self.lost, self.loss_runs),
            burst_ratio=_per(self.lost * self.received, self.loss_runs * packets),
        )

    def as_numbers(self) -> tuple[int, ...]:
        """Return the state, for a snapshot."""
        numbers: tuple[int, ...] = _numbers(self)
        return numbers

    @classmethod
    def of_numbers(cls, numbers: Iterable[int]) -> "Bursts":
        """Return the state `as_numbers` gave. Raises ValueError for another count of numbers."""
        return cls(**dict(zip(Bursts.__slots__, numbers, strict=True)))

    def _close(self) -> None:
        if self.open_lost > 1:
            self.bursts += 1
            self.burst_packets += self.open_packets
            self.burst_lost += self.open_lost
        self.open_packets = self.open_lost = self.open_received = 0


_numbers: Final = attrgetter(*Bursts.__slots__)


def _per(part: int, whole: int) -> float:
    return part / whole if whole else -1.0
