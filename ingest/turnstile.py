"""A few at each turn of the loop: a crowd that comes at once does not keep those who are in waiting."""

import asyncio
from collections import deque
from collections.abc import Callable


class Turnstile:
    """Calls back everyone who waits, in order, `per_turn` of them at each turn of the running loop."""

    def __init__(self, per_turn: int) -> None:
        self._per_turn = per_turn
        self._waiting: deque[Callable[[], None]] = deque()

    def wait(self, enter: Callable[[], None]) -> None:
        """Let `enter` be called when its turn comes, never at once."""
        self._waiting.append(enter)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        for _ in range(min(self._per_turn, len(self._waiting))):
            self._waiting.popleft()()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
