"""Whether records pile up so far that sources should send no audio for a while, and who can act on it."""

from collections.abc import Callable

from runtime.metrics import INGEST_SOURCES_PAUSED

Act = Callable[[bool], None]


class Pressure:
    """Tells those who joined when it begins and ends; who joins while it is on is told at once."""

    def __init__(self) -> None:
        self._on = False
        self._acting: set[Act] = set()

    def join(self, act: Act) -> None:
        """Tell somebody from now on."""
        self._acting.add(act)
        if self._on:
            act(True)

    def leave(self, act: Act) -> None:
        """Tell somebody no more."""
        self._acting.discard(act)

    def tell(self, on: bool) -> None:
        """Begin or end it."""
        self._on = on
        INGEST_SOURCES_PAUSED.set(on)
        for act in list(self._acting):
            act(on)
