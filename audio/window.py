"""How long to wait for a packet that is missing. All times in microseconds of the source's own clock."""

from typing import Final, Protocol

DEFAULT_MS: Final = 100
LEAST_MS: Final = 50
MOST_MS: Final = 100
_STEP_US: Final = 10_000
_CALM_US: Final = 10_000_000


class Window(Protocol):
    """What `Reorder` asks for its patience and tells about packets that came too late for it."""

    us: int
    """A gap is declared once the source's time has passed so far beyond the packet behind the gap."""

    def late(self, needed_us: int, now_us: int) -> None:
        """Take a packet that a window of more than `needed_us` would have caught."""

    def passed(self, now_us: int) -> None:
        """Take that the source's time has come to here."""


class FixedWindow:
    """A window that never changes: same packets, same decisions. For processors."""

    __slots__ = ("us",)

    def __init__(self, ms: int = DEFAULT_MS) -> None:
        self.us = ms * 1000

    def late(self, needed_us: int, now_us: int) -> None:
        """Change nothing."""

    def passed(self, now_us: int) -> None:
        """Change nothing."""


class AdaptiveWindow:
    """A window between two limits for those who listen live: as short as what comes late allows.

    It rises at once to what a late packet would have needed, in steps of 10 ms, and falls by a step for each 10 s
    without one. What is lost does not raise it, for waiting brings nothing back that never comes; nor does what is late
    beyond the upper limit, which no window that is allowed would have caught.
    """

    __slots__ = ("_calm_since_us", "_least_us", "_most_us", "us")

    def __init__(self, least_ms: int = LEAST_MS, most_ms: int = MOST_MS) -> None:
        """Raises ValueError where the limits are no window."""
        if not 0 <= least_ms <= most_ms:
            message = f"no window from {least_ms} to {most_ms} ms"
            raise ValueError(message)
        self._least_us = least_ms * 1000
        self._most_us = most_ms * 1000
        self._calm_since_us: int | None = None
        self.us = self._least_us

    def late(self, needed_us: int, now_us: int) -> None:
        """Wait longer from now on, if a longer wait is allowed and would have helped."""
        if needed_us < self._most_us:
            steps = needed_us // _STEP_US + 1
            self.us = min(self._most_us, max(self.us, steps * _STEP_US))
            self._calm_since_us = now_us

    def passed(self, now_us: int) -> None:
        """Wait less after a while without late packets."""
        since_us = self._calm_since_us
        if since_us is None or now_us < since_us:
            self._calm_since_us = now_us
            return
        steps = (now_us - since_us) // _CALM_US
        if steps:
            self.us = max(self._least_us, self.us - steps * _STEP_US)
            self._calm_since_us = since_us + steps * _CALM_US
