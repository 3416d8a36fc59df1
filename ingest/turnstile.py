"""A few at each turn of the loop: a crowd that comes at once does not keep those who are in waiting."""

import asyncio
from collections import deque
from collections.abc import Callable


class Turnstile:
    """Calls back everyone who waits, in order, `per_turn` of them at each turn of the running loop.

    After a turn that was long as many more as make `per_s`: where the turns are long because those who are in keep the
    loop busy, those who wait would otherwise wait ever longer.
    """

    def __init__(self, per_turn: int, per_s: float = 0.0) -> None:
        self._per_turn = per_turn
        self._per_s = per_s
        self._waiting: deque[Callable[[], None]] = deque()
        self._turned_s = 0.0

    def wait(self, enter: Callable[[], None]) -> None:
        """Let `enter` be called when its turn comes, never at once."""
        self._waiting.append(enter)
        if len(self._waiting) == 1:
            loop = asyncio.get_running_loop()
            self._turned_s = loop.time()
            loop.call_soon(self._turn)

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        before_s, self._turned_s = self._turned_s, loop.time()
        due = max(self._per_turn, int((self._turned_s - before_s) * self._per_s))
        for _ in range(min(due, len(self._waiting))):
            self._waiting.popleft()()
        if self._waiting:
            loop.call_soon(self._turn)
