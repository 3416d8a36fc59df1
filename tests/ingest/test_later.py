import asyncio
from functools import partial

from ingest.later import Later
from runtime.clock import ManualClock


async def test_those_who_wait_act_in_the_order_they_came_for_a_slice_of_each_turn():
    clock, acted, counts = ManualClock(), [], []
    later = Later(clock)

    def act(number: int) -> None:
        acted.append(number)
        clock.advance(0.0005)

    for number in range(10):
        later.wait(partial(act, number))
    assert acted == []
    for _ in range(4):
        await asyncio.sleep(0)
        counts.append(len(acted))
    assert counts == [4, 8, 10, 10]
    assert acted == list(range(10))


async def test_one_acts_at_each_turn_however_long_that_takes():
    clock, acted = ManualClock(), []
    later = Later(clock)
    for number in range(3):
        later.wait(lambda number=number: (acted.append(number), clock.advance(1.0)))
    await asyncio.sleep(0)
    assert acted == [0]
    await asyncio.sleep(0)
    assert acted == [0, 1]


async def test_who_comes_while_others_act_waits_behind_them():
    acted = []
    later = Later(ManualClock())
    later.wait(lambda: (acted.append("first"), later.wait(partial(acted.append, "third"))))
    later.wait(partial(acted.append, "second"))
    for _ in range(3):
        await asyncio.sleep(0)
    assert acted == ["first", "second", "third"]


async def test_it_is_full_where_a_thousand_wait_and_has_room_again_behind_them():
    later = Later(ManualClock())
    for number in range(1000):
        assert not later.full, number
        later.wait(lambda: None)
    assert later.full
    await asyncio.sleep(0)
    assert not later.full
