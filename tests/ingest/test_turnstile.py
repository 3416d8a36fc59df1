import asyncio
import threading
from functools import partial

import pytest

from ingest.later import Later
from ingest.turnstile import Turnstile
from runtime.clock import ManualClock


async def test_so_many_enter_at_each_turn_in_the_order_they_came():
    turnstile, entered = Turnstile(2), []
    for number in range(5):
        turnstile.wait(partial(entered.append, number))
    counts = []
    for _ in range(4):
        counts.append(len(entered))
        await asyncio.sleep(0)
    assert counts == [0, 2, 4, 5]
    assert entered == [0, 1, 2, 3, 4]


async def test_who_comes_when_all_are_in_waits_for_the_next_turn():
    turnstile, entered = Turnstile(2), []
    turnstile.wait(partial(entered.append, 0))
    await asyncio.sleep(0)
    turnstile.wait(partial(entered.append, 1))
    assert entered == [0]
    await asyncio.sleep(0)
    assert entered == [0, 1]


async def test_after_a_long_turn_as_many_more_enter_as_came_due_in_it():
    turnstile, entered = Turnstile(1, per_s=1000), []

    def enter(number: int) -> None:
        entered.append(number)
        if number == 1:
            threading.Event().wait(0.02)

    for number in range(100):
        turnstile.wait(partial(enter, number))
    while not entered:
        await asyncio.sleep(0)
    while len(entered) < 10:
        before = len(entered)
        await asyncio.sleep(0)
    assert len(entered) - before > 10
    assert entered == list(range(len(entered)))


@pytest.mark.parametrize("queue", [lambda: Turnstile(1), lambda: Later(ManualClock())], ids=["turnstile", "later"])
async def test_who_fails_keeps_nobody_waiting(queue):
    errors, entered = [], []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))
    line = queue()

    def fail() -> None:
        raise ValueError("injected")

    line.wait(fail)
    line.wait(partial(entered.append, 1))
    for _ in range(3):
        await asyncio.sleep(0)
    line.wait(partial(entered.append, 2))
    for _ in range(3):
        await asyncio.sleep(0)
    assert [str(error) for error in errors] == ["injected"]
    assert entered == [1, 2]
