"""The records of the contract as frozen dataclasses, one per schema folder.

Units end the names. Absent quantities are -1; quantities that may be negative are None when absent. Times are
microseconds since the epoch (`_us`), positions are samples on the session's media clock (`_samples`).
What each field means stands in its schema (`schemas/<record>/vN.avsc`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.symbols import (
    ActivityKind,
    AuditAction,
    AuditOutcome,
    BotSpeaker,
    BotTransport,
    BotTurnKind,
    CallEventKind,
    Channel,
    Channels,
    ClosedBy,
    Codec,
    Direction,
    EndedBy,
    FrameKind,
    LossAlarm,
    LossReportKind,
    ParticipantRole,
    Reason,
    RecordingEventKind,
    SilenceEventKind,
    Source,
    TurnState,
    UtteranceInput,
    UtteranceKind,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Names the input record that caused an output, and the output's number among those it caused."""

    topic: str
    partition: int
    offset: int
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A stretch of the media timeline for which there is no audio."""

    reason: Reason = Reason.UNKNOWN
    start_samples: int
    duration_samples: int = -1
    estimated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """One party of the call."""

    role: ParticipantRole = ParticipantRole.UNKNOWN
    id: str | None = None
    name: str | None = None
    address: str | None = None
    dialled: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFrame:
    """One message of a call's audio, or a mark on its timeline.

    Every field before the payload has a fixed width, so that a whole poll can be viewed as columns.
    """

    kind: FrameKind = FrameKind.UNKNOWN
    reason: Reason = Reason.UNKNOWN
    source: Source = Source.UNKNOWN
    codec: Codec = Codec.UNKNOWN
    channels: Channels = Channels.UNKNOWN
    late: bool = False
    marker: bool = False
    payload_type: float = -1
    sample_rate_hz: float = -1
    source_clock_hz: float = -1
    source_sequence_bits: float = 0
    source_timestamp_bits: float = 0
    session_id: bytes = bytes(16)
    stream: float = -1
    sequence: float = -1
    source_sequence: float = -1
    source_timestamp: float = -1
    position_samples: float = -1
    duration_samples: float = -1
    captured_at_s: float = -1
    payload: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """What is known about a session. INFO repeats it whole when a field became known or changed."""

    conversation_id: str
    source_name: str = ""
    organisation: str | None = None
    direction: Direction = Direction.UNKNOWN
    language: str | None = None
    participants: tuple[Participant, ...] = ()
    platform_session_id: str | None = None
    correlation_id: str | None = None
    continued_from: str | None = None
    queue: str | None = None
    agent: str | None = None
    division: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent:
    """A fact about a call with its business detail, for people and sinks."""

    kind: CallEventKind = CallEventKind.UNKNOWN
    conversation_id: str
    session_id: str
    organisation: str | None = None
    queue: str | None = None
    agent: str | None = None
    channel: Channel = Channel.UNKNOWN
    source: Source = Source.UNKNOWN
    source_name: str = ""
    event_counter: int = -1
    audio_sequence: int = -1
    reason: Reason = Reason.UNKNOWN
    occurred_at_us: int = -1
    sample_rate_hz: int = -1
    position_samples: int = -1
    duration_samples: int = -1
    estimated: bool = False
    session_info: SessionInfo | None = None
    digit: str | None = None
    text: str | None = None
    text_id: str | None = None
    is_final: bool = False
    start_samples: int = -1
    end_samples: int = -1
    language: str | None = None
    confidence: float = -1
    intent: str | None = None
    data_json: str | None = None
    code: int = -1
    message: str | None = None
    closed_by: ClosedBy = ClosedBy.UNKNOWN
    attempt: int = -1
    connection_age_ms: int = -1
    last_frame_age_ms: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceEvent:
    """Speech, silence, dead air or overtalk on a session's timeline. An event once written stands."""

    kind: SilenceEventKind = SilenceEventKind.UNKNOWN
    conversation_id: str
    session_id: str
    organisation: str | None = None
    queue: str | None = None
    agent: str | None = None
    channel: Channel = Channel.UNKNOWN
    source: Source = Source.UNKNOWN
    sample_rate_hz: int = -1
    anchor_at_us: int = -1
    captured_at_us: int = -1
    start_samples: int = -1
    end_samples: int = -1
    duration_ms: float = -1
    level_dbfs: float | None = None
    confidence: float = -1
    ended_by: EndedBy = EndedBy.UNKNOWN
    alarm: bool = False
    detector: str = ""
    origin: Origin
    settings_hash: str = ""
    partial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityWindow:
    """One second of one channel in numbers, or the session's totals."""

    kind: ActivityKind = ActivityKind.UNKNOWN
    conversation_id: str
    session_id: str
    organisation: str | None = None
    queue: str | None = None
    agent: str | None = None
    channel: Channel = Channel.UNKNOWN
    source: Source = Source.UNKNOWN
    sample_rate_hz: int = -1
    anchor_at_us: int = -1
    captured_at_us: int = -1
    start_samples: int = -1
    end_samples: int = -1
    level_dbfs: float | None = None
    peak_dbfs: float | None = None
    active_level_dbfs: float | None = None
    noise_floor_dbfs: float | None = None
    dc_offset_ratio: float | None = None
    speech_ratio: float = -1
    clipped_samples: int = -1
    audio_ms: float = -1
    missing_ms: float = -1
    paused_ms: float = -1
    first_sequence: int = -1
    last_sequence: int = -1
    frames: int = -1
    bytes: int = -1
    frames_with_signal: int = -1
    speech_ms: float = -1
    silence_ms: float = -1
    overtalk_ms: float = -1
    dead_air_ms: float = -1
    longest_silence_ms: float = -1
    interruptions: int = -1
    response_mean_ms: float = -1
    origin: Origin
    settings_hash: str = ""
    partial: bool = False
    sound_ms: float = -1
    silence_ratio: float = -1
    talk_share_ratio: float = -1
    responses: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class LossReport:
    """What was lost, late or missing on the way, per window and at the end; or an alarm about it.

    Kinds of loss are never mixed.
    """

    kind: LossReportKind = LossReportKind.UNKNOWN
    alarm: LossAlarm = LossAlarm.UNKNOWN
    alarm_value: float | None = None
    alarm_threshold: float | None = None
    conversation_id: str
    session_id: str
    organisation: str | None = None
    queue: str | None = None
    agent: str | None = None
    channel: Channel = Channel.UNKNOWN
    source: Source = Source.UNKNOWN
    sample_rate_hz: int = -1
    anchor_at_us: int = -1
    captured_at_us: int = -1
    codec: Codec = Codec.UNKNOWN
    stream: int = -1
    segment: int = -1
    start_samples: int = -1
    end_samples: int = -1
    frames: int = -1
    bytes: int = -1
    frames_per_s: float = -1
    bytes_per_s: float = -1
    media_ratio: float = -1
    expected: int = -1
    received: int = -1
    unique: int = -1
    duplicates: int = -1
    reordered: int = -1
    reorder_extent: int = -1
    reorder_extent_ms: float = -1
    late: int = -1
    lost: int = -1
    lost_signed: int | None = None
    loss_ratio: float = -1
    cumulative_expected: int = -1
    cumulative_lost: int = -1
    cumulative_loss_ratio: float = -1
    restarts: int = -1
    lost_ms: float = -1
    discarded_ms: float = -1
    paused_ms: float = -1
    reconnect_ms: float = -1
    dropped_ms: float = -1
    late_ms: float = -1
    drift_samples: int | None = None
    jitter_ms: float = -1
    jitter_mean_ms: float = -1
    jitter_max_ms: float = -1
    delay_p50_ms: float = -1
    delay_p95_ms: float = -1
    delay_p99_ms: float = -1
    delay_max_ms: float = -1
    stalls: int = -1
    stall_ms: float = -1
    stall_longest_ms: float = -1
    media_lag_ms: float = -1
    longest_gap_ms: float = -1
    burst_density_ratio: float = -1
    burst_duration_ms: float = -1
    gap_density_ratio: float = -1
    gap_duration_ms: float = -1
    burst_ratio: float = -1
    packet_loss_percent: float = -1
    equipment_impairment: float = -1
    loss_robustness: float = -1
    concealment: bool = False
    r_factor: float | None = None
    mos_lq_est: float = -1
    quality_in_range: bool = False
    gaps: tuple[Gap, ...] = ()
    corrects: str | None = None
    origin: Origin
    settings_hash: str = ""
    partial: bool = False
    closed_reason: Reason = Reason.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """A text input of the caller or agent: opened first, one record per text, closed last."""

    kind: UtteranceKind = UtteranceKind.UNKNOWN
    conversation_id: str
    session_id: str
    organisation: str | None = None
    queue: str | None = None
    agent: str | None = None
    channel: Channel = Channel.UNKNOWN
    utterance_id: str = ""
    input: UtteranceInput = UtteranceInput.UNKNOWN
    text: str | None = None
    language: str | None = None
    confidence: float = -1
    sample_rate_hz: int = -1
    start_samples: int = -1
    end_samples: int = -1
    event_counter: int = -1
    occurred_at_us: int = -1
    session_info: SessionInfo | None = None
    reason: Reason = Reason.UNKNOWN
    recognizer: str | None = None
    origin: Origin
    settings_hash: str = ""
    partial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BotTurn:
    """One step of a bot turn. Outputs come in order, TURN_END last."""

    kind: BotTurnKind = BotTurnKind.UNKNOWN
    conversation_id: str
    session_id: str
    organisation: str | None = None
    queue: str | None = None
    agent: str | None = None
    channel: Channel = Channel.UNKNOWN
    turn_id: str = ""
    utterance_id: str = ""
    index: int = -1
    state: TurnState = TurnState.UNKNOWN
    speaker: BotSpeaker = BotSpeaker.UNKNOWN
    transport: BotTransport = BotTransport.UNKNOWN
    text: str | None = None
    data_json: str | None = None
    intent: str | None = None
    intent_score: float = -1
    intent_origin: str | None = None
    trace_id: str | None = None
    late: bool = False
    superseded: bool = False
    ambiguous: bool = False
    slow: bool = False
    error_class: str | None = None
    error_code: int = -1
    error_message: str | None = None
    retryable: bool = False
    attempts: int = -1
    queue_ms: float = -1
    response_ms: float = -1
    total_ms: float = -1
    produced_at_us: int = -1
    origin: Origin
    settings_hash: str = ""
    partial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BotAudio:
    """A piece of the bot's speech."""

    conversation_id: str
    session_id: str
    organisation: str | None = None
    queue: str | None = None
    agent: str | None = None
    channel: Channel = Channel.UNKNOWN
    turn_id: str = ""
    index: int = -1
    codec: Codec = Codec.UNKNOWN
    sample_rate_hz: int = -1
    position_samples: int = -1
    is_last: bool = False
    produced_at_us: int = -1
    payload: bytes = b""
    origin: Origin
    settings_hash: str = ""
    partial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingEvent:
    """A recording was sealed, synchronised, erased or failed."""

    kind: RecordingEventKind = RecordingEventKind.UNKNOWN
    event_id: str = ""
    conversation_id: str
    session_id: str
    organisation: str | None = None
    queue: str | None = None
    agent: str | None = None
    channel: Channel = Channel.UNKNOWN
    source: Source = Source.UNKNOWN
    sample_rate_hz: int = -1
    anchor_at_us: int = -1
    captured_at_us: int = -1
    recording_id: str = ""
    segment: int = -1
    location: str = ""
    sidecar_location: str | None = None
    media_type: str = ""
    codec: Codec = Codec.UNKNOWN
    channels: Channels = Channels.UNKNOWN
    start_samples: int = -1
    end_samples: int = -1
    size_bytes: int = -1
    sha512: str = ""
    gaps: tuple[Gap, ...] = ()
    closed_reason: Reason = Reason.UNKNOWN
    source_sequence: int = -1
    source_timestamp: int = -1
    position_samples: int = -1
    sample_index: int = -1
    retention_class: str | None = None
    message: str | None = None
    origin: Origin
    settings_hash: str = ""
    partial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """Somebody or something did what an auditor will ask about."""

    event_id: str
    action: AuditAction = AuditAction.UNKNOWN
    outcome: AuditOutcome = AuditOutcome.UNKNOWN
    occurred_at_us: int = -1
    writer: str = ""
    writer_sequence: int = -1
    actor: str = ""
    object_kind: str = ""
    object_id: str = ""
    conversation_id: str | None = None
    organisation: str | None = None
    purpose: str | None = None
    lawful_basis: str | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    settings_hash: str = ""
    software_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A conversation ingest should follow; a tombstone ends it."""

    conversation_id: str
    source_name: str
    connection_id: str | None = None
    codec_preferences: tuple[str, ...] = ()
    organisation: str | None = None
    queue: str | None = None
    agent: str | None = None
    requested_by: str = ""
    requested_at_us: int = -1
    expires_at_us: int = -1
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangelogEntry:
    """Everything a task needs to go on: written in the same transaction as its outputs."""

    version: int
    position: int
    max_timestamp_ms: int = -1
    stream_time_ms: int = 0
    expired_at_ms: int = 0
    settings_hash: str = ""
    state: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnEntry:
    """State of a bot turn on the compacted turns topic."""

    turn_id: str
    state: TurnState = TurnState.UNKNOWN
    conversation_id: str = ""
    session_id: str = ""
    worker: str = ""
    attempt: int = -1
    written_at_us: int = -1
    origin: Origin


Record = (
    AudioFrame
    | SessionInfo
    | CallEvent
    | SilenceEvent
    | ActivityWindow
    | LossReport
    | Utterance
    | BotTurn
    | BotAudio
    | RecordingEvent
    | AuditEvent
    | Subscription
    | ChangelogEntry
    | TurnEntry
)
"""Everything that is written to a topic."""

Derived = SilenceEvent | ActivityWindow | LossReport | Utterance | BotTurn | BotAudio | RecordingEvent
"""Records made from other records: they carry `origin`, `settings_hash` and `partial`."""
