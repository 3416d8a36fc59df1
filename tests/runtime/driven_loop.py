"""An event loop whose time does not pass by itself: when nothing is left to do it steps to the next timer.

Sockets are real (loopback), time is not: ten minutes of pings take as long as the work in them.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_IN_FLIGHT_S = 0.002
"""What was sent over loopback has arrived after so long in real time; only then may time step."""

_TURN_S = 1e-9
"""What one turn of the loop takes: a timer that comes too early by a rounding error is not too early for ever."""


class _Stepping(selectors.DefaultSelector):
    """Waits for sockets in real time, but for timers not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(timeout if timeout is None else min(timeout, _IN_FLIGHT_S))
        if not found and timeout is not None:
            self.now_s += max(timeout, 0.0) + _TURN_S
        return found


class DrivenLoop(asyncio.SelectorEventLoop):
    """The loop. Nothing in it may wait for a thread: time would run away meanwhile."""

    def __init__(self) -> None:
        self._stepping = _Stepping()
        super().__init__(self._stepping)

    def time(self) -> float:
        """Return the time that was stepped to, in seconds since the loop was made."""
        return self._stepping.now_s


class LoopClock:
    """The clock of the running loop."""

    def wall_s(self) -> float:
        """Return seconds since the epoch, as if it had begun long ago."""
        return 1_700_000_000.0 + self.monotonic_s()

    def monotonic_s(self) -> float:
        """Return seconds since the loop was made."""
        return asyncio.get_running_loop().time()


def driven(work: Coroutine[Any, Any, T]) -> T:
    """Run something to its end on a loop of its own, and return its outcome."""
    with asyncio.Runner(loop_factory=DrivenLoop) as runner:
        return runner.run(work)
