"""What it costs to put a stream's packets in order, against a sorted heap in the same run.

2 % of the packets are lost, 1 % come twice, 2 % are delayed by up to 60 ms; once more with nothing of that. The heap
does no more than sort within the same window: it knows no wrap, no late packet, no bound. Both must let go of the same
packets. `./dev bench reorder [frames] [rounds]`.
"""

import random
import sys
from collections.abc import Callable
from heapq import heappop, heappush

from audio.reorder import Fate, Reorder
from audio.window import DEFAULT_MS
from benchmarks.rig import result
from runtime.clock import SystemClock

_FRAME_US = 20_000
_BITS = 16
_WIDTH = 1 << _BITS
_BYTES = 160
_ROW = (0, 0)
"""What stands for a packet: as cheap as anything."""
_clock = SystemClock()

Arrivals = list[tuple[int, int]]
"""Extended number and time of each packet, in order of arrival."""


def arrivals(frames: int, *, disorder: bool) -> Arrivals:
    """Return a stream as it arrives."""
    chance = random.Random(1)
    found = []
    for number in range(frames):
        at_us = number * _FRAME_US
        if not disorder:
            found.append((at_us, number))
            continue
        copies = (chance.random() >= 0.02) + (chance.random() < 0.01)
        delay_us = chance.randrange(60_000) if chance.random() < 0.02 else 0
        found += [(at_us + delay_us + copy * 5_000, number) for copy in range(copies)]
    return [(number, number * _FRAME_US) for _, number in sorted(found)]


def ours(packets: Arrivals) -> int:
    """Return how many packets `Reorder` let go of in order."""
    push = (reorder := Reorder()).push
    out = 0
    for number, time_us in packets:
        for fate, _, _ in push(number % _WIDTH, _BITS, time_us, _ROW, _BYTES):
            out += fate <= Fate.FIRST
    return out + len(reorder.flush())


def heap(packets: Arrivals) -> int:
    """Return how many packets a heap let go of in order."""
    window_us = DEFAULT_MS * 1000
    waiting: list[tuple[int, int, tuple[int, int]]] = []
    following, now_us, out = -1, 0, 0
    for number, time_us in packets:
        if number < following:
            continue
        heappush(waiting, (number, time_us, _ROW))
        now_us = max(now_us, time_us)
        while waiting and (waiting[0][0] <= following or waiting[0][1] <= now_us - window_us):
            first = heappop(waiting)
            if first[0] >= following:
                following = first[0] + 1
                out += 1
    return out + len({number for number, _, _ in waiting if number >= following})


def main(frames: int, rounds: int) -> None:
    """Take the best round of each."""
    best: dict[str, float] = {}
    for disorder in (True, False):
        packets = arrivals(frames, disorder=disorder)
        let_go = set()
        for _ in range(rounds):
            for name, how in (("", ours), ("heap_", heap)):
                us, count = _timed(how, packets)
                let_go.add(count)
                key = f"{name}us_per_frame" if disorder else f"in_order_{name}us_per_frame"
                best[key] = min(best.get(key, us), us)
        if len(let_go) > 1:
            message = f"they let go of different packets: {let_go}"
            raise AssertionError(message)
    result("reorder", **best, ratio=best["us_per_frame"] / best["heap_us_per_frame"])


def _timed(how: Callable[[Arrivals], int], packets: Arrivals) -> tuple[float, int]:
    began_s = _clock.monotonic_s()
    count = how(packets)
    return (_clock.monotonic_s() - began_s) * 1e6 / len(packets), count


if __name__ == "__main__":
    numbers = [int(value) for value in sys.argv[1:]]
    main(*(numbers + [100_000, 3][len(numbers) :]))
