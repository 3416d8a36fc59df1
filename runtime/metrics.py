"""Every metric of the product, declared once: `callstream_<component>_<noun>_<unit>_total`, base units.

Labels are bounded by the deployment: partitions, topics, reasons from a fixed list. No call, caller or agent is ever
a label. Each process counts from zero; a component that does not use a section leaves it at zero.
"""

from prometheus_client import Counter, Gauge, Histogram

_FAST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SLOW_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

# every service

SERVICE = Gauge("callstream_service_info", "1 for the component and version that run here.", ["component", "version"])
READY = Gauge("callstream_service_ready_ratio", "1 while the service is ready, else 0.")
LOOP_STALL = Histogram(
    "callstream_service_loop_stall_seconds", "How much later than planned the event loop ran a timer.", buckets=_FAST_S
)
LOG_KEYS_DROPPED = Counter(
    "callstream_service_log_keys_dropped_total", "Log keys left out because they are not declared, or personal."
)

# HTTP and the schema registry

HTTP_REQUESTS = Counter("callstream_http_requests_total", "Requests by peer and how they ended.", ["peer", "outcome"])
HTTP_SECONDS = Histogram("callstream_http_request_seconds", "How long requests took.", ["peer"], buckets=_SLOW_S)
REGISTRY_LOOKUPS = Counter("callstream_registry_lookups_total", "Schema ids asked of the registry.", ["outcome"])

# connections we dial, and their tokens

WEBSOCKET_ATTEMPTS = Counter(
    "callstream_websocket_attempts_total", "Attempts to connect by peer and how they ended.", ["peer", "outcome"]
)
WEBSOCKET_OPEN = Gauge("callstream_websocket_connections_open", "Connections we dialled, open now.", ["peer"])
WEBSOCKET_ENDED = Counter(
    "callstream_websocket_connections_ended_total",
    "Connections ended, by who did: local is no drop.",
    ["peer", "outcome"],
)
WEBSOCKET_GIVEN_UP = Counter("callstream_websocket_given_up_total", "Peers no longer dialled.", ["peer", "reason"])
WEBSOCKET_ROUND_TRIP_SECONDS = Histogram(
    "callstream_websocket_round_trip_seconds", "From a ping of ours to its pong.", ["peer"], buckets=_FAST_S
)
OAUTH_REQUESTS = Counter("callstream_oauth_requests_total", "Requests for a token by how they ended.", ["outcome"])

# the task host

TASK_RECORDS = Counter("callstream_task_records_total", "Input records processed.", ["topic", "partition"])
TASK_OUTPUTS = Counter("callstream_task_outputs_total", "Records written to output topics.", ["topic"])
TASK_DEAD_LETTERS = Counter("callstream_task_dead_letters_total", "Records written to the dead letters.", ["reason"])
TASK_PARTITIONS = Gauge("callstream_task_partitions_owned", "Input partitions this process works on.")
TASK_COMMIT_SECONDS = Histogram("callstream_task_commit_seconds", "How long a commit took.", buckets=_FAST_S)
TASK_RESTORE_SECONDS = Histogram("callstream_task_restore_seconds", "How long a restore took.", buckets=_SLOW_S)
TASK_STEP_SECONDS = Histogram("callstream_task_step_seconds", "How long one poll's processing took.", buckets=_FAST_S)
TASK_STATE_BYTES = Gauge("callstream_task_state_bytes", "Size of a partition's newest snapshot.", ["partition"])
TASK_FENCED = Counter("callstream_task_fenced_total", "Tasks dropped because their producer was fenced.")
TASK_RESTARTS = Counter("callstream_task_restarts_total", "Tasks restored after an error.", ["reason"])
TASK_LAG_RECORDS = Gauge(
    "callstream_task_lag_records", "Records between our position and the partition's end.", ["topic", "partition"]
)
TASK_LAG_SECONDS = Gauge(
    "callstream_task_lag_seconds",
    "Age of the newest processed record: now while others wait behind it, else when it was processed.",
    ["topic", "partition"],
)
TASK_POLL_AGE_SECONDS = Gauge("callstream_task_poll_age_seconds", "Time since the last poll returned.")
TASK_COMMIT_AGE_SECONDS = Gauge(
    "callstream_task_commit_age_seconds", "For how long processed records have waited for a commit; 0 while none do."
)
TASK_UNAVAILABLE = Counter("callstream_task_unavailable_total", "Times Kafka did not answer.")
IDENTITY_REPEATS = Counter("callstream_task_identity_repeats_total", "Records seen before, by session and sequence.")
IDENTITY_HOLES = Counter("callstream_task_identity_holes_total", "Holes in a session's sequence: a record is missing.")
IDENTITY_DROPPED = Counter("callstream_task_identity_dropped_total", "Records of a session that was closed before.")

