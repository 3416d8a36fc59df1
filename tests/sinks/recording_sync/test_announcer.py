import socket

import pytest

from runtime.config import KafkaSettings
from runtime.errors import Unavailable
from schemas.codec import SchemaStore
from schemas.records import Origin, RecordingEvent
from sinks.recording_sync.announcer import Announcer

EVENT = RecordingEvent(
    conversation_id="c", session_id="s", origin=Origin(topic="calls.audio", partition=0, offset=0, index=0)
)


async def test_without_a_broker_an_event_is_unavailable_each_time_and_no_client_is_left_behind():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    announcer = Announcer(KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}"), SchemaStore(), "test")
    for _ in range(2):
        with pytest.raises(Unavailable):
            await announcer.announce(EVENT, 0, 0)
    await announcer.close()
