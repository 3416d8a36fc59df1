"""The packet numbers of one stream: what was expected, and what came, came twice, came out of order or too late.

Numbers wrap; they are extended by the signed difference to the highest one seen, which is exact while packets are out
of order by less than half the range. Jumps and restarts follow RFC 3550 A.1, but forget nothing: a jump counts once a
second packet follows on it, and the counts of all segments add up. The first packets are on probation: should a jump be
followed on before two packets belonged together, what came first was a stray. Duplicates are told from late packets by
the last 4096 numbers.

A missing number is pending until a number so many ahead of it came as the reorder window holds packets. Then its
place is given up, in the order of the numbers: it is lost, and late should it still come.
"""

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Final

from audio.numbers import MAX_DROPOUT, MAX_MISORDER, NEVER_WRAPS, limit, serial_step

MEMORY: Final = 4096
"""Numbers behind the highest one that are remembered."""
MOST_REORDER: Final = 2000
"""Most packets of a reorder window."""
NOTHING_DUE: Final = 1 << 62

# What became of a packet.
UNCOUNTED, IN_ORDER, BEHIND, COPY, RESTARTED = range(5)


@dataclass(slots=True)
class Numbering:
    """The state of one stream. All fields are whole numbers.

    `base` and `highest` are the extended numbers of the current run, `missing` those of the remembered numbers that did
    not come, in order, `earlier` is what former runs expected, `suspect` the number a jump went to, -1 without one.
    Places up to `frontier` are given up; `due` is the highest number with which the first pending one is decided.
    `given_up` counts places that were.
    """

    bits: int = 0
    base: int = 0
    highest: int = 0
    suspect: int = -1
    due: int = NOTHING_DUE
    unique: int = 0
    reorder: int = 5
    decided: int = -1
    earlier: int = 0
    copies: int = 0
    reordered: int = 0
    late: int = 0
    given_up: int = 0
    extent: int = 0
    restarts: int = 0
    missing: "array[int]" = field(default_factory=lambda: array("q"))

    @property
    def expected(self) -> int:
        """Packets sent, as far as the numbers tell, over all segments."""
        return self.earlier + (self.highest - self.base + 1 if self.bits else 0)

    @property
    def received(self) -> int:
        """Packets that came and count, copies with them."""
        return self.unique + self.copies

    @property
    def duplicates(self) -> int:
        """Packets that came again."""
        return self.copies

    @property
    def proven(self) -> bool:
        """Whether two packets belonged together."""
        return self.received > 1

    @property
    def pending(self) -> int:
        """Missing packets whose place is not given up yet."""
        missing = self.missing
        return len(missing) - bisect_right(missing, self.frontier) if missing and self.bits else 0

    @property
    def lost(self) -> int:
        """Expected packets that did not come, the pending ones among them, over all segments."""
        return self.expected - self.unique

    @property
    def frontier(self) -> int:
        """The highest number whose place is given up if it is missing."""
        return max(self.decided, self.highest - self.reorder)

    def take(self, number: int, bits: int, *, odd: bool = False) -> int:
        """Count a packet and return what became of it. `number` is from 0 up to 2^bits - 1; 53 bits never wrap.

        `odd` says that its time does not go with its number: unless it is the next one it is taken for a jump.
        """
        if bits != self.bits:
            self.settle()
            became = RESTARTED if self.bits else IN_ORDER
            self._begin(number, bits)
            return became
        step = self.step(number)
        suspect = self.suspect
        if suspect >= 0:
            self.suspect = -1
            if number == self._after(suspect):
                self._restart(suspect, bits)
                self._ahead(1)
                return RESTARTED
            self._settle(suspect)
            step = self.step(number)
        if step == 1 or (0 < step < limit(MAX_DROPOUT, self.bits) and not odd):
            self._ahead(step)
            return IN_ORDER
        if not odd and (-limit(MAX_MISORDER, self.bits) < step <= 0 or self._is_missing(self.highest + step)):
            return self._behind(-step)
        self.suspect = number
        return UNCOUNTED

    def step(self, number: int) -> int:
        """Return how far a number is ahead of the highest one; negative behind it."""
        return serial_step(number, self.highest, self.bits) if self.bits else number - self.highest

    def begins_anew(self, number: int, bits: int) -> bool:
        """Tell whether this packet ends what was and begins another segment."""
        return self.bits > 0 and (bits != self.bits or (self.suspect >= 0 and number == self._after(self.suspect)))

    def wait(self, packets: int) -> None:
        """Set how many packets the reorder window holds. What was given up stays so."""
        self.decided = self.frontier if self.bits else self.decided
        self.reorder = min(packets, MOST_REORDER)
        at = bisect_right(self.missing, self.decided)
        self.due = self.missing[at] + self.reorder if at < len(self.missing) else NOTHING_DUE

    def decide(self, frontier: int) -> list[int]:
        """Give up the places up to a number; return those given up now, in order."""
        frontier = max(frontier, self.decided)
        missing = self.missing
        first, last = bisect_right(missing, self.decided), bisect_right(missing, frontier)
        lost = missing[first:last]
        self.decided = frontier
        self.given_up += len(lost)
        self.due = missing[last] + self.reorder if last < len(missing) else NOTHING_DUE
        return lost.tolist()

    def settle(self) -> None:
        """Decide about a jump that nothing will follow on."""
        suspect, self.suspect = self.suspect, -1
        if suspect >= 0:
            self._settle(suspect)

    def cut(self) -> None:
        """End the run: the next packet begins another one, whatever its number. All places must be decided."""
        if self.bits:
            self.settle()
            self.earlier = self.expected
            self.base = self.highest = self.bits = 0
            del self.missing[:]
            self.decided, self.due = -1, NOTHING_DUE

    def _after(self, number: int) -> int:
        return number + 1 if self.bits == NEVER_WRAPS else number + 1 & (1 << self.bits) - 1

    def _is_missing(self, number: int) -> bool:
        if self.highest - MEMORY < number:
            at = bisect_left(self.missing, number)
            return at < len(self.missing) and self.missing[at] == number
        return False

    def _restart(self, number: int, bits: int) -> None:
        if not self.proven:  # what came first was a stray
            self.unique = self.copies = self.reordered = self.late = self.given_up = 0
            self.earlier = self.bits = 0
        self._begin(number, bits)

    def _begin(self, number: int, bits: int) -> None:
        self.earlier = self.expected
        self.restarts += self.bits != 0
        self.bits, self.base, self.highest = bits, number, number
        del self.missing[:]
        self.decided, self.due = number - self.reorder, NOTHING_DUE
        self.unique += 1

    def _settle(self, number: int) -> None:
        """A lone jump was no restart: a copy of a remembered number counts as such, anything else counts nowhere."""
        step = self.step(number)
        if 0 <= -step <= min(MEMORY - 1, self.highest - self.base):
            self._behind(-step)

    def _ahead(self, step: int) -> None:
        if step > 1:
            begin = self.highest + 1
            self.missing.extend(range(begin, self.highest + step))
            if self.due == NOTHING_DUE:
                self.due = begin + self.reorder
        self.highest += step
        if step > 1:
            self._forget()
        self.unique += 1

    def _forget(self) -> None:
        forgotten = bisect_right(self.missing, self.highest - MEMORY)
        if forgotten:
            del self.missing[:forgotten]

    def _behind(self, back: int) -> int:
        number = self.highest - back
        if number < self.base:
            self.given_up += max(0, min(self.decided + 1, self.base) - number)
            self.missing[:0] = array("q", range(number + 1, self.base))
            self.base = number
            self._forget()
            self.wait(self.reorder)
        elif self._is_missing(number):
            del self.missing[bisect_left(self.missing, number)]
        else:
            self.copies += 1
            return COPY
        self.unique += 1
        self.reordered += 1
        self.extent = max(self.extent, back)
        self.late += number <= self.frontier
        return BEHIND
