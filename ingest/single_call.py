"""What the machines of sources with one call per connection share: its session, over losses and spent budgets. Pure.

The session's key is the conversation's id. It is opened with the first connection and kept over lost ones, each a
RECONNECT event, and what it cost a gap where `ingest.arrival` finds one. Audio comes without numbers, so it lies where
its arrival places it. A machine is what `ingest.protocol.DialledProtocol` asks for once it adds `receive_text` and
`receive_binary`.
"""

from dataclasses import dataclass
from typing import Any

from ingest.arrival import Arrival, Gap
from ingest.link import Link, exhausted
from ingest.media import Media
from ingest.protocol import (
    AudioReceived,
    Call,
    CloseConnection,
    Effect,
    Ended,
    EventReceived,
    Mark,
    Observation,
    Observed,
    SessionClosed,
    SessionOpened,
)
from ingest.text import MalformedMessage
from schemas.records import CallEvent, SessionInfo
from schemas.symbols import CallEventKind, ClosedBy, FrameKind, Reason, Source

_NORMAL = 1000
_UNAUTHORIZED = 3000
"""In IANA's registry of close codes. Not a normal one: such a connection counts as a failed attempt."""


@dataclass(frozen=True, slots=True)
class Description:
    """What all sessions of a source have in common."""

    source: Source
    source_name: str
    media: Media
    language: str | None = None


