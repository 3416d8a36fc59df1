import asyncio

from processors.cognigy.pace import Pace


async def test_a_burst_leaves_at_once_and_then_the_rate_holds():
    loop = asyncio.get_running_loop()
    pace = Pace(50, 5)
    started_s = loop.time()
    assert [await pace.wait(10) for _ in range(5)] == [True] * 5
    burst_s = loop.time() - started_s
    assert [await pace.wait(10) for _ in range(5)] == [True] * 5
    assert loop.time() - started_s - burst_s >= 0.05


async def test_who_would_wait_too_long_does_not_wait_and_takes_nobody_s_place():
    pace = Pace(5, 1)
    assert await pace.wait(1)
    assert not await pace.wait(0.01)
    assert not await pace.wait(0.01)
    assert await pace.wait(5)


async def test_an_input_that_is_too_old_takes_nothing():
    pace = Pace(0.01, 1)
    assert not await pace.wait(0)
    assert not await pace.wait(-1)
    assert await pace.wait(1)
