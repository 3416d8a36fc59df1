import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.numbers import NEVER_WRAPS
from processors.loss.numbering import MEMORY, Numbering


def counted(numbers, bits: int = 16) -> Numbering:
    numbering = Numbering()
    for number in numbers:
        numbering.take(number if bits == NEVER_WRAPS else number % 2**bits, bits)
    numbering.settle()
    return numbering


def numbers_of(numbering: Numbering) -> tuple[int, ...]:
    """Expected, received, unique, duplicates, reordered, lost, restarts."""
    n = numbering
    return (n.expected, n.received, n.unique, n.duplicates, n.reordered, n.lost, n.restarts)


CASES = {
    "nothing happens": (range(10), (10, 10, 10, 0, 0, 0, 0)),
    "two are lost": ([0, 1, 4, 5], (6, 4, 4, 0, 0, 2, 0)),
    "one comes twice": ([0, 1, 1, 2], (3, 4, 3, 1, 0, 0, 0)),
    "a duplicate hides no loss": ([0, 1, 1, 3], (4, 4, 3, 1, 0, 1, 0)),
    "two are swapped": ([0, 2, 1, 3], (4, 4, 4, 0, 1, 0, 0)),
    "a late one comes twice": ([0, 2, 1, 1, 3], (4, 5, 4, 1, 1, 0, 0)),
    "the first one comes late": ([1, 2, 0, 3], (4, 4, 4, 0, 1, 0, 0)),
    "the first one is late and another is lost": ([3, 4, 1], (4, 3, 3, 0, 1, 1, 0)),
    "it joins late": (range(40_000, 40_005), (5, 5, 5, 0, 0, 0, 0)),
    "it wraps": (range(65_530, 65_550), (20, 20, 20, 0, 0, 0, 0)),
    "it is out of order over the wrap": ([65_534, 65_536, 65_535, 65_537], (4, 4, 4, 0, 1, 0, 0)),
    "the first one was before the wrap": ([65_536, 65_535, 65_537], (3, 3, 3, 0, 1, 0, 0)),
    "it wraps three times and loses one each time": (
        [number for number in range(65_530, 4 * 65_536) if number % 65_536 != 9],
        (4 * 65_536 - 65_530, 4 * 65_536 - 65_533, 4 * 65_536 - 65_533, 0, 0, 3, 0),
    ),
    "it restarts": ([*range(2000, 2010), *range(5)], (15, 15, 15, 0, 0, 0, 1)),
    "it restarts far ahead": ([*range(10), *range(30_000, 30_005)], (15, 15, 15, 0, 0, 0, 1)),
    "it restarts and both segments lose one": ([0, 2, 9000, 9001, 9003], (3 + 4, 5, 5, 0, 0, 2, 1)),
    "a lone jump counts nowhere": ([0, 1, 30_000, 2, 3], (4, 4, 4, 0, 0, 0, 0)),
    "a lone jump to before the first one counts nowhere": ([5000, 5001, 3000, 5002], (3, 3, 3, 0, 0, 0, 0)),
    "a very late one still fills its place": (
        [number for number in range(300) if number != 20] + [20, 300],
        (301, 301, 301, 0, 1, 0, 0),
    ),
    "a very late copy is a duplicate": ([*range(300), 20, 300], (301, 302, 301, 1, 0, 0, 0)),
}


@pytest.mark.parametrize("name", CASES)
def test_counts_are_right_when(name):
    numbers, expected = CASES[name]
    assert numbers_of(counted(numbers)) == expected


def test_a_lone_jump_that_was_followed_by_no_second_one_is_not_taken_for_a_restart_later():
    numbering = counted([0, 1, 30_000, 2, 30_001, 3])
    assert (numbering.restarts, numbering.lost) == (0, 0)


@pytest.mark.parametrize("bits", [8, 12, 16, 24, 32, NEVER_WRAPS])
def test_any_width_wraps_rightly(bits):
    start = 5 if bits == NEVER_WRAPS else 2**bits - 5
    numbers = [number for number in range(start, start + 700) if number % 50 != 3]
    n = counted(numbers, bits)
    assert (n.expected, n.unique, n.duplicates, n.restarts) == (numbers[-1] - numbers[0] + 1, len(numbers), 0, 0)


def test_a_number_that_never_wraps_may_start_again():
    assert numbers_of(counted([2**40, 2**40 + 1, 5, 6], NEVER_WRAPS)) == (4, 4, 4, 0, 0, 0, 1)


def test_the_memory_is_bounded():
    numbering = counted(range(0, 200_000, 2))
    assert len(numbering.missing) <= MEMORY
    assert numbering.lost == 99_999


def test_what_is_cut_is_not_expected_and_no_restart():
    numbering = counted([0, 1])
    numbering.cut()
    for number in (50, 52):
        numbering.take(number, 16)
    assert numbers_of(numbering) == (2 + 3, 4, 4, 0, 0, 1, 0)


def test_another_width_is_a_restart():
    numbering = counted([7, 8])
    numbering.take(9, 32)
    assert numbers_of(numbering) == (3, 3, 3, 0, 0, 0, 1)


@given(seed=st.integers(0, 2**32 - 1), start=st.integers(0, 2**16 - 1), width=st.integers(0, 40))
def test_disorder_within_the_window_changes_neither_loss_nor_duplicates(seed, start, width):
    dice = random.Random(seed)
    kept = [start + number for number in range(600) if dice.random() > 0.05]
    kept += dice.sample(kept, 20)
    in_order = sorted(kept)
    shuffled = sorted(kept, key=lambda number: number + dice.uniform(0, width))
    plain, mixed = counted(in_order), counted(shuffled)
    assert numbers_of(mixed)[:4] == numbers_of(plain)[:4]
    assert mixed.expected == in_order[-1] - in_order[0] + 1
    assert (plain.lost, plain.duplicates) == (plain.expected - len(set(kept)), 20)
    assert mixed.lost == plain.lost
    assert mixed.extent <= width + 1
