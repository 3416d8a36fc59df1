"""A few at each turn of the loop: a crowd that comes at once does not keep those who are in waiting."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable


class Line(ABC):
    """Calls back everyone who waits, in order, some at each turn of the running loop. Who fails holds up nobody."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._called = False

    def wait(self, enter: Callable[[], None]) -> None:
        """Let `enter` be called when its turn comes, never at once."""
        self._waiting.append(enter)
        self._call()

    @abstractmethod
    def _let_in(self) -> None:
        """Take those who are due from the front of those who wait, and call them."""

    def _call(self) -> None:
        if self._waiting and not self._called:
            self._called = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._called = False
        try:
            self._let_in()
        finally:
            self._call()


class Turnstile(Line):
    """Lets `per_turn` enter at each turn.

    After a turn that was long as many more as make `per_s`: where the turns are long because those who are in keep the
    loop busy, those who wait would otherwise wait ever longer.
    """

    def __init__(self, per_turn: int, per_s: float = 0.0) -> None:
        super().__init__()
        self._per_turn = per_turn
        self._per_s = per_s
        self._turned_s = 0.0

    def wait(self, enter: Callable[[], None]) -> None:
        """Let `enter` be called when its turn comes, never at once."""
        if not self._waiting:
            self._turned_s = asyncio.get_running_loop().time()
        super().wait(enter)

    def _let_in(self) -> None:
        before_s, self._turned_s = self._turned_s, asyncio.get_running_loop().time()
        due = max(self._per_turn, int((self._turned_s - before_s) * self._per_s))
        for _ in range(min(due, len(self._waiting))):
            self._waiting.popleft()()
