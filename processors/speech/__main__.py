"""The speech service: `python -m processors.speech`."""

from processors.speech.config import SpeechSettings, tuning
from processors.speech.live import MeteredSpeech
from runtime.service import Service, main
from runtime.worker import run_tasks
from schemas.topics import SPEECH


async def start(service: Service[SpeechSettings]) -> None:
    """Run the processor on the task host until the service stops."""
    await run_tasks(service, MeteredSpeech(tuning(service.settings)), outputs=[SPEECH.name])


if __name__ == "__main__":
    main("speech", SpeechSettings, start)
