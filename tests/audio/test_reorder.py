import random
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.reorder import MEMORY, NEVER_WRAPS, Fate, Let, Limits, Reorder
from audio.window import AdaptiveWindow, FixedWindow

FRAME_US = 20_000
WINDOW_MS = 100
IN_ORDER = (Fate.FIRST, Fate.NEXT)


class Packet(NamedTuple):
    """A packet under the number it was sent with, before any wrap."""

    sent: int
    time_us: int


def packet(sent: int) -> Packet:
    return Packet(sent, sent * FRAME_US)


def pushed(reorder: Reorder[int], sent: Iterable[int | Packet], bits: int = 16) -> list[Let[int]]:
    out = []
    for one in sent:
        number, time_us = one if isinstance(one, Packet) else packet(one)
        wire = number if bits == NEVER_WRAPS else number % (1 << bits)
        out += reorder.push(wire, bits, time_us, number, 160)
    return out


def let_go(sent: Iterable[int | Packet], bits: int = 16, reorder: Reorder[int] | None = None) -> list[Let[int]]:
    reorder = Reorder() if reorder is None else reorder
    return pushed(reorder, sent, bits) + reorder.flush()


def in_order(out: Iterable[Let[int]]) -> list[int]:
    return [item for fate, _, item in out if fate in IN_ORDER]


def fates(out: Iterable[Let[int]]) -> Counter[str]:
    return Counter(fate.name for fate, _, _ in out)


def told(out: Iterable[Let[int]]) -> list[tuple[str, int, int]]:
    return [(fate.name, lost, item) for fate, lost, item in out]


# --- one after the other


def test_the_first_packet_waits_for_one_before_it():
    reorder: Reorder[int] = Reorder()
    assert [told(pushed(reorder, [number])) for number in range(10, 15)] == [[]] * 5
    assert told(pushed(reorder, [15])) == [("FIRST", 0, 10), *(("NEXT", 0, number) for number in range(11, 16))]
    assert told(pushed(reorder, [16])) == [("NEXT", 0, 16)]
    assert reorder.settled


def test_a_first_packet_that_is_late_comes_first():
    assert in_order(let_go([1, 0, 2, 3])) == [0, 1, 2, 3]


def test_what_is_missing_is_waited_for_and_then_declared():
    reorder: Reorder[int] = Reorder()
    pushed(reorder, range(10))
    assert told(pushed(reorder, [12, 13, 14, 15, 16])) == []
    assert told(pushed(reorder, [17])) == [("NEXT", 2, 12), *(("NEXT", 0, number) for number in range(13, 18))]
    assert reorder.declared == 2


def test_what_comes_in_time_fills_its_gap():
    reorder: Reorder[int] = Reorder()
    pushed(reorder, range(10))
    assert told(pushed(reorder, [11, 12, 10])) == [("NEXT", 0, number) for number in (10, 11, 12)]


def test_what_comes_after_its_gap_was_declared_is_late():
    reorder: Reorder[int] = Reorder()
    pushed(reorder, [*range(10), *range(11, 20)])
    assert told(pushed(reorder, [10])) == [("LATE", 0, 10)]
    assert told(pushed(reorder, [10])) == [("DUPLICATE", 0, 10)]
    assert (reorder.late, reorder.duplicates, reorder.declared) == (1, 1, 1)


def test_a_copy_of_what_came_or_waits_is_a_duplicate():
    reorder: Reorder[int] = Reorder()
    pushed(reorder, range(10))
    assert told(pushed(reorder, [3, 9])) == [("DUPLICATE", 0, 3), ("DUPLICATE", 0, 9)]
    assert told(pushed(reorder, [12, 12])) == [("DUPLICATE", 0, 12)]


def test_one_before_the_first_one_is_late_once_that_was_let_go():
    reorder: Reorder[int] = Reorder()
    pushed(reorder, range(10, 20))
    assert told(pushed(reorder, [8, 8, 9])) == [("LATE", 0, 8), ("DUPLICATE", 0, 8), ("LATE", 0, 9)]


