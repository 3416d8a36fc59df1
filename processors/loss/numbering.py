"""The packet numbers of one stream: what was expected, and what came, came twice, or came out of order.

Numbers wrap; they are extended by the signed difference to the highest one seen, which is exact while packets are out
of order by less than half the range. Jumps and restarts follow RFC 3550 A.1, without its probation: a jump counts once
a second packet follows on it, so that no packet of a stream is left out. Duplicates are told from late packets by the
last 4096 numbers.
"""

from dataclasses import dataclass
from typing import Final

MAX_DROPOUT: Final = 3000
"""A number so far ahead is a jump, not a loss (RFC 3550 A.1)."""
MAX_MISORDER: Final = 100
"""A number so far behind is a jump, not disorder, unless it is known to be missing (RFC 3550 A.1)."""
MEMORY: Final = 4096
"""Numbers behind the highest one that are remembered."""
NEVER_WRAPS: Final = 53

_MASK: Final = (1 << MEMORY) - 1


@dataclass(slots=True)
class Numbering:
    """The state of one stream. All fields are whole numbers.

    `base` and `highest` are the extended numbers of the current segment, `missing` has bit i set if `highest - i` was
    not seen, `earlier` is what former segments expected, `suspect` the number a jump went to, -1 without one.
    """

    bits: int = 0
    base: int = 0
    highest: int = 0
    missing: int = 0
    earlier: int = 0
    received: int = 0
    unique: int = 0
    duplicates: int = 0
    reordered: int = 0
    extent: int = 0
    restarts: int = 0
    suspect: int = -1

    @property
    def expected(self) -> int:
        """Packets sent, as far as the numbers tell, over all segments."""
        return self.earlier + (self.highest - self.base + 1 if self.bits else 0)

    @property
    def lost(self) -> int:
        """Expected packets that did not come, over all segments."""
        return self.expected - self.unique

    def take(self, number: int, bits: int) -> None:
        """Count a packet. `number` is from 0 up to 2^bits - 1; 53 bits never wrap."""
        if bits != self.bits:
            self.settle()
            self._begin(number, bits)
            return
        step = self._step(number)
        suspect = self.suspect
        if suspect >= 0:
            self.suspect = -1
            if number == self._after(suspect):
                self._begin(suspect, bits)
                step = 1
            else:
                self._settle(suspect)
                step = self._step(number)
        if step == 1:
            self.highest += 1
            self.missing = self.missing << 1 & _MASK
            self.received += 1
            self.unique += 1
        elif 0 < step < self._limit(MAX_DROPOUT):
            self._ahead(step)
        elif -self._limit(MAX_MISORDER) < step <= 0 or self._is_missing(-step):
            self._behind(-step)
        else:
            self.suspect = number

    def settle(self) -> None:
        """Decide about a jump that nothing will follow on."""
        suspect, self.suspect = self.suspect, -1
        if suspect >= 0:
            self._settle(suspect)

    def cut(self) -> None:
        """End the segment: the next packet begins another one, whatever its number."""
        if self.bits:
            self.settle()
            self.earlier = self.expected
            self.base = self.highest = self.missing = self.bits = 0

    def _limit(self, packets: int) -> int:
        return packets if self.bits == NEVER_WRAPS else min(packets, 1 << (self.bits - 1))

    def _step(self, number: int) -> int:
        difference = number - self.highest
        if self.bits == NEVER_WRAPS:
            return difference
        half = 1 << (self.bits - 1)
        return (difference + half & (half << 1) - 1) - half

    def _after(self, number: int) -> int:
        return number + 1 if self.bits == NEVER_WRAPS else number + 1 & (1 << self.bits) - 1

    def _is_missing(self, back: int) -> bool:
        return 0 <= back < MEMORY and bool(self.missing >> back & 1)

    def _begin(self, number: int, bits: int) -> None:
        self.earlier = self.expected
        self.restarts += self.bits != 0
        self.bits, self.base, self.highest, self.missing = bits, number, number, 0
        self.received += 1
        self.unique += 1

    def _settle(self, number: int) -> None:
        """A lone jump was no restart: a copy of a remembered number counts as such, anything else counts nowhere."""
        step = self._step(number)
        if 0 <= -step <= min(MEMORY - 1, self.highest - self.base):
            self._behind(-step)

    def _ahead(self, step: int) -> None:
        self.highest += step
        self.missing = (self.missing << step | (1 << step) - 2) & _MASK
        self.received += 1
        self.unique += 1

    def _behind(self, back: int) -> None:
        self.received += 1
        oldest = self.highest - self.base
        if back > oldest:
            self.base = self.highest - back
            self.missing |= ((1 << back) - 1 >> oldest + 1 << oldest + 1) & _MASK
        elif self.missing >> back & 1:
            self.missing ^= 1 << back
        else:
            self.duplicates += 1
            return
        self.unique += 1
        self.reordered += 1
        self.extent = max(self.extent, back)
