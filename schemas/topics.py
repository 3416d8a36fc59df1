"""The catalogue of topics: what stands on each, how it is keyed, how long it stays, and who alone may write it.

Topic names come from here through one prefix: empty live, `replay.<name>.` in a replay.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from schemas import records
from schemas.records import Record

DEFAULT_PARTITIONS = 24
"""Partitions of every topic keyed by conversation, on a cluster of one's own."""
EMBEDDED_PARTITIONS = 4
"""The same on the embedded broker."""

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: `name` without prefix, its key, its record type (None: bytes as received) and its only writer.

    `retention_ms` is None where records stay until compacted. `config` holds further broker settings.
    """

    name: str
    key: str
    record: type[Record] | None
    writer: str
    delivery: str
    retention_ms: int | None
    cleanup_policy: str = "delete"
    log_append_time: bool = False
    config: Mapping[str, str] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """The registry subject of its values."""
        return f"{self.name}-value"

    def broker_config(self) -> dict[str, str]:
        """Return the topic's settings as the broker names them."""
        settings = {
            "cleanup.policy": self.cleanup_policy,
            "message.timestamp.type": "LogAppendTime" if self.log_append_time else "CreateTime",
            **self.config,
        }
        if self.retention_ms is not None:
            settings["retention.ms"] = str(self.retention_ms)
        return settings


_CONVERSATION = "conversation id"
_INGEST = "each record at least once; a repeat carries the same (session_id, sequence)"
_EXACT = "exactly once"
_DETERMINISTIC = "at least once, deterministic id"

AUDIO = Topic("calls.audio", _CONVERSATION, records.AudioFrame, "ingest", _INGEST, _DAY_MS, log_append_time=True)
EVENTS = Topic("calls.events", _CONVERSATION, records.CallEvent, "ingest", _INGEST, 7 * _DAY_MS, log_append_time=True)
SILENCE = Topic("calls.silence", _CONVERSATION, records.SilenceEvent, "silence", _EXACT, 7 * _DAY_MS)
ACTIVITY = Topic("calls.activity", _CONVERSATION, records.ActivityWindow, "silence", _EXACT, 7 * _DAY_MS)
SPEECH = Topic("calls.speech", _CONVERSATION, records.AudioFrame, "speech", _EXACT, _DAY_MS)
LOSS = Topic("calls.loss", _CONVERSATION, records.LossReport, "loss", _EXACT, 7 * _DAY_MS)
UTTERANCES = Topic("calls.utterances", _CONVERSATION, records.Utterance, "transcription", _DETERMINISTIC, 7 * _DAY_MS)
BOT = Topic("calls.bot", _CONVERSATION, records.BotTurn, "cognigy", _DETERMINISTIC, 7 * _DAY_MS)
BOT_AUDIO = Topic("calls.bot-audio", _CONVERSATION, records.BotAudio, "cognigy", _DETERMINISTIC, _HOUR_MS)
RECORDINGS = Topic(
    "calls.recordings", _CONVERSATION, records.RecordingEvent, "recording_sync", _DETERMINISTIC, 7 * _DAY_MS
)
AUDIT = Topic(
    "calls.audit", "actor or conversation id", records.AuditEvent, "any service", "at least once, id", 400 * _DAY_MS
)
SUBSCRIPTIONS = Topic(
    "calls.subscriptions",
    _CONVERSATION,
    records.Subscription,
    "operator, ingest's list and file modes",
    "at least once",
    None,
    cleanup_policy="compact",
)

PUBLIC: tuple[Topic, ...] = (
    AUDIO,
    EVENTS,
    SILENCE,
    ACTIVITY,
    SPEECH,
    LOSS,
    UTTERANCES,
    BOT,
    BOT_AUDIO,
    RECORDINGS,
    AUDIT,
    SUBSCRIPTIONS,
)
"""The topics other teams may read, in the order of the data flow. All have the same partition count."""

AUDIO_SESSION_INFO_SUBJECT = "calls.audio-session-info"
"""Registry subject of the SessionInfo inside OPENED and INFO payloads."""

GROUPS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "silence": ("calls.audio", "changelog"),
        "speech": ("calls.audio", "changelog"),
        "loss": ("calls.audio", "changelog"),
        "transcription": ("calls.events", ""),
        "cognigy": ("calls.utterances", "turns"),
        "recording_sync": ("calls.audio", ""),
        "audit_log": ("calls.events", ""),
        "ingest": ("calls.subscriptions", ""),
    }
)
"""Consumer group → the topic whose retention its dead letters follow, and the kind of its state topic, if any."""


def by_name(name: str) -> Topic:
    """Return the public topic of that catalogue name. Raises `KeyError` for any other name."""
    for topic in PUBLIC:
        if topic.name == name:
            return topic
    raise KeyError(name)


# of topics that carry the same record the first counts
_TOPIC_OF: Mapping[type[Record] | None, Topic] = MappingProxyType({topic.record: topic for topic in reversed(PUBLIC)})


def topic_of(record_type: type[Record]) -> Topic:
    """Return the public topic that carries this record; of frames the one ingest writes, not that of copies.

    Raises `KeyError` for a record that is on no public topic.
    """
    return _TOPIC_OF[record_type]


def dead_letters(group: str) -> Topic:
    """Return the dead-letter topic of a group: bytes as received, for as long as their source topic keeps them."""
    source = by_name(GROUPS[group][0]) if group in GROUPS else AUDIO
    return Topic(
        f"{_dashed(group)}.dlq",
        "as input",
        None,
        group,
        "with the step that wrote it",
        # letters of a topic that keeps the newest of each key need not outlive a week
        source.retention_ms if source.retention_ms is not None else 7 * _DAY_MS,
        # the largest record a source topic takes, and its headers
        config={"max.message.bytes": str(2 * 2**20)},
    )


def changelog(group: str) -> Topic:
    """Return the changelog of a consumer group: the newest state of each input partition."""
    return Topic(
        f"{_dashed(group)}.changelog",
        "<topic>/<partition>",
        records.ChangelogEntry,
        group,
        "with the step that wrote it",
        None,
        cleanup_policy="compact",
        log_append_time=True,
        config={
            "segment.bytes": str(16 * 2**20),
            "segment.ms": str(600_000),
            "max.message.bytes": str(16 * 2**20),
            "min.cleanable.dirty.ratio": "0.1",
        },
    )


def turns(group: str) -> Topic:
    """Return the topic of a group's bot turns: keys `<turn id>/intent` and `<turn id>/result`."""
    return Topic(
        f"{_dashed(group)}.turns",
        "turn id",
        records.TurnEntry,
        group,
        "with the step that wrote it",
        _DAY_MS,
        cleanup_policy="compact,delete",
        log_append_time=True,
    )


def of_group(group: str) -> tuple[Topic, ...]:
    """Return the topics a consumer group owns."""
    state = {"changelog": (changelog(group),), "turns": (turns(group),)}.get(GROUPS[group][1], ())
    return (dead_letters(group), *state)


def all_topics() -> tuple[Topic, ...]:
    """Return every topic of the catalogue."""
    return PUBLIC + tuple(topic for group in GROUPS for topic in of_group(group))


def _dashed(group: str) -> str:
    return group.replace("_", "-")