def test_time_may_pass_without_a_packet():
    reorder: Reorder[int] = Reorder()
    pushed(reorder, [*range(10), 11])
    assert told(reorder.advance(15 * FRAME_US)) == []
    assert told(reorder.advance(16 * FRAME_US)) == [("NEXT", 1, 11)]
    assert Reorder().advance(5) == []


def test_a_flush_declares_what_is_missing():
    reorder: Reorder[int] = Reorder()
    pushed(reorder, [*range(10), 11, 14])
    assert told(reorder.flush()) == [("NEXT", 1, 11), ("NEXT", 2, 14)]
    assert told(pushed(reorder, [15])) == [("NEXT", 0, 15)]


# --- restarts


def test_a_jump_that_is_followed_is_a_restart():
    for there in (30_000, 40_000 - 500):
        reorder: Reorder[int] = Reorder()
        pushed(reorder, range(40_000, 40_020))
        start = [Packet(there, 40_020 * FRAME_US), Packet(there + 1, 40_021 * FRAME_US)]
        assert told(pushed(reorder, start)) == []
        assert reorder.restarts == 1
        assert told(reorder.flush()) == [("FIRST", 0, there), ("NEXT", 0, there + 1)]


def test_a_lone_jump_is_a_stray():
    reorder: Reorder[int] = Reorder()
    pushed(reorder, range(20))
    assert told(pushed(reorder, [Packet(9_000, 20 * FRAME_US), 20])) == [("STRAY", 0, 9_000), ("NEXT", 0, 20)]
    assert (reorder.strays, reorder.restarts) == (1, 0)


def test_a_stray_at_the_end_is_let_go_by_a_flush():
    reorder: Reorder[int] = Reorder()
    pushed(reorder, range(20))
    assert told(pushed(reorder, [Packet(9_000, 20 * FRAME_US)])) == []
    assert told(reorder.flush()) == [("STRAY", 0, 9_000)]


def test_a_lone_copy_from_long_ago_is_a_duplicate_and_a_lost_packet_from_long_ago_is_late():
    sent = [number for number in range(500) if number != 100]
    reorder: Reorder[int] = Reorder()
    pushed(reorder, sent)
    assert told(pushed(reorder, [packet(100)])) == [("LATE", 0, 100)]
    assert told(pushed(reorder, [packet(101), 500])) == [("DUPLICATE", 0, 101), ("NEXT", 0, 500)]


def test_another_width_is_a_restart():
    reorder: Reorder[int] = Reorder()
    pushed(reorder, range(250, 270), bits=8)
    out = pushed(reorder, range(270, 280), bits=16) + reorder.flush()
    assert told(out)[0] == ("FIRST", 0, 270)
    assert reorder.restarts == 1


@pytest.mark.parametrize(
    ("number", "time_us"), [(25, 20 * FRAME_US - 11_000_000), (15, 20 * FRAME_US + 11_000_000)], ids=["back", "ahead"]
)
def test_a_time_that_contradicts_the_number_is_a_restart_at_once(number, time_us):
    reorder: Reorder[int] = Reorder()
    pushed(reorder, range(20))
    reorder.push(number, 16, time_us, number)
    assert reorder.restarts == 1
    assert told(reorder.flush()) == [("FIRST", 0, number)]


def test_a_pause_of_the_sender_is_no_restart():
    reorder: Reorder[int] = Reorder()
    pushed(reorder, range(20))
    assert told(pushed(reorder, [Packet(20, 60_000_000)])) == [("NEXT", 0, 20)]
    assert reorder.restarts == 0


