"""The recording_sync service: `python -m sinks.recording_sync`."""

from runtime.service import Service, main
from runtime.sink import Membership, SinkOptions
from runtime.sink_feed import run_sink
from schemas.topics import AUDIO
from sinks.recording_sync.announcer import Announcer
from sinks.recording_sync.config import RecordingSyncSettings, check_settings, rules
from sinks.recording_sync.objects import Objects
from sinks.recording_sync.writer import RecordingSink


async def start(service: Service[RecordingSyncSettings], topic: str = AUDIO.name) -> None:
    """Record a topic until the service stops."""
    settings = service.settings
    announcer = Announcer(settings.kafka, service.store, f"{service.name}-events")
    sink = RecordingSink(
        settings.work_folder,
        Objects.open(settings.store_url),
        announcer.announce,
        store=service.store,
        rules=rules(settings),
        most_open_files=settings.most_open_files,
    )
    options = SinkOptions(
        topics=(topic,),
        membership=Membership.GROUP,
        interval_s=settings.write_interval_s,
        waiting_bytes=settings.waiting_bytes,
    )
    try:
        await run_sink(service, sink, options)
    finally:
        await announcer.close()


if __name__ == "__main__":
    main("recording_sync", RecordingSyncSettings, start, check_settings)