class SingleCall:
    """One call over all its connections.

    It is never finished by itself: no peer says when a conversation has ended. A close with any code is a loss.
    """

    def __init__(self, call: Call, description: Description) -> None:
        self._call = call
        self._key = call.conversation_id
        self._description = description
        self._media = description.media
        self._token: str | None = None
        self._link = Link()
        self._arrival = Arrival(self._media.sample_rate_hz)
        self._frame_s = -1.0
        self._named: set[str] = set()
        self._open = False
        self._earlier: str | None = None
        self._deadline_s: float | None = None
        self._over = False

    @property
    def finished(self) -> bool:
        """True once it was told to stop."""
        return self._over

    def use_token(self, token: str | None) -> None:
        """Take the token for the connection that comes next."""
        self._token = token

    def connected(self, now_s: float) -> list[Effect]:
        """Open the session, or let it go on."""
        loss = self._link.connected(now_s)
        self._named.clear()
        if self._over:
            return [CloseConnection(_NORMAL)]
        if not self._open:
            return [self._opened()]
        head = self._arrival.head_samples
        return [] if loss is None else [loss.reconnected(self._key, position_samples=head, last_frame_s=self._frame_s)]

    def disconnected(self, now_s: float, code: int, reason: str, closed_by: ClosedBy) -> list[Effect]:
        """Take the loss of the connection; the session waits for the next one."""
        self._link.disconnected(now_s, code, reason, closed_by)
        self._deadline_s = None
        self._arrival.interrupt()
        return []

    def timeout(self, now_s: float) -> list[Effect]:  # noqa: ARG002 - the interface
        """Do nothing: without a deadline the connection itself is given up where it brings nothing."""
        return []

    def deadline_s(self) -> float | None:
        """Return when an answer is overdue; None where none is awaited."""
        return self._deadline_s

    def follow(self, call: Call, now_s: float) -> list[Effect]:  # noqa: ARG002 - the interface
        """Do nothing: a connection is of one call."""
        return []

    def unfollow(self, conversation_id: str, ended: Ended, now_s: float) -> list[Effect]:  # noqa: ARG002 - the interface
        """End the session and close the connection."""
        if self._over or conversation_id != self._key:
            return []
        self._over = True
        self._deadline_s = None
        closing: list[Effect] = [CloseConnection(_NORMAL)] if self._link.up else []
        if not ended.not_available:
            return self._closed(ended) + closing
        opening: list[Effect] = [] if self._open else [self._opened()]
        said = self._event(CallEventKind.NOT_AVAILABLE, code=ended.code, message=ended.message)
        return [*opening, said, *self._closed(ended), *closing]

    def drain(self, now_s: float) -> list[Effect]:
        """End the session and close the connection."""
        return self.unfollow(self._key, Ended(Reason.DRAIN), now_s)

    def gave_up(self, now_s: float) -> list[Effect]:  # noqa: ARG002 - the interface
        """End the session; a later connection opens another one."""
        self._deadline_s = None
        if not self._open:
            return []
        self._earlier = self._key
        return [exhausted(self._key, self._arrival.head_samples), *self._closed(Ended(Reason.BUDGET_SPENT))]

    def _opened(self) -> SessionOpened:
        call, description, media = self._call, self._description, self._media
        self._open = True
        info = SessionInfo(
            conversation_id=self._key,
            source_name=description.source_name,
            organisation=call.organisation,
            language=description.language,
            platform_session_id=call.connection_id,
            continued_from=self._earlier,
            queue=call.queue,
            agent=call.agent,
        )
        return SessionOpened(
            key=self._key,
            info=info,
            source=description.source,
            sample_rate_hz=media.sample_rate_hz,
            codec=media.codec,
            channels=media.channels,
            states_pauses=False,
        )

    def _closed(self, ended: Ended) -> list[Effect]:
        if not self._open:
            return []
        self._open = False
        arrival, self._arrival = self._arrival, Arrival(self._media.sample_rate_hz)
        self._frame_s = -1.0
        gap = arrival.missing()
        marks: list[Effect] = [] if gap is None else [self._gap(gap)]
        closed = SessionClosed(
            key=self._key,
            reason=ended.reason,
            position_samples=arrival.head_samples,
            closed_by=ended.closed_by,
            code=ended.code,
            message=ended.message,
        )
        return [*marks, closed]

    def _audio(self, payload: bytes, now_s: float) -> list[Effect]:
        """Take audio, exactly as received. What holds no whole samples is counted and not taken."""
        if not self._open:
            return [Observed(Observation.AUDIO_OUTSIDE_SESSION)]
        media = self._media
        try:
            samples = media.samples(payload)
        except MalformedMessage as defect:
            return [self._odd(Observation.PROTOCOL_ERROR, str(defect))]
        self._frame_s = now_s
        placed = self._arrival.place(samples, now_s)
        audio = AudioReceived(
            key=self._key,
            payload=payload,
            codec=media.codec,
            channels=media.channels,
            sample_rate_hz=media.sample_rate_hz,
            position_samples=placed.position_samples,
            duration_samples=samples,
            late=placed.late,
        )
        return [audio] if placed.gap is None else [self._gap(placed.gap), audio]

    def _gap(self, gap: Gap) -> Mark:
        return Mark(
            key=self._key,
            kind=FrameKind.GAP,
            reason=gap.reason,
            position_samples=gap.start_samples,
            duration_samples=gap.duration_samples,
            estimated=gap.estimated,
        )

    def _event(self, kind: CallEventKind, **details: Any) -> EventReceived:
        head = self._arrival.head_samples
        said: dict[str, Any] = {
            name: self._words(value) if type(value) is str else value for name, value in details.items()
        }
        event = CallEvent(kind=kind, conversation_id="", session_id="", position_samples=head, **said)
        return EventReceived(self._key, event)

    def _failed(self, code: int, message: str | None) -> list[Effect]:
        """Take an error of the platform."""
        if not self._open:
            return [Observed(Observation.UNEXPECTED_MESSAGE)]
        return [self._event(CallEventKind.PLATFORM_ERROR, code=code, message=message)]

    def _refused_by_now(self, code: int, message: str | None) -> list[Effect]:
        """Take the refusal of a token that was good when the connection was opened: the next one gets another."""
        return [*self._failed(code, message), CloseConnection(_UNAUTHORIZED, token_refused=True)]

    def _words(self, message: str | None) -> str | None:
        """Return what the peer says without the token."""
        return message.replace(self._token, "...") if message and self._token else message

    def _odd(self, what: Observation, defect: str) -> Observed:
        """Count what should not have come; it is named once on each connection."""
        if defect in self._named:
            return Observed(what)
        self._named.add(defect)
        return Observed(what, detail=defect)
