"""The symbols of every enum of the contract, in the order of the schemas.

A symbol is a string equal to its Avro spelling; `code` is its number on the wire. Symbols are only appended.
"""

from enum import StrEnum, unique


class Symbol(StrEnum):
    """A symbol of an Avro enum. `UNKNOWN` has code 0 and stands for every symbol a reader does not know."""

    code: int

    def __init__(self, _spelling: str) -> None:
        self.code = len(type(self).__members__)


@unique
class FrameKind(Symbol):
    """What a record of calls.audio is."""

    UNKNOWN = "UNKNOWN"
    AUDIO = "AUDIO"
    OPENED = "OPENED"
    INFO = "INFO"
    ALIVE = "ALIVE"
    TICK = "TICK"
    PAUSED = "PAUSED"
    RESUMED = "RESUMED"
    DISCARDED = "DISCARDED"
    GAP = "GAP"
    CLOSED = "CLOSED"


@unique
class Reason(Symbol):
    """Why a mark was written; UNKNOWN on records that need no reason."""

    UNKNOWN = "UNKNOWN"
    END = "END"
    PEER_ERROR = "PEER_ERROR"
    SOCKET_LOST = "SOCKET_LOST"
    INGEST_LOST = "INGEST_LOST"
    DRAIN = "DRAIN"
    IDLE = "IDLE"
    SECURE_PAUSE = "SECURE_PAUSE"
    OWN_PAUSE = "OWN_PAUSE"
    SOURCE_DISCARD = "SOURCE_DISCARD"
    OVERFLOW = "OVERFLOW"
    RECONNECT = "RECONNECT"
    LOST_IN_NETWORK = "LOST_IN_NETWORK"
    LATE = "LATE"
    RESTART = "RESTART"
    TAKEOVER = "TAKEOVER"
    BUDGET_SPENT = "BUDGET_SPENT"
    ERASED = "ERASED"
    OTHER = "OTHER"


@unique
class Source(Symbol):
    """Which kind of source delivered the audio."""

    UNKNOWN = "UNKNOWN"
    AUDIOHOOK = "AUDIOHOOK"
    MEDIA_WEBSOCKET = "MEDIA_WEBSOCKET"
    CONVERSATION_AUDIO = "CONVERSATION_AUDIO"
    APPFOUNDRY = "APPFOUNDRY"
    MEDIA_STREAMS = "MEDIA_STREAMS"
    CAPTURE = "CAPTURE"
    WAV = "WAV"
    BRIDGE = "BRIDGE"
    RTP = "RTP"
    OTHER = "OTHER"


@unique
class Codec(Symbol):
    """How the payload is encoded."""

    UNKNOWN = "UNKNOWN"
    PCMU = "PCMU"
    PCMA = "PCMA"
    L16_LE = "L16_LE"
    L16_BE = "L16_BE"
    OPUS = "OPUS"
    COMFORT_NOISE = "COMFORT_NOISE"
    TELEPHONE_EVENT = "TELEPHONE_EVENT"


@unique
class Channels(Symbol):
    """Which channels the payload holds, in interleaving order."""

    UNKNOWN = "UNKNOWN"
    EXTERNAL = "EXTERNAL"
    INTERNAL = "INTERNAL"
    EXTERNAL_INTERNAL = "EXTERNAL_INTERNAL"
    INTERNAL_EXTERNAL = "INTERNAL_EXTERNAL"
    MIXED = "MIXED"
    BOT = "BOT"


@unique
class Channel(Symbol):
    """Which side of the call a fact is about; ALL when it is about all of them."""

    UNKNOWN = "UNKNOWN"
    EXTERNAL = "EXTERNAL"
    INTERNAL = "INTERNAL"
    BOT = "BOT"
    MIXED = "MIXED"
    ALL = "ALL"


@unique
class Direction(Symbol):
    """Who called whom, seen from the contact centre."""

    UNKNOWN = "UNKNOWN"
    INBOUND = "INBOUND"
    OUTBOUND = "OUTBOUND"
    INTERNAL = "INTERNAL"


@unique
class ParticipantRole(Symbol):
    """The part a participant plays in the call."""

    UNKNOWN = "UNKNOWN"
    CUSTOMER = "CUSTOMER"
    AGENT = "AGENT"
    BOT = "BOT"
    SUPERVISOR = "SUPERVISOR"
    OTHER = "OTHER"


@unique
class CallEventKind(Symbol):
    """What happened to the call or its session."""

    UNKNOWN = "UNKNOWN"
    OPENED = "OPENED"
    INFO = "INFO"
    CLOSED = "CLOSED"
    PAUSED = "PAUSED"
    RESUMED = "RESUMED"
    DISCARDED = "DISCARDED"
    GAP = "GAP"
    DTMF = "DTMF"
    TRANSCRIPT = "TRANSCRIPT"
    INTENT = "INTENT"
    PLATFORM_ERROR = "PLATFORM_ERROR"
    RECONNECT = "RECONNECT"
    RECONNECT_EXHAUSTED = "RECONNECT_EXHAUSTED"
    NOT_AVAILABLE = "NOT_AVAILABLE"
    PLAYBACK_STARTED = "PLAYBACK_STARTED"
    PLAYBACK_COMPLETED = "PLAYBACK_COMPLETED"
    LANGUAGE_CHANGED = "LANGUAGE_CHANGED"
    RATE_LIMITED = "RATE_LIMITED"
    ALIVE = "ALIVE"
    TICK = "TICK"
    OTHER = "OTHER"


@unique
class ClosedBy(Symbol):
    """Who ended a connection."""

    UNKNOWN = "UNKNOWN"
    LOCAL = "LOCAL"
    REMOTE = "REMOTE"
    NETWORK = "NETWORK"
    TIMEOUT = "TIMEOUT"


