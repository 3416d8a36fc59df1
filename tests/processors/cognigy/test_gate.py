"""What passes the gate must be answered for, however its waiting ends."""

import asyncio

import pytest

from processors.cognigy.breaker import Patience
from processors.cognigy.events import Outcome, Verdict
from processors.cognigy.gate import Gate
from processors.cognigy.pace import Pace
from runtime.clock import ManualClock
from runtime.log import get_logger

DOWN = Verdict(Outcome.UNSENT, "unreachable")


class Queue(Pace):
    """A pace whose callers wait until somebody lets them go, or is cancelled."""

    def __init__(self) -> None:
        super().__init__(1, 1)
        self.waiting = 0
        self.open = asyncio.Event()

    async def wait(self, longest_s: float) -> bool:
        self.waiting += 1
        await self.open.wait()
        return longest_s > 0


def left_s() -> float:
    return 100.0


async def test_a_probe_that_is_cancelled_while_it_waits_its_turn_leaves_its_place_to_the_next() -> None:
    clock, queue = ManualClock(), Queue()
    gate = Gate(queue, clock, get_logger("test"), Patience(failures=1, first_rest_s=1.0), draw=lambda: 1.0)
    gate.judged(DOWN)
    clock.advance(2.0)
    assert gate.outage is not None
    async with asyncio.TaskGroup() as tasks:
        probe = tasks.create_task(gate.passes(left_s))
        while not queue.waiting:
            await asyncio.sleep(0)
        probe.cancel()
    queue.open.set()
    async with asyncio.timeout(30):
        assert await gate.passes(left_s)


async def test_a_pace_that_breaks_leaves_its_place_to_the_next_too() -> None:
    class Broken(Pace):
        async def wait(self, longest_s: float) -> bool:
            raise RuntimeError(longest_s)

    clock = ManualClock()
    broken = Broken(1, 1)
    gate = Gate(broken, clock, get_logger("test"), Patience(failures=1, first_rest_s=1.0), draw=lambda: 1.0)
    gate.judged(DOWN)
    clock.advance(2.0)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            async with asyncio.timeout(30):
                await gate.passes(left_s)
