"""One interaction that is followed: its session's facts, its media clock, and whether its media comes. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from ingest.arrival import Gap
from ingest.placement import Placement, Scale
from ingest.protocol import AudioReceived, Call, Effect, EventReceived, Mark, SessionClosed, SessionOpened
from ingest.sources.media_streams.messages import Failure, Packet
from ingest.text import MalformedMessage
from schemas.records import CallEvent, SessionInfo
from schemas.symbols import CallEventKind, Channels, ClosedBy, Codec, FrameKind, Reason, Source

CODECS: Mapping[str, Codec] = MappingProxyType(
    {"pcmu": Codec.PCMU, "pcma": Codec.PCMA, "l16": Codec.L16_LE, "opus": Codec.OPUS}
)
"""Name in a subscription → codec. L16 is read as the platform's own example reads it: the low byte first."""
_SAMPLE_BYTES = {Codec.PCMU: 1, Codec.PCMA: 1, Codec.L16_LE: 2}
_STREAM = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the settings say: the codecs to ask for, best first, how to read what comes, and how often to ask.

    An interaction whose media is not available is asked for again after `retry_s`, `tries` times in all.
    """

    source_name: str = "media-streams"
    codecs: Sequence[str] = ("pcmu",)
    channels: Channels = Channels.MIXED
    scale: Scale = field(default_factory=Scale)
    retry_s: float = 5.0
    tries: int = 12


class Followed:
    """An open session.

    `heard_s` is when it last had a packet, or was counted as silent. `flows`: a packet came since it was asked for on
    this connection. `refusals` in a row since the last packet. `ask_s` is when to ask for it, None once that is done;
    `alone`: in a message of its own, one after the other with those like it. `shared`: it was asked for in one message
    with others, so that what refused it may have refused them too, and the other way round.
    """

    def __init__(self, call: Call, wanted: Wanted, now_s: float) -> None:
        self.call = call
        self.codecs = tuple(name.lower() for name in call.codecs) or tuple(wanted.codecs)
        self.placement = Placement(wanted.scale)
        self.heard_s = now_s
        self.frame_s = -1.0
        self.flows = False
        self.refusals = 0
        self.ask_s: float | None = now_s
        self.alone = False
        self.shared = False
        self._wanted = wanted
        self._codec = CODECS.get(self.codecs[0], Codec.UNKNOWN)
        self._sample_bytes = _SAMPLE_BYTES.get(self._codec, 0)

    @property
    def key(self) -> str:
        """The session's key: the interaction's id."""
        return self.call.conversation_id

    @property
    def is_suspect(self) -> bool:
        """True while it has been asked for and nothing has come."""
        return not self.flows and self.ask_s is None

    def opened(self, earlier: str | None) -> SessionOpened:
        """Return the beginning of the session; `earlier` is the key of one that it goes on from."""
        call, wanted = self.call, self._wanted
        info = SessionInfo(
            conversation_id=self.key,
            source_name=wanted.source_name,
            organisation=call.organisation,
            queue=call.queue,
            agent=call.agent,
            continued_from=earlier,
        )
        return SessionOpened(
            key=self.key,
            info=info,
            source=Source.MEDIA_STREAMS,
            sample_rate_hz=wanted.scale.sample_rate_hz,
            codec=self._codec,
            channels=wanted.channels,
            states_pauses=False,
        )

    def take(self, packet: Packet, now_s: float) -> list[Effect]:
        """Return a packet as audio, behind the gap it ends. Raises `MalformedMessage`."""
        samples = self._samples(packet.payload)
        self.heard_s = self.frame_s = now_s
        if not self.flows:
            self.flows, self.refusals, self.ask_s, self.alone = True, 0, None, False
        placed = self.placement.place(packet.sequence, packet.timestamp, samples, now_s)
        scale = self._wanted.scale
        audio = AudioReceived(
            key=self.key,
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
        return [audio] if placed.gap is None else [self._mark(placed.gap), audio]

    def told(self, kind: CallEventKind, code: int, message: str | None) -> EventReceived:
        """Return an event with what the platform said."""
        event = CallEvent(
            kind=kind,
            conversation_id="",
            session_id="",
            position_samples=self.placement.head_samples,
            code=code,
            message=message,
        )
        return EventReceived(self.key, event)

    def closed(
        self, reason: Reason, closed_by: ClosedBy = ClosedBy.LOCAL, code: int = -1, message: str | None = None
    ) -> list[Effect]:
        """End the session; where it waited for its connection, nobody can tell how much is missing."""
        head = self.placement.head_samples
        closed = SessionClosed(self.key, reason, head, closed_by, code, message)
        if not self.placement.interrupted:
            return [closed]
        return [self._mark(Gap(Reason.RECONNECT, head, -1, estimated=False)), closed]

    def over(self, failure: Failure) -> list[Effect]:
        """End the session whose media is over, or never was."""
        if self.placement.begun:
            return self.closed(Reason.END, ClosedBy.REMOTE, failure.status, failure.text)
        told = self.told(CallEventKind.NOT_AVAILABLE, failure.status, failure.text)
        return [told, *self.closed(Reason.OTHER, ClosedBy.REMOTE, failure.status, failure.text)]

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

    def _mark(self, gap: Gap) -> Mark:
        return Mark(
            key=self.key,
            kind=FrameKind.GAP,
            reason=gap.reason,
            position_samples=gap.start_samples,
            duration_samples=gap.duration_samples,
            estimated=gap.estimated,
        )
