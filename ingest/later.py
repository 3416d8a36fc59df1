"""Audio that was read waits for what is more urgent: the requests, pings and ends of all others."""

from collections.abc import Callable

from ingest.turnstile import Line
from runtime.clock import Clock

_SLICE_S = 0.002
"""How long those who wait may take at a turn of the loop."""
_MANY = 1_000
_MOST_BYTES = 8_192


class Later(Line):
    """Lets those who wait act for a slice of each turn.

    An answer is then late by the reading of the others' audio, and not by the way of that audio into the outlet, which
    takes longer. The slice is short, for at each turn those who came meanwhile are answered.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    @property
    def full(self) -> bool:
        """True where so many wait that whoever comes had better act at once, so that less is read."""
        return len(self._waiting) >= _MANY

    def _let_in(self) -> None:
        until_s = self._clock.monotonic_s() + _SLICE_S
        while self._waiting:
            self._waiting.popleft()()
            if self._clock.monotonic_s() >= until_s:
                break


class Unheard:
    """Audio one connection has read, in bounds. Whoever takes what came behind it takes this first."""

    def __init__(self) -> None:
        self._messages: list[bytes] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, message: bytes, later: Later, catch_up: Callable[[], None]) -> bool:
        """Keep a message until `later` calls `catch_up`; False where that is due now: too many wait, or too much."""
        if not self._messages and not later.full:
            later.wait(catch_up)
            waits = True
        else:
            waits = bool(self._messages)
        self._messages.append(message)
        self._bytes += len(message)
        return waits and self._bytes < _MOST_BYTES

    def taken(self) -> list[bytes]:
        """Return what waits, in order, and keep it no longer."""
        messages, self._messages, self._bytes = self._messages, [], 0
        return messages
