"""The engine without its fence: each worker takes transactional ids of its own. Same arguments as `chaos_worker`."""

import sys
import uuid
from pathlib import Path

from runtime.checkpoint import Application
from tests.faults.chaos_worker import run

ME = uuid.uuid4().hex

if __name__ == "__main__":
    fenced = Application.transactional_id
    Application.transactional_id = lambda self, topic, partition: f"{fenced(self, topic, partition)}.{ME}"
    topic, kind, orders, pace = sys.argv[1:]
    del sys.argv[1:]
    run(topic, kind, Path(orders), Path(pace))