def test_a_restart_that_somebody_else_knows_of_lets_go_of_what_waits():
    reorder: Reorder[int] = Reorder()
    pushed(reorder, [*range(10), 11])
    assert told(reorder.restart()) == [("NEXT", 1, 11)]
    assert told(reorder.restart()) == []
    assert reorder.restarts == 1
    pushed(reorder, [12])
    assert told(reorder.flush()) == [("FIRST", 0, 12)]


# --- bounds


def test_no_more_waits_than_the_bounds_allow():
    for limits, most in ((Limits(frames=3), 3), (Limits(size_bytes=500), 3), (Limits(frames=0), 0)):
        reorder: Reorder[int] = Reorder(FixedWindow(10_000), limits)
        out = pushed(reorder, [*range(5), *range(6, 20)])
        assert len(reorder.held) <= most
        assert in_order(out) == [number for number in range(20 - most * (not reorder.begun)) if number != 5]


# --- properties


def shuffled(sent: int, window_us: int, seed: int) -> list[Packet]:
    """Delays below the window: each packet comes before any that is by the window newer."""
    rng = random.Random(seed)
    packets = [packet(number) for number in range(sent)]
    return sorted(packets, key=lambda one: one.time_us + rng.randrange(window_us))


seeds = st.integers(0, 1 << 30)
widths = st.sampled_from([8, 12, 16, 24, 32, NEVER_WRAPS])


@given(seeds, widths, st.integers(0, 200), st.sampled_from([20, 60, 100, 200]), st.integers(0, 1 << 33))
def test_a_permutation_within_the_window_comes_out_sorted_each_once(seed, bits, count, window_ms, start):
    arrivals = [Packet(one.sent + start, one.time_us) for one in shuffled(count, window_ms * 1000, seed)]
    reorder: Reorder[int] = Reorder(FixedWindow(window_ms))
    out = let_go(arrivals, bits, reorder)
    assert [item for _, _, item in out] == list(range(start, start + count))
    assert {lost for _, lost, _ in out} <= {0}
    assert (reorder.late, reorder.duplicates, reorder.strays, reorder.restarts) == (0, 0, 0, 0)


@given(seeds, widths, st.integers(0, 400), st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)), st.integers(1, 400))
def test_packets_are_conserved_whatever_happens_to_them(seed, bits, count, shares, spread_ms):
    lost, copied = shares
    rng = random.Random(seed)
    base = rng.randrange(1 << 20)
    arrivals = []
    for one in map(packet, range(base, base + count)):
        copies = (rng.random() >= lost) + (rng.random() < copied)
        arrivals += [(one.time_us + rng.randrange(spread_ms * 1000), one) for _ in range(copies)]
    arrivals.sort(key=lambda pair: pair[0])
    reorder: Reorder[int] = Reorder()
    out = let_go([one for _, one in arrivals], bits, reorder)
    assert Counter(item for _, _, item in out) == Counter(one.sent for _, one in arrivals)
    found, seen = fates(out), in_order(out)
    assert seen == sorted(set(seen))
    assert (reorder.late, reorder.duplicates) == (found["LATE"], found["DUPLICATE"])
    assert found["DUPLICATE"] == len(arrivals) - len({one.sent for _, one in arrivals})
    assert reorder.declared == (seen[-1] - seen[0] + 1 - len(seen) if seen else 0)


@given(seeds, st.integers(0, 300), st.sampled_from([0, 40, 100]), st.integers(0, 20), st.integers(0, 3000))
def test_the_bounds_are_never_exceeded(seed, count, window_ms, frames, size_bytes):
    rng = random.Random(seed)
    reorder: Reorder[int] = Reorder(FixedWindow(window_ms), Limits(frames, size_bytes))
    arrivals = [packet(number) for number in range(count) if rng.random() < 0.8]
    arrivals.sort(key=lambda one: one.time_us + rng.randrange(400_000))
    for one in arrivals:
        reorder.push(one.sent, 16, one.time_us, one.sent, 160)
        held = reorder.held
        assert len(held) <= frames
        assert sum(size for _, _, size, _ in held) <= size_bytes
        assert not held or held[0][1] > reorder.now_us - window_ms * 1000
        assert [each[0] for each in held] == sorted({each[0] for each in held})


