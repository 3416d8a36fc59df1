"""The packets of one numbered stream, as they came → each once, in the order of their numbers, with the gaps declared.

A packet that does not go on where the last one ended waits for what is missing in front of it. How long is measured on
the source's own clock, moved by packets alone (and by `advance`): no timer, so the same packets give the same answer.
The first packets of a stream wait as if one were missing in front of them, for one may be late.

A gap is declared, and what comes behind it let go, once the newest packet is by the window newer than the first one
behind the gap, or once more waits than the bounds allow. What fills a declared gap afterwards is late.

Restarts: another width of numbers; a jump by the limits of RFC 3550, A.1, on which a second packet follows; or a time
that contradicts the number, newer but by more than `TOLERANCE_US` earlier, or the other way round. A step ahead in both
is no restart here: it may be a pause of the sender, and whoever knows when packets arrived says so by `restart`.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from operator import attrgetter
from typing import Final, Generic, TypeAlias, TypeVar

from audio.numbers import MAX_DROPOUT, MAX_MISORDER, NEVER_WRAPS, extend, limit
from audio.window import FixedWindow, Window

__all__ = ["MEMORY", "NEVER_WRAPS", "Fate", "Held", "Let", "Limits", "Reorder", "extend"]

MEMORY: Final = 1024
"""Numbers behind the last one let go of which it is known whether they came."""
TOLERANCE_US: Final = 10_000_000
"""Times further apart than this are not of one count when the numbers say otherwise."""

_MASK: Final = (1 << MEMORY) - 1
Item = TypeVar("Item")


class Fate(IntEnum):
    """What became of a packet."""

    NEXT = 0
    """It comes in its order."""
    FIRST = 1
    """It comes in its order, as the first one of a stream or behind a restart."""
    LATE = 2
    """It fills a gap that was declared before, or comes before the first one."""
    DUPLICATE = 3
    """It came before."""
    STRAY = 4
    """It jumped, and none followed it: it belongs nowhere."""


Let: TypeAlias = tuple[Fate, int, Item]
"""A packet let go: its fate, how many are declared missing between the one before it and it, and what was pushed."""
Held: TypeAlias = tuple[int, int, int, Item]
"""A packet that waits: its extended number, its time, its size, and what was pushed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may wait at most beside the window's time."""

    frames: int = 64
    size_bytes: int = 65_536


