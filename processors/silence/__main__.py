"""The silence service: `python -m processors.silence`."""

from processors.silence.config import SilenceSettings, tuning
from processors.silence.logic import SilenceProcessor
from runtime.service import Service, main
from runtime.worker import run_tasks
from schemas.topics import ACTIVITY, SILENCE


async def start(service: Service[SilenceSettings]) -> None:
    """Run the processor on the task host until the service stops."""
    await run_tasks(service, SilenceProcessor(tuning(service.settings)), outputs=[SILENCE.name, ACTIVITY.name])


if __name__ == "__main__":
    main("silence", SilenceSettings, start)
