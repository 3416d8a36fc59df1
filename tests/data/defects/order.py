"""Ways to put packets in order that are wrong.

The interface: `take(sequence, timestamp, now_s)` returns what goes on because of it, `settle(now_s)` what still waited;
both as `Out`, in the order in which it goes on. Timestamps count samples of 8 kHz in 32 bits, a packet is 160 of them.
"""

from typing import NamedTuple

WINDOW_S = 0.05
_WRAP = 1 << 32


class Out(NamedTuple):
    """A packet that goes on: its number, its place in samples from the first one, whether it is known to be late."""

    sequence: int
    position: int
    late: bool


class Buffer:
    """Holds a packet for the window, then lets it go, once and in order; what comes after its successor is late."""

    def __init__(self) -> None:
        self.waiting: list[tuple[int, int, float]] = []
        self.first: int | None = None
        self.newest = -1

    def take(self, sequence: int, timestamp: int, now_s: float) -> list[Out]:
        """Take a packet."""
        out = self.due(now_s)
        self.waiting.append((self.place(timestamp), sequence, now_s))
        self.waiting.sort()
        return out

    def settle(self, now_s: float) -> list[Out]:
        """Let go what is due."""
        return self.due(now_s)

    def place(self, timestamp: int) -> int:
        """Return the place of a timestamp, by the shorter way round."""
        self.first = timestamp if self.first is None else self.first
        return (timestamp - self.first + _WRAP // 2) % _WRAP - _WRAP // 2

    def due(self, now_s: float) -> list[Out]:
        """Return what has waited for the window, and what stands before that."""
        ripe = [index for index, (_, _, at_s) in enumerate(self.waiting) if now_s - at_s >= WINDOW_S]
        count = ripe[-1] + 1 if ripe else 0
        going, self.waiting = self.waiting[:count], self.waiting[count:]
        return [self.out(place, sequence) for place, sequence, _ in going]

    def out(self, place: int, sequence: int) -> Out:
        """Return a packet as it goes on."""
        late, self.newest = place < self.newest, max(self.newest, place)
        return Out(sequence, place, late)


class ReleasesAndKeeps(Buffer):
    """C1: every packet goes on at once, and again with each one that comes while it is fresh; none is late."""

    def take(self, sequence: int, timestamp: int, now_s: float) -> list[Out]:
        """Take a packet; return all that is fresh."""
        self.waiting = [each for each in self.waiting if now_s - each[2] <= WINDOW_S]
        self.waiting = sorted([*self.waiting, (self.place(timestamp), sequence, now_s)])
        return [Out(sequence, place, False) for place, sequence, _ in self.waiting]

    def settle(self, now_s: float) -> list[Out]:
        """Return nothing: what is old is forgotten."""
        return []


class ForgetsWhatIsOld(Buffer):
    """C2: a packet that has waited for the window is thrown away, whether or not it went on."""

    def due(self, now_s: float) -> list[Out]:
        """Return what goes on next after what went on; forget what is old."""
        going = []
        self.waiting = [each for each in self.waiting if now_s - each[2] <= WINDOW_S]
        while self.waiting and self.waiting[0][0] in (0, self.newest + 160):
            place, sequence, _ = self.waiting.pop(0)
            going.append(self.out(place, sequence))
        return going


class SortsByTheBareTimestamp(Buffer):
    """C3: behind the wrap everything is smaller than what was before it."""

    def place(self, timestamp: int) -> int:
        """Return the difference."""
        self.first = timestamp if self.first is None else self.first
        return timestamp - self.first
