"""The only module that reads time. What decides gets the time as an argument; shells take a `Clock`."""

import time
from typing import Protocol


class Clock(Protocol):
    """Real or manual time."""

    def wall_s(self) -> float:
        """Return seconds since the epoch; may step."""

    def monotonic_s(self) -> float:
        """Return seconds since an unknown start; never steps back."""


class SystemClock:
    """The machine's time."""

    def wall_s(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    def monotonic_s(self) -> float:
        """Return seconds since an unknown start."""
        return time.monotonic()


class ManualClock:
    """Time that moves only when told to."""

    def __init__(self, wall_s: float = 1_700_000_000.0) -> None:
        self._wall_s = wall_s
        self._monotonic_s = 0.0

    def wall_s(self) -> float:
        """Return seconds since the epoch."""
        return self._wall_s

    def monotonic_s(self) -> float:
        """Return seconds since this clock was made."""
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Move both times on."""
        self._wall_s += seconds
        self._monotonic_s += seconds
