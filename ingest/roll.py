"""The sessions that are open in this process, for whoever must know after a crash."""

from collections.abc import Callable
from typing import Protocol
from uuid import UUID

from schemas.records import SessionInfo
from schemas.symbols import Source


class OpenSession(Protocol):
    """A session and how far it is: the next `sequence`, the next event's `counter`, where its media clock stands."""

    id: UUID
    key: bytes
    info: SessionInfo
    source: Source
    sample_rate_hz: int
    sequence: int
    counter: int
    position_samples: int


class Roll:
    """Tells who listens when a session was opened, and when it wrote its last record. Nobody listens at first."""

    def __init__(self) -> None:
        self.on_opened: Callable[[OpenSession], None] = _nobody
        self.on_closed: Callable[[OpenSession], None] = _nobody


def _nobody(session: OpenSession) -> None:
    """Nobody listens."""
