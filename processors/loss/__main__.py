"""The loss service: `python -m processors.loss`."""

from processors.loss.config import LossSettings, tuning
from processors.loss.live import MeteredLoss
from runtime.service import Service, main
from runtime.worker import run_tasks
from schemas.topics import LOSS


async def start(service: Service[LossSettings]) -> None:
    """Run the processor on the task host until the service stops."""
    await run_tasks(service, MeteredLoss(tuning(service.settings)), outputs=[LOSS.name])


if __name__ == "__main__":
    main("loss", LossSettings, start)
