"""Same records in, same records out: whatever the polls, the neighbours and the restarts."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.symbols import Channels, FrameKind, Reason
from tests.processors.driving import (
    assert_any_polls_are_the_same,
    assert_neighbours_change_nothing,
    assert_restarts_change_nothing,
    interleaved,
)
from tests.processors.loss.calls import Call, Run

MARKS = (FrameKind.PAUSED, FrameKind.RESUMED, FrameKind.DISCARDED, FrameKind.GAP, FrameKind.UNKNOWN)
REASONS = (Reason.UNKNOWN, Reason.RECONNECT, Reason.SECURE_PAUSE, Reason.OVERFLOW, Reason.RESTART)


def talk(dice: random.Random, call: Call) -> None:
    call.say(dice.choice((0.02, 0.5, 3, 11)), dice.choice((160, 161, 1600)))


def packets(dice: random.Random, call: Call) -> None:
    """A burst of packets with losses, duplicates and disorder, now and then after a jump of the numbers."""
    first = call.next_number + dice.choice((0, 0, 0, 1, 20_000))
    numbers = [first + number for number in range(dice.randint(1, 60)) if dice.random() > 0.1] * dice.choice((1, 1, 2))
    place = call.position // 160
    side = dice.choice((Channels.EXTERNAL, Channels.INTERNAL, Channels.EXTERNAL_INTERNAL))
    stream = dice.choice((7, 8, -1))
    for number in sorted(numbers, key=lambda number: number + dice.uniform(0, 4)):
        at = place + number - first
        call.packet(number % 65_536, at, bits=dice.choice((16,) * 50 + (8,)), channels=side, stream=stream)
    call.next_number = first + 60


def jump(dice: random.Random, call: Call) -> None:
    call.position = max(0, call.position + dice.choice((-5000, -160, 160, 2400, 40_000, 900_000)))


def stall(dice: random.Random, call: Call) -> None:
    call.late_s = dice.choice((0, 0.15, 0.5, 2))


def lose(dice: random.Random, call: Call) -> None:
    call.sequence += dice.randint(1, 3)


def inform(dice: random.Random, call: Call) -> None:
    call.open(agent=dice.choice("abc"), queue="q")


def repeat(dice: random.Random, call: Call) -> None:
    if call.frames:
        call.frames.extend(call.frames[-dice.randint(1, len(call.frames)) :])


def mark(dice: random.Random, call: Call) -> None:
    call.mark(dice.choice(MARKS), dice.choice((-1, 0, 0.01, 0.3, 6, 90)), dice.choice(REASONS))


def alive(dice: random.Random, call: Call) -> None:
    call.state_position(FrameKind.ALIVE, call.position + dice.choice((0, 80, -160)))


def change(dice: random.Random, call: Call) -> None:
    call.fields["sample_rate_hz"] = dice.choice((8000, 16_000))


ACTIONS = (*[talk] * 6, *[packets] * 6, jump, stall, lose, inform, repeat, mark, mark, mark, alive, change)


def random_call(dice: random.Random, number: int) -> Call:
    call = Call(number)
    if dice.random() < 0.7:
        call.open(organisation="o")
    for _ in range(dice.randint(1, 12)):
        dice.choice(ACTIONS)(dice, call)
    if dice.random() < 0.5:
        call.close(reason=dice.choice((Reason.END, Reason.IDLE)))
        if dice.random() < 0.3:
            call.say(1)
    return call


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), poll=st.integers(1, 60), calls=st.integers(1, 4))
def test_outputs_and_state_do_not_depend_on_the_polls(seed, poll, calls):
    dice = random.Random(seed)
    log = interleaved(dice, [random_call(dice, number) for number in range(calls)])
    assert_any_polls_are_the_same(Run, log, poll)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), poll=st.integers(1, 200))
def test_it_does_not_matter_which_rows_are_stepped_together(seed, poll):
    dice = random.Random(seed)
    log = interleaved(dice, [random_call(dice, number) for number in range(5)])
    together, alone = Run(min_round=1).feed(log, poll), Run(min_round=10_000).feed(log, poll)
    assert together.found == alone.found
    assert together.processor.snapshot(together.state) == alone.processor.snapshot(alone.state)


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**32 - 1), poll=st.integers(1, 200))
def test_a_session_does_not_depend_on_its_neighbours(seed, poll):
    dice = random.Random(seed)
    calls = [random_call(dice, number) for number in range(4)]
    assert_neighbours_change_nothing(Run, calls, seed, poll)


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**32 - 1), poll=st.integers(1, 100))
def test_a_restart_between_any_two_polls_changes_nothing(seed, poll):
    dice = random.Random(seed)
    log = interleaved(dice, [random_call(dice, number) for number in range(3)])
    assert_restarts_change_nothing(Run, log, poll)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_number_is_what_it_cannot_be(seed):
    dice = random.Random(seed)
    log = interleaved(dice, [random_call(dice, number) for number in range(3)])
    found = Run().feed(log)
    emitted = [record for _, record in found.found] + found.expire(2**40)
    assert emitted
    for record in emitted:
        if record.frames < 0:
            continue
        assert record.start_samples <= record.end_samples
        assert 0 <= record.lost <= max(record.expected, record.cumulative_expected)
        assert -1 <= record.loss_ratio <= 1
        assert 0 <= record.cumulative_lost <= record.cumulative_expected
        assert record.longest_gap_ms <= 10**7