class Reorder(Generic[Item]):
    """The state of one stream. Every packet pushed is let go exactly once, here or by a later call.

    `bits` is 0 before the first packet. Numbers are extended: `highest` has been seen, `following` is to be let go
    next and `base` was the first one of this count, both of no meaning while `begun` is 0. `now_us` is the newest time.
    Bit i of `missing` is set if `following - 1 - i` never came. Counters: `late`, `duplicates`, `strays`, `declared` as
    lost, `restarts`.
    """

    __slots__ = (
        "_held",
        "_limits",
        "_size_bytes",
        "_suspect",
        "_window",
        "_wire",
        "base",
        "begun",
        "bits",
        "declared",
        "duplicates",
        "following",
        "highest",
        "late",
        "missing",
        "now_us",
        "restarts",
        "settled",
        "strays",
    )

    def __init__(self, window: Window | None = None, limits: Limits | None = None) -> None:
        self._window: Window = FixedWindow() if window is None else window
        self._limits = Limits() if limits is None else limits
        self._held: list[Held[Item]] = []
        self._size_bytes = 0
        self._suspect: Held[Item] | None = None
        self._wire = -1
        self.bits = self.begun = self.base = self.following = self.highest = self.missing = self.now_us = 0
        self.late = self.duplicates = self.strays = self.declared = self.restarts = 0
        self.settled = False
        """True while nothing waits: the next packet, if it is `following`, is let go at once."""

    @property
    def held(self) -> Sequence[Held[Item]]:
        """What waits, by number."""
        return self._held

    @property
    def suspect(self) -> Held[Item] | None:
        """The packet a jump went to, under its own number, until the next one tells what it was."""
        return self._suspect

    def push(self, number: int, bits: int, time_us: int, item: Item, size_bytes: int = 0) -> list[Let[Item]]:
        """Take a packet; return what is let go by it.

        `number` has `bits` bits, 8 to 32, or 53 where it never wraps. `time_us` is its time on the source's clock,
        unwrapped. `size_bytes` is what it takes of the bound.
        """
        if self.settled and number == self._wire and bits == self.bits and time_us >= self.now_us - TOLERANCE_US:
            self.highest = following = self.following
            self.following = following = following + 1
            self._wire = following & (1 << bits) - 1
            if self.missing:
                self.missing = self.missing << 1 & _MASK
            if time_us > self.now_us:  # noqa: PLR1730 - this is done for every packet
                self.now_us = time_us
            return [(Fate.NEXT, 0, item)]
        out: list[Let[Item]] = []
        self._judge((number, time_us, size_bytes, item), bits, out)
        self._settle()
        return out

    def skip(self, packets: int, time_us: int) -> None:
        """Take packets that came in order, `following` first, and let themselves go. Only while `settled`.

        `time_us` is the newest of their times; none of them may be older than `now_us` by more than `TOLERANCE_US`.
        """
        self.following += packets
        self.highest = self.following - 1
        self.missing = self.missing << packets & _MASK
        self.now_us = max(self.now_us, time_us)
        self._settle()

    def advance(self, time_us: int) -> list[Let[Item]]:
        """Let the source's time pass without a packet."""
        out: list[Let[Item]] = []
        if self.bits:
            self.now_us = max(self.now_us, time_us)
            self._drain(out)
            self._settle()
        return out

    def flush(self) -> list[Let[Item]]:
        """Let go of everything that waits, declaring every gap."""
        out: list[Let[Item]] = []
        self._drain(out, all_of_it=True)
        if self._suspect is not None:
            out.append(self._stray(self._suspect))
            self._suspect = None
        self._settle()
        return out

    def restart(self) -> list[Let[Item]]:
        """End the count: let go of everything that waits; the next packet begins another one, whatever its number."""
        out = self.flush()
        self.restarts += self.bits != 0
        self.bits = self.begun = 0
        self._settle()
        return out

    def as_numbers(self) -> tuple[int, ...]:
        """Return the state beside `held` and `suspect`, for a snapshot; `missing`, of `MEMORY` bits, is the last."""
        numbers: tuple[int, ...] = _numbers(self)
        return numbers

    def restore(
        self, numbers: Iterable[int], held: Iterable[Held[Item]], suspect: Held[Item] | None = None
    ) -> "Reorder[Item]":
        """Set the state a snapshot was taken of; return self. Raises ValueError for another count of numbers."""
        for name, number in zip(_NUMBERS, numbers, strict=True):
            setattr(self, name, number)
        self._held = list(held)
        self._size_bytes = sum(packet[2] for packet in self._held)
        self._suspect = suspect
        self._settle()
        return self

    def _settle(self) -> None:
        self.settled = bool(self.begun) and not self._held and self._suspect is None
        self._wire = self.following & (1 << self.bits) - 1

    def _judge(self, packet: Held[Item], bits: int, out: list[Let[Item]]) -> None:
        suspect, self._suspect = self._suspect, None
        if bits != self.bits:
            if suspect is not None:
                out.append(self._stray(suspect))
            self._begin(packet, bits, out)
        elif suspect is None:
            self._take(packet, out)
        elif extend(packet[0], suspect[0], bits) == suspect[0] + 1:
            self._begin(suspect, bits, out)
            self._take(packet, out)
        else:
            out.append(self._stray(suspect))
            self._take(packet, out)

    def _begin(self, packet: Held[Item], bits: int, out: list[Let[Item]]) -> None:
        if self.bits:
            out += self.restart()
        self.bits, self.highest, self.now_us = bits, packet[0], packet[1]
        self._hold(packet, out)

    def _take(self, packet: Held[Item], out: list[Let[Item]]) -> None:
        wire, time_us, size_bytes, item = packet
        number = extend(wire, self.highest, self.bits)
        step = number - self.highest
        ahead_us = time_us - self.now_us
        if (step > 0 and ahead_us < -TOLERANCE_US) or (step <= 0 and ahead_us > TOLERANCE_US):
            self._begin(packet, self.bits, out)
        elif not -limit(MAX_MISORDER, self.bits) < step < limit(MAX_DROPOUT, self.bits) and not self._misses(number):
            self._suspect = packet
        elif self.begun and number < self.following:
            out.append(self._behind(number, packet))
        else:
            self.highest = max(self.highest, number)
            self.now_us = max(self.now_us, time_us)
            self._hold((number, time_us, size_bytes, item), out)

    def _hold(self, packet: Held[Item], out: list[Let[Item]]) -> None:
        held, number = self._held, packet[0]
        at = bisect_left(held, (number,)) if held and held[-1][0] >= number else len(held)
        if at < len(held) and held[at][0] == number:
            self.duplicates += 1
            out.append((Fate.DUPLICATE, 0, packet[3]))
            return
        held.insert(at, packet)
        self._size_bytes += packet[2]
        self._drain(out)

    def _drain(self, out: list[Let[Item]], *, all_of_it: bool = False) -> None:
        """Let go of what goes on, and of what has waited long enough for a gap."""
        self._window.passed(self.now_us)
        held, most = self._held, self._limits
        before_us = self.now_us - self._window.us
        gone = 0
        for number, time_us, size_bytes, item in held:
            if not (
                (number == self.following and self.begun)
                or time_us <= before_us
                or all_of_it
                or len(held) - gone > most.frames
                or self._size_bytes > most.size_bytes
            ):
                break
            out.append(self._let_go(number, item))
            self._size_bytes -= size_bytes
            gone += 1
        del held[:gone]

    def _let_go(self, number: int, item: Item) -> Let[Item]:
        if not self.begun:
            self.begun, self.base, self.missing, self.following = 1, number, 0, number + 1
            return Fate.FIRST, 0, item
        lost = number - self.following
        self.following = number + 1
        if lost:
            self.declared += lost
            self.missing = (self.missing << lost | (1 << lost) - 1) << 1 & _MASK
        elif self.missing:
            self.missing = self.missing << 1 & _MASK
        return Fate.NEXT, lost, item

    def _misses(self, number: int) -> bool:
        """Tell whether a number was declared lost, as far back as is known."""
        back = self.following - 1 - number
        return bool(self.begun and 0 <= back < MEMORY and self.missing >> back & 1)

    def _behind(self, number: int, packet: Held[Item]) -> Let[Item]:
        back = self.following - 1 - number
        if number < self.base:
            known = self.following - 1 - self.base
            self.missing |= (((1 << back) - 1) >> (known + 1) << (known + 1)) & _MASK
            self.base = number
        elif self.missing >> back & 1:
            self.missing ^= 1 << back
        else:
            self.duplicates += 1
            return Fate.DUPLICATE, 0, packet[3]
        self.late += 1
        self._window.late(self.now_us - packet[1], self.now_us)
        return Fate.LATE, 0, packet[3]

    def _stray(self, packet: Held[Item]) -> Let[Item]:
        """A lone jump: a copy of something that is remembered, or nothing that belongs here."""
        number = extend(packet[0], self.highest, self.bits)
        if self.begun and max(self.base, self.following - MEMORY) <= number < self.following:
            self.duplicates += 1
            return Fate.DUPLICATE, 0, packet[3]
        self.strays += 1
        return Fate.STRAY, 0, packet[3]


_NUMBERS: Final = (
    "bits",
    "begun",
    "base",
    "following",
    "highest",
    "now_us",
    "late",
    "duplicates",
    "strays",
    "declared",
    "restarts",
    "missing",
)
_numbers: Final = attrgetter(*_NUMBERS)
