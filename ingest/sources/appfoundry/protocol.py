"""The AppFoundry machine: what one connection after the other delivers → facts about the session of its WebSocket."""

from dataclasses import dataclass
from typing import Any

from ingest.link import Link, exhausted
from ingest.protocol import (
    Call,
    CloseConnection,
    Effect,
    Ended,
    EventReceived,
    Observation,
    Observed,
    SessionClosed,
    SessionOpened,
)
from ingest.sources.appfoundry.messages import Audio, Failure, Intent, Spoken, Transcript, parse
from ingest.text import MalformedMessage
from schemas.records import CallEvent, SessionInfo
from schemas.symbols import CallEventKind, Channel, ClosedBy, Reason, Source

SAMPLE_RATE_HZ = 8000
"""Unit of positions in a session without audio: all of them are 0."""
_NORMAL = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the settings say of the texts: whose they are, and in which language where they do not tell."""

    source_name: str = "appfoundry"
    channel: Channel = Channel.EXTERNAL
    language: str | None = None


class AppFoundryProtocol:
    """One WebSocket over all its connections. Implements `ingest.protocol.DialledProtocol`.

    The session's key is the WebSocket's id. It is never finished by itself: the platform does not say when a
    conversation has ended.
    """

    def __init__(self, websocket_id: str, conversation_id: str, wanted: Wanted) -> None:
        self._key = websocket_id
        self._conversation_id = conversation_id
        self._wanted = wanted
        self._link = Link()
        self._named: set[str] = set()
        self._open = False
        self._earlier: str | None = None
        self._over = False

    @property
    def finished(self) -> bool:
        """True once it was told to stop."""
        return self._over

    def connected(self, now_s: float) -> list[Effect]:
        """Open the session, or let it go on."""
        loss = self._link.connected(now_s)
        self._named.clear()
        if self._over:
            return [CloseConnection(_NORMAL)]
        if self._open:
            return [] if loss is None else [loss.reconnected(self._key)]
        self._open = True
        info = SessionInfo(
            conversation_id=self._conversation_id,
            source_name=self._wanted.source_name,
            language=self._wanted.language,
            platform_session_id=self._key,
            continued_from=self._earlier,
        )
        return [
            SessionOpened(
                key=self._key,
                info=info,
                source=Source.APPFOUNDRY,
                sample_rate_hz=SAMPLE_RATE_HZ,
                states_pauses=False,
            )
        ]

    def receive_text(self, text: str, now_s: float) -> list[Effect]:  # noqa: ARG002 - the interface
        """Take what was said or meant, or an error."""
        try:
            message = parse(text)
        except MalformedMessage as defect:
            return [self._odd(Observation.PROTOCOL_ERROR, str(defect))]
        if message is None:
            return [Observed(Observation.UNKNOWN_MESSAGE)]
        if isinstance(message, Audio):
            return [Observed(Observation.AUDIO_OUTSIDE_SESSION)]
        return [self._event(message)] if self._open else [Observed(Observation.UNEXPECTED_MESSAGE)]

    def receive_binary(self, data: bytes, now_s: float) -> list[Effect]:  # noqa: ARG002 - the interface
        """Count a binary message: nothing of it is taken."""
        return [self._odd(Observation.UNEXPECTED_MESSAGE, "a binary message")]

    def disconnected(self, now_s: float, code: int, reason: str, closed_by: ClosedBy) -> list[Effect]:
        """Take the loss of the connection; the session waits for the next one."""
        self._link.disconnected(now_s, code, reason, closed_by)
        return []

    def timeout(self, now_s: float) -> list[Effect]:  # noqa: ARG002 - the interface
        """Do nothing: there is no deadline."""
        return []

    def deadline_s(self) -> float | None:
        """Return None: the connection itself is given up where it brings nothing."""
        return None

    def drain(self, now_s: float) -> list[Effect]:  # noqa: ARG002 - the interface
        """End the session and close the connection."""
        if self._over:
            return []
        self._over = True
        closing: list[Effect] = [CloseConnection(_NORMAL)] if self._link.up else []
        return self._closed(Reason.DRAIN) + closing

    def use_token(self, token: str | None) -> None:
        """Do nothing: the token is in the handshake."""

    def follow(self, call: Call, now_s: float) -> list[Effect]:  # noqa: ARG002 - the interface
        """Do nothing: a WebSocket is of one conversation."""
        return []

    def unfollow(self, conversation_id: str, ended: Ended, now_s: float) -> list[Effect]:  # noqa: ARG002 - the interface
        """End the session and close the connection."""
        if self._over or conversation_id != self._conversation_id:
            return []
        self._over = True
        closing: list[Effect] = [CloseConnection(_NORMAL)] if self._link.up else []
        return self._closed(ended.reason) + closing

    def gave_up(self, now_s: float) -> list[Effect]:  # noqa: ARG002 - the interface
        """End the session; a later connection opens another one."""
        self._earlier = self._key if self._open else self._earlier
        return [exhausted(self._key), *self._closed(Reason.BUDGET_SPENT)] if self._open else []

    def _closed(self, reason: Reason) -> list[Effect]:
        if not self._open:
            return []
        self._open = False
        return [SessionClosed(key=self._key, reason=reason, closed_by=ClosedBy.LOCAL)]

    def _event(self, message: Transcript | Intent | Failure) -> EventReceived:
        if isinstance(message, Failure):
            return self._received(CallEventKind.PLATFORM_ERROR, code=message.code, message=message.message)
        spoken = self._spoken(message.spoken)
        if isinstance(message, Intent):
            return self._received(CallEventKind.INTENT, intent=message.name, text=message.text, **spoken)
        return self._received(CallEventKind.TRANSCRIPT, text=message.text, is_final=message.is_final, **spoken)

    def _spoken(self, spoken: Spoken) -> dict[str, Any]:
        return {
            "channel": self._wanted.channel,
            "text_id": spoken.id,
            "language": spoken.language or self._wanted.language,
            "confidence": spoken.confidence,
        }

    def _received(self, kind: CallEventKind, **details: Any) -> EventReceived:
        return EventReceived(self._key, CallEvent(kind=kind, conversation_id="", session_id="", **details))

    def _odd(self, what: Observation, defect: str) -> Observed:
        """Count what should not have come; it is named once on each connection."""
        if defect in self._named:
            return Observed(what)
        self._named.add(defect)
        return Observed(what, detail=defect)