def model(arrivals: list[Packet], window_us: int) -> list[tuple[int, int]]:
    """What is let go in order and how many were declared lost before it, by looking at all of it again each time."""
    waiting: list[Packet] = []
    out: list[tuple[int, int]] = []
    now_us = 0
    for one in arrivals:
        now_us = max(now_us, one.time_us)
        if one in waiting or (out and one.sent <= out[-1][1]):
            continue
        waiting.append(one)
        while waiting:
            first = min(waiting)
            lost = first.sent - out[-1][1] - 1 if out else 0
            if (lost or not out) and first.time_us + window_us > now_us:
                break
            waiting.remove(first)
            out.append((lost, first.sent))
    for first in sorted(waiting):
        out.append((first.sent - out[-1][1] - 1 if out else 0, first.sent))
    return out


@given(seeds, st.integers(0, 200), st.floats(0, 0.4), st.integers(1, 300))
def test_it_does_what_a_model_does_that_sorts_everything_each_time(seed, count, lost, spread_ms):
    rng = random.Random(seed)
    arrivals = [packet(number) for number in range(count) if rng.random() >= lost]
    arrivals += [one for one in arrivals if rng.random() < 0.1]
    arrivals.sort(key=lambda one: one.time_us + rng.randrange(spread_ms * 1000))
    out = let_go(arrivals)
    assert [(lost, item) for fate, lost, item in out if fate in IN_ORDER] == model(arrivals, WINDOW_MS * 1000)


@given(seeds, st.integers(0, 150), st.integers(0, 150))
def test_a_state_goes_on_where_its_snapshot_was_taken(seed, count, at):
    rng = random.Random(seed)
    arrivals = [packet(number) for number in range(count) if rng.random() < 0.8]
    arrivals += [Packet(number + 20_000, number * FRAME_US) for number in range(count, count + 30)]
    arrivals.sort(key=lambda one: one.time_us + rng.randrange(200_000))
    reorder: Reorder[int] = Reorder()
    out = pushed(reorder, arrivals[:at])
    after: Reorder[int] = Reorder()
    after.restore(list(reorder.as_numbers()), reorder.held, reorder.suspect)
    rest = arrivals[at:]
    assert told(pushed(after, rest) + after.flush()) == told(pushed(reorder, rest) + reorder.flush())
    assert after.as_numbers() == reorder.as_numbers()
    assert len(out) <= len(arrivals)


def test_a_snapshot_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="zip"):
        Reorder().restore([1, 2], [])


@given(st.integers(0, 40), st.integers(0, 3 * MEMORY), widths)
def test_packets_in_order_may_be_taken_together(before, packets, bits):
    one_by_one: Reorder[int] = Reorder()
    together: Reorder[int] = Reorder()
    start = [number for number in range(before + 10) if number != 7]
    for reorder in (one_by_one, together):
        pushed(reorder, start, bits)
        reorder.flush()
    end = before + 10 + packets
    pushed(one_by_one, range(before + 10, end), bits)
    if packets:
        together.skip(packets, (end - 1) * FRAME_US)
    assert together.as_numbers() == one_by_one.as_numbers()
    assert together.settled


def test_a_late_packet_makes_those_who_listen_wait_longer_but_a_lost_one_does_not():
    window = AdaptiveWindow()
    reorder: Reorder[int] = Reorder(window)
    pushed(reorder, [number for number in range(100) if number % 10])
    assert (reorder.declared, window.us) == (9, 50_000)
    pushed(reorder, [101, 102, 103, 104, 100])
    assert (reorder.late, window.us) == (1, 90_000)
    assert told(pushed(reorder, [106, 107, 108, 109, 105])) == [("NEXT", 0, number) for number in range(105, 110)]