@unique
class SilenceEventKind(Symbol):
    """STARTED kinds announce a span as soon as it is certain; the others state the finished span."""

    UNKNOWN = "UNKNOWN"
    SPEECH_STARTED = "SPEECH_STARTED"
    SPEECH = "SPEECH"
    SILENCE_STARTED = "SILENCE_STARTED"
    SILENCE = "SILENCE"
    DEAD_AIR_STARTED = "DEAD_AIR_STARTED"
    DEAD_AIR = "DEAD_AIR"
    OVERTALK_STARTED = "OVERTALK_STARTED"
    OVERTALK = "OVERTALK"
    RESPONSE = "RESPONSE"


@unique
class EndedBy(Symbol):
    """What ended a span."""

    UNKNOWN = "UNKNOWN"
    ONGOING = "ONGOING"
    SPEECH = "SPEECH"
    SILENCE = "SILENCE"
    GAP = "GAP"
    PAUSE = "PAUSE"
    DISCARD = "DISCARD"
    CLOSED = "CLOSED"
    IDLE = "IDLE"
    SOUND = "SOUND"


@unique
class ActivityKind(Symbol):
    """WINDOW is one second of media time; TOTAL sums the session up at its end."""

    UNKNOWN = "UNKNOWN"
    WINDOW = "WINDOW"
    TOTAL = "TOTAL"


@unique
class LossReportKind(Symbol):
    """WINDOW and FINAL are reports; CORRECTION replaces a FINAL; the others say an alarm was raised or cleared."""

    UNKNOWN = "UNKNOWN"
    WINDOW = "WINDOW"
    FINAL = "FINAL"
    CORRECTION = "CORRECTION"
    ALARM_RAISED = "ALARM_RAISED"
    ALARM_CLEARED = "ALARM_CLEARED"


@unique
class LossAlarm(Symbol):
    """Which alarm an alarm record is about; UNKNOWN on reports."""

    UNKNOWN = "UNKNOWN"
    LOSS = "LOSS"
    MOS = "MOS"
    STALL = "STALL"
    DRIFT = "DRIFT"
    NO_AUDIO = "NO_AUDIO"


@unique
class UtteranceKind(Symbol):
    """OPENED is the first record of a session, CLOSED its last; INTERIM texts may change, TEXT is final."""

    UNKNOWN = "UNKNOWN"
    OPENED = "OPENED"
    TEXT = "TEXT"
    INTERIM = "INTERIM"
    CLOSED = "CLOSED"


@unique
class UtteranceInput(Symbol):
    """Where the text comes from; UNKNOWN on OPENED and CLOSED."""

    UNKNOWN = "UNKNOWN"
    SPEECH = "SPEECH"
    PLATFORM = "PLATFORM"
    DTMF = "DTMF"


@unique
class BotTurnKind(Symbol):
    """What this record of a turn holds; TURN_END is its last."""

    UNKNOWN = "UNKNOWN"
    OUTPUT = "OUTPUT"
    INTENT = "INTENT"
    TRANSCRIPT = "TRANSCRIPT"
    ERROR = "ERROR"
    TURN_END = "TURN_END"
    SESSION = "SESSION"
    SLOW = "SLOW"


@unique
class TurnState(Symbol):
    """How far a turn has come."""

    UNKNOWN = "UNKNOWN"
    RECEIVED = "RECEIVED"
    SENDING = "SENDING"
    ANSWERED = "ANSWERED"
    FAILED = "FAILED"
    STALE = "STALE"
    SUPERSEDED = "SUPERSEDED"
    AMBIGUOUS = "AMBIGUOUS"


@unique
class BotSpeaker(Symbol):
    """Who spoke on the bot's side."""

    UNKNOWN = "UNKNOWN"
    BOT = "BOT"
    AGENT = "AGENT"
    ENGAGEMENT = "ENGAGEMENT"
    SYSTEM = "SYSTEM"


@unique
class BotTransport(Symbol):
    """How the bot was reached."""

    UNKNOWN = "UNKNOWN"
    REST = "REST"
    SOCKET = "SOCKET"
    BRIDGE = "BRIDGE"


@unique
class RecordingEventKind(Symbol):
    """What happened to a recording."""

    UNKNOWN = "UNKNOWN"
    SEGMENT_SEALED = "SEGMENT_SEALED"
    SYNC_POINT = "SYNC_POINT"
    ERASED = "ERASED"
    FAILED = "FAILED"


@unique
class AuditAction(Symbol):
    """What was done."""

    UNKNOWN = "UNKNOWN"
    LISTEN_STARTED = "LISTEN_STARTED"
    LISTEN_STOPPED = "LISTEN_STOPPED"
    LISTEN_DENIED = "LISTEN_DENIED"
    ACCESS = "ACCESS"
    EXPORT = "EXPORT"
    ERASE = "ERASE"
    REPLAY = "REPLAY"
    CONFIGURATION = "CONFIGURATION"
    DEAD_LETTER_SHOWN = "DEAD_LETTER_SHOWN"
    DEAD_LETTER_DROPPED = "DEAD_LETTER_DROPPED"
    DEAD_LETTER_EXPORTED = "DEAD_LETTER_EXPORTED"
    SERVICE_STARTED = "SERVICE_STARTED"
    SERVICE_STOPPED = "SERVICE_STOPPED"
    OTHER = "OTHER"


@unique
class AuditOutcome(Symbol):
    """How it ended."""

    UNKNOWN = "UNKNOWN"
    SUCCESS = "SUCCESS"
    DENIED = "DENIED"
    FAILED = "FAILED"
