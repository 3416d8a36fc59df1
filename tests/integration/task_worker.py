"""The task host as a process over a topic of one test: `task_worker.py TOPIC [STEP FLAG]`. It may be killed and frozen.

With STEP it stops itself, as SIGSTOP does, before that step of the first commit that finds no file FLAG, and makes it.
"""

import os
import signal
import sys
from pathlib import Path

from runtime.service import main
from runtime.tuning import ProcessorSettings
from runtime.worker import run_tasks
from tests.runtime.counting import CountingProcessor

TOPIC = sys.argv[1]
STEP, FLAG = sys.argv[2:4] if len(sys.argv) > 2 else ("", "")
del sys.argv[1:]


def before_step(name: str) -> None:
    if name == STEP and not Path(FLAG).exists():
        Path(FLAG).touch()
        os.kill(os.getpid(), signal.SIGSTOP)


async def start(service) -> None:
    processor = CountingProcessor()
    processor.input_topic = TOPIC
    await run_tasks(service, processor, outputs=["calls.activity"], before_step=before_step)


if __name__ == "__main__":
    main("silence", ProcessorSettings, start)
