"""The media streams machine: what one connection after the other delivers, and the time → facts about its sessions.

One machine follows the interactions it was given, each a session whose key is the interaction's id, until all of them
have ended or it is told to stop.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from ingest.link import Link, exhausted
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
    SendText,
    SessionClosed,
    SessionOpened,
)
from ingest.sources.media_streams.messages import (
    NOT_AVAILABLE,
    Failure,
    Packet,
    parse,
    subscription,
)
from ingest.sources.media_streams.placement import Gap, Placement, Scale
from ingest.text import MalformedMessage
from schemas.records import CallEvent, SessionInfo
from schemas.symbols import CallEventKind, Channels, ClosedBy, Codec, FrameKind, Reason, Source

QUIET_S = 60.0
"""A stream that brings nothing for so long is counted."""
CODECS: Mapping[str, Codec] = MappingProxyType(
    {"pcmu": Codec.PCMU, "pcma": Codec.PCMA, "l16": Codec.L16_LE, "opus": Codec.OPUS}
)
"""Name in a subscription → codec. L16 is read as the platform's own example reads it: the low byte first."""
_SAMPLE_BYTES = {Codec.PCMU: 1, Codec.PCMA: 1, Codec.L16_LE: 2}
_STREAM = 0
_NORMAL = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the settings say of the streams: the codecs to ask for, best first, and how to read what comes."""

    source_name: str = "media-streams"
    codecs: Sequence[str] = ("pcmu",)
    channels: Channels = Channels.MIXED
    scale: Scale = field(default_factory=Scale)

    @property
    def codec(self) -> Codec:
        """How payloads are read."""
        return CODECS.get(self.codecs[0], Codec.UNKNOWN)


@dataclass(slots=True)
class _Followed:
    """An open session. `heard_s` is when it last had a packet, or was counted as silent."""

    placement: Placement
    heard_s: float
    frame_s: float = -1.0


class MediaStreamsProtocol:
    """Interactions followed over one connection at a time. Implements `ingest.protocol.DialledProtocol`."""

    def __init__(self, interactions: Iterable[str], wanted: Wanted) -> None:
        self._wanted = wanted
        self._codec = wanted.codec
        self._sample_bytes = _SAMPLE_BYTES.get(self._codec, 0)
        self._waiting: dict[str, str | None] = dict.fromkeys(interactions)
        self._followed: dict[str, _Followed] = {}
        self._link = Link()
        self._named: set[str] = set()
        self._deadline_s: float | None = None
        self._over = not self._waiting

    @property
    def finished(self) -> bool:
        """True once no interaction is left to follow: nothing more will come on any connection."""
        return self._over

    @property
    def remaining(self) -> tuple[str, ...]:
        """The interactions whose media the platform has not ended."""
        return (*self._followed, *self._waiting)

    def connected(self, now_s: float) -> list[Effect]:
        """Subscribe to what is followed; open the sessions that are not open."""
        loss = self._link.connected(now_s)
        self._named.clear()
        if self._over:
            return [CloseConnection(_NORMAL)]
        effects: list[Effect] = []
        for key, session in self._followed.items():
            if loss is not None:
                head = session.placement.head_samples
                effects.append(loss.reconnected(key, position_samples=head, last_frame_s=session.frame_s))
        for key, earlier in self._waiting.items():
            self._followed[key] = _Followed(Placement(self._wanted.scale), now_s)
            effects.append(self._opened(key, earlier))
        self._waiting.clear()
        self._deadline_s = now_s + QUIET_S
        effects.append(SendText(subscription(self._followed, self._wanted.codecs)))
        return effects

    def receive_text(self, text: str, now_s: float) -> list[Effect]:
        """Take a packet or an error."""
        scale = self._wanted.scale
        try:
            message = parse(text, scale.sequence_bits, scale.timestamp_bits)
            if isinstance(message, Packet):
                return self._packet(message, now_s)
        except MalformedMessage as defect:
            return [self._odd(Observation.PROTOCOL_ERROR, str(defect))]
        if message is None:
            return [Observed(Observation.UNKNOWN_MESSAGE)]
        return self._failure(message)

    def receive_binary(self, data: bytes, now_s: float) -> list[Effect]:  # noqa: ARG002 - the interface
        """Count a binary message: this source sends none."""
        return [self._odd(Observation.UNEXPECTED_MESSAGE, "a binary message")]

    def disconnected(self, now_s: float, code: int, reason: str, closed_by: ClosedBy) -> list[Effect]:
        """Take the loss of the connection; the sessions wait for the next one."""
        self._link.disconnected(now_s, code, reason, closed_by)
        self._deadline_s = None
        for session in self._followed.values():
            session.placement.interrupt()
        return []

    def timeout(self, now_s: float) -> list[Effect]:
        """Count the streams that have been silent for a minute."""
        if self._deadline_s is None or now_s < self._deadline_s:
            return []
        effects: list[Effect] = []
        for key, session in self._followed.items():
            if now_s - session.heard_s >= QUIET_S:
                session.heard_s = now_s
                effects.append(Observed(Observation.DEADLINE_PASSED, key=key))
        heard_s = min((session.heard_s for session in self._followed.values()), default=now_s)
        self._deadline_s = heard_s + QUIET_S
        return effects

    def deadline_s(self) -> float | None:
        """Return when the next look at silent streams is due; None without a connection."""
        return self._deadline_s

    def drain(self, now_s: float) -> list[Effect]:  # noqa: ARG002 - the interface
        """End all sessions and close the connection."""
        if self._over:
            return []
        effects: list[Effect] = []
        for key in list(self._followed):
            effects += self._closed(key, Reason.DRAIN, ClosedBy.LOCAL)
        self._waiting.clear()
        return effects + self._finish()

    def use_token(self, token: str | None) -> None:
        """Do nothing: the token is in the handshake."""

    def follow(self, call: Call, now_s: float) -> list[Effect]:
        """Follow one more; where there is a connection, subscribe to it."""
        key = call.conversation_id
        if self._over or key in self._followed or key in self._waiting:
            return []
        if not self._link.up:
            self._waiting[key] = None
            return []
        self._followed[key] = _Followed(Placement(self._wanted.scale), now_s)
        return [self._opened(key, None), SendText(subscription([key], self._wanted.codecs))]

    def unfollow(self, conversation_id: str, ended: Ended, now_s: float) -> list[Effect]:  # noqa: ARG002 - the interface
        """End the session of a call and forget it; with the last one, the connection."""
        effects: list[Effect] = []
        self._waiting.pop(conversation_id, None)
        if conversation_id in self._followed:
            effects = self._closed(conversation_id, ended.reason, ended.closed_by)
        return effects if self._over or self.remaining else effects + self._finish()

    def gave_up(self, now_s: float) -> list[Effect]:  # noqa: ARG002 - the interface
        """End all sessions; a later connection opens them anew."""
        effects: list[Effect] = []
        for key, session in list(self._followed.items()):
            effects.append(exhausted(key, session.placement.head_samples))
            effects += self._closed(key, Reason.BUDGET_SPENT, ClosedBy.LOCAL)
            self._waiting[key] = key
        return effects

    def _opened(self, key: str, earlier: str | None) -> SessionOpened:
        wanted = self._wanted
        return SessionOpened(
            key=key,
            info=SessionInfo(conversation_id=key, source_name=wanted.source_name, continued_from=earlier),
            source=Source.MEDIA_STREAMS,
            sample_rate_hz=wanted.scale.sample_rate_hz,
            codec=self._codec,
            channels=wanted.channels,
            states_pauses=False,
        )

    def _packet(self, packet: Packet, now_s: float) -> list[Effect]:
        session = self._followed.get(packet.interaction_id)
        if session is None:
            return [Observed(Observation.AUDIO_OUTSIDE_SESSION)]
        session.heard_s = session.frame_s = now_s
        samples = self._samples(packet.payload)
        placed = session.placement.place(packet.sequence, packet.timestamp, samples, now_s)
        scale = self._wanted.scale
        audio = AudioReceived(
            key=packet.interaction_id,
            payload=packet.payload,
            codec=self._codec,
            channels=self._wanted.channels,
            sample_rate_hz=scale.sample_rate_hz,
            position_samples=placed.position_samples,
            duration_samples=samples,
            stream=_STREAM,
            source_sequence=packet.sequence,
            source_timestamp=packet.timestamp,
            source_clock_hz=scale.clock_hz,
            source_sequence_bits=scale.sequence_bits,
            source_timestamp_bits=scale.timestamp_bits,
            late=placed.late,
        )
        return [audio] if placed.gap is None else [_mark(audio.key, placed.gap), audio]

    def _samples(self, payload: bytes) -> int:
        """Return how many samples a payload holds, -1 where its codec does not tell. Raises `MalformedMessage`."""
        if not payload:
            raise MalformedMessage("payload is empty")  # noqa: EM101, TRY003 - a word
        if not self._sample_bytes:
            return -1
        samples, rest = divmod(len(payload), self._sample_bytes)
        if rest:
            raise MalformedMessage("payload holds no whole samples")  # noqa: EM101, TRY003 - a word
        return samples

    def _failure(self, failure: Failure) -> list[Effect]:
        """Take an error: of the interaction it names, else of all that are followed here."""
        keys = [failure.interaction_id] if failure.interaction_id is not None else list(self._followed)
        sessions = {key: self._followed[key] for key in keys if key in self._followed}
        if not sessions:
            return [self._odd(Observation.UNEXPECTED_MESSAGE, "an error of no interaction followed here")]
        if failure.code == NOT_AVAILABLE and len(sessions) == 1:
            return self._ended(next(iter(sessions)), failure)
        return [_event(key, CallEventKind.PLATFORM_ERROR, session, failure) for key, session in sessions.items()]

    def _ended(self, key: str, failure: Failure) -> list[Effect]:
        """End the session whose media is over, or never was; with the last one, the connection."""
        session = self._followed[key]
        if session.placement.begun:
            effects = self._closed(key, Reason.END, ClosedBy.REMOTE, failure)
        else:
            effects = [_event(key, CallEventKind.NOT_AVAILABLE, session, failure)]
            effects += self._closed(key, Reason.OTHER, ClosedBy.REMOTE, failure)
        return effects if self._followed else effects + self._finish()

    def _closed(self, key: str, reason: Reason, closed_by: ClosedBy, failure: Failure | None = None) -> list[Effect]:
        """End a session; where it waited for its connection, nobody can tell how much is missing."""
        placement = self._followed.pop(key).placement
        closed = SessionClosed(
            key=key,
            reason=reason,
            position_samples=placement.head_samples,
            closed_by=closed_by,
            code=-1 if failure is None else failure.status,
            message=None if failure is None else failure.text,
        )
        if not placement.interrupted:
            return [closed]
        return [_mark(key, Gap(Reason.RECONNECT, placement.head_samples, -1, estimated=False)), closed]

    def _finish(self) -> list[Effect]:
        self._over = True
        self._deadline_s = None
        return [CloseConnection(_NORMAL)] if self._link.up else []

    def _odd(self, what: Observation, defect: str) -> Observed:
        """Count what should not have come; it is named once on each connection."""
        if defect in self._named:
            return Observed(what)
        self._named.add(defect)
        return Observed(what, detail=defect)


def _mark(key: str, gap: Gap) -> Mark:
    return Mark(
        key=key,
        kind=FrameKind.GAP,
        reason=gap.reason,
        position_samples=gap.start_samples,
        duration_samples=gap.duration_samples,
        estimated=gap.estimated,
    )


def _event(key: str, kind: CallEventKind, session: _Followed, failure: Failure) -> EventReceived:
    event = CallEvent(
        kind=kind,
        conversation_id="",
        session_id="",
        position_samples=session.placement.head_samples,
        code=failure.status,
        message=failure.text,
    )
    return EventReceived(key, event)
