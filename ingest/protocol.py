"""The interface of a source: a sans-IO protocol for one connection, whoever opened it.

A protocol is fed what the connection delivers and the time, and returns effects: messages for the peer, and facts about
the sessions the connection carries. The shell (`ingest.session`) pumps; the outlet (`ingest.outlet`) gives facts their
session id and sequence and puts them on Kafka. A connection may carry one session (AudioHook) or many (media streams),
and a session may outlive a connection (sources we dial): facts name their session by a `key` of the protocol's own.

Sources that call us: `connected` is called once the upgrade is accepted. Sources we call: `connected` is called once
our handshake is done and returns the messages that authenticate and subscribe; the protocol object lives on over
reconnects and is told of each with `connected` and `disconnected`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

from schemas.records import CallEvent, SessionInfo
from schemas.symbols import Channels, ClosedBy, Codec, FrameKind, Reason, Source


@dataclass(frozen=True, slots=True)
class Call:
    """A conversation to follow, as a subscription says it.

    `connection_id` is what a source needs beside the conversation: of its media connection, of its WebSocket. `codecs`
    to ask for, best first; none: what the source's settings say.
    """

    conversation_id: str
    connection_id: str | None = None
    codecs: tuple[str, ...] = ()
    organisation: str | None = None
    queue: str | None = None
    agent: str | None = None
    parameters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Ended:
    """Why a call is no longer followed.

    `not_available`: the platform has no media of it, so a NOT_AVAILABLE event stands before its end. `code` and
    `message` are the platform's, -1 and None where it gave none.
    """

    reason: Reason
    closed_by: ClosedBy = ClosedBy.LOCAL
    not_available: bool = False
    code: int = -1
    message: str | None = None


@dataclass(frozen=True, slots=True)
class SendText:
    """A text message for the peer."""

    text: str


@dataclass(frozen=True, slots=True)
class SendBinary:
    """A binary message for the peer."""

    data: bytes


@dataclass(frozen=True, slots=True)
class CloseConnection:
    """End the connection with this WebSocket close code; effects before it are sent first.

    `token_refused`: the peer took the token that was used, and refuses it by now; the next connection gets another.
    """

    code: int
    reason: str = ""
    token_refused: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The peer refuses what time will not change: the sessions end (BUDGET_SPENT), and nothing is tried for a while.

    `message` is for the operator: the peer's words, the scope or the id that is missing; it is logged, and stands in
    the RECONNECT_EXHAUSTED events. `token_refused`: the token that was used is not used again.
    """

    message: str
    token_refused: bool = False


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """A session begins. Its media description holds until the next one for the same key; a second one is ignored.

    Where `info.continued_from` is the key of an earlier session of this process, it is replaced by that session's id;
    where it is None, a key that had a session before goes on from that one.
    `states_pauses`: the source itself says when a pause begins and ends. Where it does not, what the other sessions of
    the conversation say decides whether audio, digits and texts may be published.
    """

    key: str
    info: SessionInfo
    source: Source
    sample_rate_hz: int
    codec: Codec = Codec.UNKNOWN
    channels: Channels = Channels.UNKNOWN
    states_pauses: bool = True


@dataclass(frozen=True, slots=True)
class SessionInfoChanged:
    """A field of the session's info became known or changed; `info` is the whole."""

    key: str
    info: SessionInfo


class AudioReceived(NamedTuple):
    """One message of audio, exactly as received. Positions and durations are samples per channel.

    A tuple, since a frozen dataclass of so many fields takes three times as long to make, once per message.
    """

    key: str
    payload: bytes
    codec: Codec
    channels: Channels
    sample_rate_hz: int
    position_samples: int
    duration_samples: int
    stream: int = -1
    source_sequence: int = -1
    source_timestamp: int = -1
    source_clock_hz: int = -1
    source_sequence_bits: int = 0
    source_timestamp_bits: int = 0
    payload_type: int = -1
    marker: bool = False
    late: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """PAUSED, RESUMED, DISCARDED, GAP or ALIVE on the session's timeline.

    `position_samples` is where the mark begins: what is missing lies between it and `position_samples +
    duration_samples` (-1: not knowable), where the next audio goes on. `stated_position_samples` is the position the
    source states in the message that caused the mark (-1: none).
    """

    key: str
    kind: FrameKind
    reason: Reason = Reason.UNKNOWN
    position_samples: int = -1
    duration_samples: int = -1
    stated_position_samples: int = -1
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class EventReceived:
    """A fact with business detail and no mark of its own.

    The sequencer fills in who, when, counter and `audio_sequence`; the protocol leaves those empty and gives the rest.
    `said_s` is when the peer said it (monotonic), where that was not now: words from a pause are not told after it.
    """

    key: str
    event: CallEvent
    said_s: float | None = None


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """A session ends; nothing follows for this key."""

    key: str
    reason: Reason
    position_samples: int = -1
    closed_by: ClosedBy = ClosedBy.UNKNOWN
    code: int = -1
    message: str | None = None