# the Forwarder

FORWARD_RECORDS = Counter("callstream_forwarder_records_total", "Input records planned.", ["topic", "partition"])
FORWARD_OUTPUTS = Counter("callstream_forwarder_outputs_total", "Records written to output topics.", ["topic"])
FORWARD_DEAD_LETTERS = Counter(
    "callstream_forwarder_dead_letters_total", "Records written to the dead letters.", ["reason"]
)
FORWARD_PARTITIONS = Gauge("callstream_forwarder_partitions_owned", "Input partitions this process works on.")
FORWARD_PAUSED = Gauge("callstream_forwarder_partitions_paused", "Partitions not read because too much waits.")
FORWARD_IN_FLIGHT = Gauge("callstream_forwarder_in_flight_jobs", "Jobs under way.")
FORWARD_WAITING = Gauge("callstream_forwarder_waiting_records", "Records read and not finished.")
FORWARD_UNCOMMITTED = Gauge("callstream_forwarder_uncommitted_records", "Records finished and not committed.")
FORWARD_OLDEST_SECONDS = Gauge(
    "callstream_forwarder_oldest_waiting_seconds", "For how long the oldest unfinished record has waited; 0 for none."
)
FORWARD_LAG_RECORDS = Gauge(
    "callstream_forwarder_lag_records", "Records between what was read and the partition's end.", ["topic", "partition"]
)
FORWARD_POLL_AGE_SECONDS = Gauge("callstream_forwarder_poll_age_seconds", "Time since the last poll returned.")
FORWARD_COMMIT_SECONDS = Histogram(
    "callstream_forwarder_commit_seconds", "How long a commit of offsets took.", buckets=_FAST_S
)
FORWARD_PROOF_SECONDS = Histogram(
    "callstream_forwarder_proof_seconds",
    "From an intent's acknowledgement to the commit that proves the partition is still ours.",
    buckets=_FAST_S,
)
FORWARD_TAKE_OVER_SECONDS = Histogram(
    "callstream_forwarder_take_over_seconds", "How long it took to take a partition over.", buckets=_SLOW_S
)
FORWARD_FENCED = Counter("callstream_forwarder_fenced_total", "Times the group had given our partitions away.")
FORWARD_UNAVAILABLE = Counter("callstream_forwarder_unavailable_total", "Times Kafka did not answer.")

# ingest

