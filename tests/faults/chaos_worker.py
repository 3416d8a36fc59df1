"""The task host as a process that can be told to die.

`python -m tests.faults.chaos_worker TOPIC KIND ORDERS PACE`

The file PACE says for how many µs each record holds the worker up, so that a short log lasts through a schedule. Told
not to wait, it also polls without the limit that goes with waiting.
"""

import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

from runtime import kafka, worker
from runtime.processor import Batch, Emit
from runtime.service import main
from runtime.tuning import ProcessorSettings
from runtime.worker import run_tasks
from tests.faults.orders import obey, watch_the_end_of_transactions, watch_the_opening
from tests.faults.processors_under_test import KINDS, OUTPUTS

FETCH_BYTES = 16 * 1024
"""A slow worker with much of one partition at hand would leave the others waiting."""
UNLIMITED = 2_000


def fetch_little() -> None:
    kafka._CONSUMER_DEFAULTS = {**kafka._CONSUMER_DEFAULTS, "max_partition_fetch_bytes": FETCH_BYTES}


def poll_as_told(pace: Path) -> None:
    """Poll as many records as there are once they need not last."""
    limited = worker.poll

    def most(max_records: int) -> int:
        return max_records if int(pace.read_text()) else UNLIMITED

    async def poll(consumer: Any, timeout_ms: int, max_records: int) -> Any:
        return await limited(consumer, timeout_ms, most(max_records))

    worker.poll = poll


def slowed(kind: str, topic: str, pace: Path) -> Any:
    """The processor, slowed down as the file says."""
    never = threading.Event()

    class Slowed(KINDS[kind]):
        input_topic = topic

        def process(self, batch: Batch, state: Any, emit: Emit) -> None:
            super().process(batch, state, emit)
            if pace_us := int(pace.read_text()):
                never.wait(len(batch.frames) * pace_us / 1e6)

    return Slowed()


def run(topic: str, kind: str, orders: Path, pace: Path) -> None:
    """Run until told to stop, and exit."""
    fetch_little()
    poll_as_told(pace)
    watch_the_end_of_transactions(orders)
    watch_the_opening(orders)

    async def start(service: Any) -> None:
        processor = slowed(kind, topic, pace)
        await run_tasks(service, processor, outputs=OUTPUTS[kind], before_step=partial(obey, orders))

    main("silence", ProcessorSettings, start)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    del sys.argv[1:]
    run(arguments[0], arguments[1], Path(arguments[2]), Path(arguments[3]))
