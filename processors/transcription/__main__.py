"""The transcription service: `python -m processors.transcription`."""

from processors.transcription.config import TranscriptionSettings, tuning
from processors.transcription.forward import Transcription
from runtime.forwarder import run_forwarder
from runtime.service import Service, main
from schemas.records import CallEvent
from schemas.topics import EVENTS


async def start(service: Service[TranscriptionSettings], topic: str = EVENTS.name) -> None:
    """Run transcription of a topic on the Forwarder until the service stops."""
    settings = service.settings
    transcription = Transcription(tuning(settings), settings.lookback_s * 1000, topic)
    await run_forwarder(service, transcription, record_type=CallEvent)


if __name__ == "__main__":
    main("transcription", TranscriptionSettings, start)
