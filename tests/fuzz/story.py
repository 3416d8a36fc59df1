"""What stands on the topics of a call, without what differs from run to run."""

from collections.abc import Iterable
from dataclasses import asdict

from audio.frames import decode
from ingest.sequencer import Outgoing
from schemas import topics
from schemas.records import CallEvent
from schemas.symbols import FrameKind
from tests.ingest.test_session import STORE

COLUMNS = ("reason", "codec", "channels", "sample_rate_hz", "sequence", "source_timestamp", "position_samples")
CHANCE = ("session_id", "occurred_at_us", "connection_age_ms", "last_frame_age_ms")


def told(records: Iterable[Outgoing]) -> dict[str, tuple[list, list]]:
    """Return the frames and the events of each conversation, in order."""
    stories: dict[str, tuple[list, list]] = {}
    by_topic: dict[str, list[Outgoing]] = {topics.AUDIO.name: [], topics.EVENTS.name: []}
    for record in records:
        by_topic[record.topic].append(record)
    values = [record.value for record in by_topic[topics.AUDIO.name]]
    frames = decode(values, STORE) if values else []
    for row, record in enumerate(by_topic[topics.AUDIO.name]):
        story = stories.setdefault((record.key or b"").decode(), ([], []))
        numbers = [int(getattr(frames, column)[row]) for column in (*COLUMNS, "duration_samples")]
        story[0].append((list(FrameKind)[frames.kind[row]].value, *numbers, frames.payload(row)))
    for record in by_topic[topics.EVENTS.name]:
        event = asdict(STORE.decode(record.value, CallEvent))
        stories[(record.key or b"").decode()][1].append({name: event[name] for name in event if name not in CHANCE})
    return stories
