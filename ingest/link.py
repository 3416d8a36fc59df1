"""The connection of a source we call, over its losses, and what its sessions are told of them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ingest.protocol import Effect, EventReceived
from ingest.text import text_of
from schemas.records import CallEvent
from schemas.symbols import CallEventKind, ClosedBy


@dataclass(frozen=True, slots=True)
class Loss:
    """How a connection ended, when, and how old it was then."""

    at_s: float
    age_s: float
    code: int
    reason: str
    closed_by: ClosedBy

    def reconnected(self, key: str, *, position_samples: int = -1, last_frame_s: float = -1) -> EventReceived:
        """Return the event of a session that goes on after this loss; `numbered` adds how many tries it took."""
        heard = last_frame_s >= 0
        event = CallEvent(
            kind=CallEventKind.RECONNECT,
            conversation_id="",
            session_id="",
            position_samples=position_samples,
            code=self.code,
            message=text_of(self.reason),
            closed_by=self.closed_by,
            connection_age_ms=round(self.age_s * 1000),
            last_frame_age_ms=round((self.at_s - last_frame_s) * 1000) if heard else -1,
        )
        return EventReceived(key, event, said_s=self.at_s)


def exhausted(key: str, position_samples: int = -1) -> EventReceived:
    """Return the event of a session that ends because no connection could be had."""
    event = CallEvent(
        kind=CallEventKind.RECONNECT_EXHAUSTED, conversation_id="", session_id="", position_samples=position_samples
    )
    return EventReceived(key, event)


def numbered(effects: Iterable[Effect], attempt: int) -> list[Effect]:
    """Return effects with the number of the try that led to the connection in those that tell of a reconnect."""
    return [
        replace(effect, event=replace(effect.event, attempt=attempt))
        if isinstance(effect, EventReceived) and effect.event.kind is CallEventKind.RECONNECT
        else effect
        for effect in effects
    ]


class Link:
    """Whether there is a connection, and how the last one was lost."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._loss: Loss | None = None

    @property
    def up(self) -> bool:
        """True while there is a connection."""
        return self._since_s is not None

    def connected(self, now_s: float) -> Loss | None:
        """Take a new connection; return the loss it makes good, None for the first one."""
        loss, self._loss = self._loss, None
        self._since_s = now_s
        return loss

    def disconnected(self, now_s: float, code: int, reason: str, closed_by: ClosedBy) -> None:
        """Take the end of the connection."""
        if self._since_s is not None:
            self._loss = Loss(now_s, now_s - self._since_s, code, reason, closed_by)
        self._since_s = None