INGEST_CONNECTIONS = Gauge("callstream_ingest_connections_open", "Connections open now.", ["source"])
INGEST_OWNED = Gauge(
    "callstream_ingest_connections_owned", "Connections we are to dial and keep open, open now or not.", ["source"]
)
INGEST_SESSIONS = Gauge("callstream_ingest_sessions_open", "Sessions open now.", ["source"])
INGEST_FRAMES = Counter("callstream_ingest_frames_total", "Media messages received.", ["source"])
INGEST_BYTES = Counter("callstream_ingest_received_bytes_total", "Bytes of media received.", ["source"])
INGEST_REFUSED = Counter("callstream_ingest_refused_total", "Connections refused.", ["source", "reason"])
INGEST_KEY_CHANGES = Counter(
    "callstream_ingest_key_changes_total", "Changes of a file of API keys, taken or refused.", ["source", "outcome"]
)
INGEST_ENDED = Counter("callstream_ingest_sessions_ended_total", "Sessions ended, by reason.", ["source", "reason"])
INGEST_PONG_SECONDS = Histogram(
    "callstream_ingest_pong_seconds", "From a ping's arrival to its answer.", ["source"], buckets=_FAST_S
)
INGEST_QUEUE_BYTES = Gauge("callstream_ingest_queue_bytes", "Bytes that wait to be written to Kafka.")
INGEST_DROPPED = Counter(
    "callstream_ingest_frames_dropped_total", "Frames not stored; each stands in a GAP.", ["reason"]
)
INGEST_OBSERVED = Counter(
    "callstream_ingest_observations_total", "What protocols noticed that is no fact of a call.", ["source", "what"]
)
INGEST_DRIFT_SAMPLES = Counter(
    "callstream_ingest_drift_samples_total",
    "By how much the positions sources state moved away from ours, either way.",
    ["source"],
)
INGEST_UNACKNOWLEDGED_SECONDS = Gauge(
    "callstream_ingest_unacknowledged_seconds", "Age of the oldest record Kafka has not acknowledged."
)
INGEST_APPEND_SECONDS = Histogram(
    "callstream_ingest_append_seconds", "From a record's arrival to Kafka's acknowledgement.", buckets=_FAST_S
)
INGEST_SPOOL_BYTES = Gauge("callstream_ingest_spool_bytes", "Size of the spool's files on disk.")
INGEST_SPOOL_RECORDS = Gauge("callstream_ingest_spool_records", "Records on disk that Kafka has not acknowledged.")
INGEST_SPOOL_STATE = Gauge(
    "callstream_ingest_spool_state_info",
    "1 for what the spool does now: off, idle, active, full (audio is dropped) or failing (memory only).",
    ["state"],
)
INGEST_SOURCES_PAUSED = Gauge(
    "callstream_ingest_sources_paused",
    "1 while the spool is nearly full and the peers that can be asked are asked to send no audio (OWN_PAUSE).",
)
INGEST_SPOOL_ERRORS = Counter(
    "callstream_ingest_spool_errors_total",
    "What went wrong on disk: write, read, full, damaged (a block was set aside), foreign (a file was).",
    ["what"],
)
INGEST_SPOOL_ASIDE_BYTES = Gauge(
    "callstream_ingest_spool_aside_bytes", "Size of what was set aside on disk: damaged, or of another key."
)
INGEST_SPOOL_ASIDE_REMOVED_BYTES = Counter(
    "callstream_ingest_spool_aside_removed_bytes_total", "Set aside and removed: there was more than may be kept."
)
INGEST_SPOOL_RECOVERED = Counter(
    "callstream_ingest_spool_recovered_records_total",
    "Records that an earlier process left on disk and that were appended, by what became of them.",
    ["outcome"],
)
INGEST_SPOOL_LOST_SESSIONS = Counter(
    "callstream_ingest_spool_sessions_lost_total",
    "Sessions that an earlier process left open; each got GAP and CLOSED (INGEST_LOST).",
)
INGEST_PLATFORM_WATCHED = Gauge(
    "callstream_ingest_platform_conversations_open", "Conversations the platform is asked about."
)
INGEST_PLATFORM_QUESTIONS = Counter(
    "callstream_ingest_platform_questions_total", "Questions about a conversation, by what came of them.", ["outcome"]
)
INGEST_PLATFORM_AGE_SECONDS = Histogram(
    "callstream_ingest_platform_answer_age_seconds",
    "How old an answer had become when the next one came: a pause was known at most so long after it began or ended.",
    buckets=(1, 2.5, 5, 5.25, 5.5, 6, 7.5, 10, 15, 20, 30, 60, 120, 300),
)
INGEST_PLATFORM_STALE = Counter(
    "callstream_ingest_platform_stale_total", "Times no answer came for so long that the last one counted no more."
)
INGEST_FOLLOW_MEMBER = Gauge(
    "callstream_ingest_follow_member_info",
    "1 while this process is a member of the group that shares calls.subscriptions.",
)
INGEST_FOLLOW_PARTITIONS = Gauge(
    "callstream_ingest_follow_partitions_owned", "Partitions of calls.subscriptions whose calls this process follows."
)
INGEST_FOLLOWED = Gauge(
    "callstream_ingest_followed_calls_owned", "Calls followed here because a subscription says so.", ["source"]
)
INGEST_FOLLOW_REFUSED = Counter(
    "callstream_ingest_subscriptions_refused_total", "Subscriptions that could not be followed.", ["reason"]
)
INGEST_FOLLOW_TAKEN_OVER = Counter(
    "callstream_ingest_calls_taken_over_total",
    "Calls that came with a partition, by whether a predecessor was found.",
    ["predecessor"],
)

# sinks

SINK_ENTRIES = Counter("callstream_sink_entries_total", "Entries written.", ["topic"])
SINK_BYTES = Counter("callstream_sink_written_bytes_total", "Bytes written.")
SINK_REPEATS = Counter("callstream_sink_repeats_total", "Records left out because they were written before.")
SINK_RECORDINGS = Counter("callstream_sink_recordings_sealed_total", "Recordings sealed.")
SINK_DEAD_LETTERS = Counter("callstream_sink_dead_letters_total", "Records written to the dead letters.", ["reason"])
SINK_WRITE_SECONDS = Histogram("callstream_sink_write_seconds", "How long one atomic write took.", buckets=_SLOW_S)
SINK_LAG_RECORDS = Gauge(
    "callstream_sink_lag_records", "Records between the stored mark and the partition's end.", ["topic", "partition"]
)