class Observation(StrEnum):
    """What a protocol noticed that is a metric and no fact of a call."""

    CONNECTION_PROBE = "connection_probe"
    UNKNOWN_MESSAGE = "unknown_message"
    UNEXPECTED_MESSAGE = "unexpected_message"
    PROTOCOL_ERROR = "protocol_error"
    UNAUTHORIZED = "unauthorized"
    AUDIO_WHILE_PAUSED = "audio_while_paused"
    AUDIO_OUTSIDE_SESSION = "audio_outside_session"
    EVENT_WHILE_PAUSED = "event_while_paused"
    DEADLINE_PASSED = "deadline_passed"
    OWN_PAUSE = "own_pause"
    """A pause that we asked for has begun: audio is not sent to us."""
    RESUME_WITHHELD = "resume_withheld"
    """Audio is wanted again, but the peer's own pause holds; it goes on when the peer says that this one is over."""
    DRIFT_SAMPLES = "drift_samples"
    """`amount` is the position the source states minus ours; everything else is counted by it."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Something for metrics and the log. `detail` names a defect, never what was sent; `key` the session, if one.

    `correlation`: the platform's id of the connection, where there is one.
    """

    what: Observation
    amount: int = 1
    detail: str = ""
    key: str = ""
    correlation: str | None = None


Fact = SessionOpened | SessionInfoChanged | AudioReceived | Mark | EventReceived | SessionClosed
"""What the sequencer turns into records."""

Effect = (
    SendText
    | SendBinary
    | CloseConnection
    | GiveUp
    | SessionOpened
    | SessionInfoChanged
    | AudioReceived
    | Mark
    | EventReceived
    | SessionClosed
    | Observed
)
"""What a protocol asks for, in order."""


class SourceProtocol(Protocol):
    """One connection of one source. Pure: no method waits, reads a clock or raises for what the peer sent."""

    def connected(self, now_s: float) -> list[Effect]:
        """The connection is open (again)."""

    def receive_text(self, text: str, now_s: float) -> list[Effect]:
        """A text message arrived."""

    def receive_binary(self, data: bytes, now_s: float) -> list[Effect]:
        """A binary message arrived."""

    def disconnected(self, now_s: float, code: int, reason: str, closed_by: ClosedBy) -> list[Effect]:
        """The connection is gone, whoever ended it; `code` 1006 when no close frame was seen."""

    def timeout(self, now_s: float) -> list[Effect]:
        """The deadline last returned by `deadline_s` has passed."""

    def deadline_s(self) -> float | None:
        """Return when `timeout` must be called, on the clock of `now_s`; None: never."""

    def drain(self, now_s: float) -> list[Effect]:
        """This process wants to stop: end the sessions the way the peer expects it."""

    @property
    def finished(self) -> bool:
        """True once nothing more will come: the shell may close."""


class DialledProtocol(SourceProtocol, Protocol):
    """The machine of a source we call. It lives on over reconnects, and its sessions with it.

    The key of a session is its conversation's id. A session that it closes with another reason than BUDGET_SPENT is no
    longer followed; with the last one it is `finished`.
    """

    def use_token(self, token: str | None) -> None:
        """Take the token for the connection that comes next; None where it is in the handshake, or there is none."""

    def follow(self, call: Call, now_s: float) -> list[Effect]:
        """Follow one more call, at once where there is a connection. One that is followed already changes nothing.

        Only the machines of sources that carry several calls over one connection are asked.
        """

    def unfollow(self, conversation_id: str, ended: Ended, now_s: float) -> list[Effect]:
        """End the session of a call and forget it, whether or not there is a connection. Unknown: nothing."""

    def gave_up(self, now_s: float) -> list[Effect]:
        """No connection could be had within the budget of attempts: the sessions end, reason BUDGET_SPENT.

        After a rest it is tried again; a connection that is had then opens new sessions of the same keys.
        """


class Withheld(NamedTuple):
    """Audio of a session is wanted again and not asked for: the peer's own pause holds, told at `since_s` (monotonic).

    Where the peer paused for us too, it does not say that its own pause is over: somebody else has to know it.
    """

    conversation_id: str
    since_s: float


@runtime_checkable
class PausableProtocol(SourceProtocol, Protocol):
    """A protocol whose peer can be asked to send no audio for a while. Both may be repeated and do nothing then."""

    def pause(self, now_s: float) -> list[Effect]:
        """Ask for no audio until `resume`: PAUSED (OWN_PAUSE) stands where it stops, RESUMED with its length behind."""

    def resume(self, now_s: float, *, secure_is_over: bool = False) -> list[Effect]:
        """Ask for audio again, unless a secure pause holds. `secure_is_over`: it does not, as is known otherwise."""

    @property
    def withheld(self) -> Withheld | None:
        """What keeps it from asking for audio that is wanted again; None where nothing does."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request to connect is granted: the machine of the connection, and the platform's id of it for the log.

    `organisation`: whose connection it is, where limits count by that.
    """

    protocol: SourceProtocol
    correlation_id: str | None = None
    organisation: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A request to connect is refused with an HTTP status. The peer never learns the reason."""

    status: int
    reason: str
    correlation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The keys of a source have changed. `mistake` says why they cannot be used: then the old ones stay."""

    keys: int
    mistake: str | None = None


class AcceptingSource(Protocol):
    """A source that calls us: it decides over the requests to connect below its path."""

    @property
    def name(self) -> str:
        """Name of the source in metrics, logs and session info."""

    @property
    def path_prefix(self) -> str:
        """Requests for this path and those below it are for this source."""

    def refresh(self) -> Refreshed | None:
        """Read the keys again where they have changed, and return what came of it; None where they have not."""

    def admit(self, target: str, headers: Iterable[tuple[str, str]], wall_s: float) -> Admitted | Refused:
        """Decide over a request: its target as on the request line, its header fields in order, the wall time."""