# loss: counted as reports are emitted, again when they are written again after a failed commit

_STREAM_LABELS = ["source", "codec", "channel"]
LOSS_EXPECTED_PACKETS = Counter("callstream_loss_expected_packets_total", "Packets sources sent.", _STREAM_LABELS)
LOSS_LOST_PACKETS = Counter(
    "callstream_loss_lost_packets_total", "Packets given up; some may have come late since.", _STREAM_LABELS
)
LOSS_LATE_PACKETS = Counter(
    "callstream_loss_late_packets_total", "Packets that came after they were given up.", _STREAM_LABELS
)
LOSS_REORDERED_PACKETS = Counter(
    "callstream_loss_reordered_packets_total", "Packets that came behind a later one.", _STREAM_LABELS
)
LOSS_DUPLICATE_PACKETS = Counter("callstream_loss_duplicate_packets_total", "Packets that came again.", _STREAM_LABELS)
LOSS_MEDIA_SECONDS = Counter(
    "callstream_loss_media_seconds_total",
    "Media that did not come in time, by what became of it: discarded, paused, reconnect, dropped, stalled.",
    [*_STREAM_LABELS, "reason"],
)
LOSS_JITTER_SECONDS = Histogram(
    "callstream_loss_jitter_seconds", "Interarrival jitter at the end of each report.", _STREAM_LABELS, buckets=_FAST_S
)
LOSS_DELAY_SECONDS = Histogram(
    "callstream_loss_delay_seconds",
    "The delay above the least that 95 % of the frames of a report had at most.",
    _STREAM_LABELS,
    buckets=_FAST_S,
)
LOSS_ALARMS = Counter("callstream_loss_alarms_total", "Alarms raised and cleared.", ["source", "alarm", "outcome"])

# speech: counted as frames are decided, again when they are decided again after a failed commit

SPEECH_BYTES = Counter(
    "callstream_speech_bytes_total",
    "Bytes of audio records by what became of them: passed or left_out; the share of left_out is what is saved.",
    ["outcome"],
)

# transcription

TRANSCRIPTION_UTTERANCES = Counter(
    "callstream_transcription_utterances_total", "Utterances written, repeats too.", ["kind", "input"]
)
TRANSCRIPTION_OBSERVED = Counter(
    "callstream_transcription_observations_total",
    "What was noticed about events and is no utterance; what is read again at a takeover counts again.",
    ["what"],
)

# cognigy

COGNIGY_TURNS = Counter("callstream_cognigy_turns_total", "Turns that ended, by how.", ["state"])
COGNIGY_MARKED = Counter(
    "callstream_cognigy_turns_marked_total",
    "Turns that were late, slow, superseded, ambiguous or (records of them) not stored.",
    ["mark"],
)
COGNIGY_ATTEMPTS = Counter("callstream_cognigy_attempts_total", "Requests to the bot, by outcome.", ["outcome"])
COGNIGY_RESPONSE_SECONDS = Histogram(
    "callstream_cognigy_response_seconds", "From a request to its answer, whatever its status.", buckets=_SLOW_S
)
COGNIGY_RECORD_SECONDS = Histogram(
    "callstream_cognigy_record_seconds",
    "From the end of the bot's answer to its records' acknowledgement.",
    buckets=_FAST_S,
)
COGNIGY_DOWN = Gauge("callstream_cognigy_bot_down_info", "1 while the bot counts as down: inputs wait, few are tried.")
COGNIGY_BRIDGE_MESSAGES = Counter(
    "callstream_cognigy_bridge_messages_total",
    "Messages of bridges, by type; unknown, malformed, binary and repeat are types too.",
    ["type"],
)
COGNIGY_UNASKED = Counter(
    "callstream_cognigy_unasked_total", "What bots said without having been asked, written or dropped.", ["outcome"]
)
COGNIGY_AUDIO = Counter(
    "callstream_cognigy_audio_chunks_total", "Pieces of callers' audio for bridges, by what became of it.", ["outcome"]
)


def total(counter: Counter) -> float:
    """Return the sum of a counter over its labels."""
    return sum(s.value for metric in counter.collect() for s in metric.samples if s.name.endswith("_total"))
