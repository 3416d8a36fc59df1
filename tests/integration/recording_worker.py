"""recording_sync as a process of its own over a topic of one test: `recording_worker.py TOPIC`. It may be killed."""

import sys
from functools import partial

from runtime.service import main
from sinks.recording_sync.__main__ import start
from sinks.recording_sync.config import RecordingSyncSettings

if __name__ == "__main__":
    main("recording_sync", RecordingSyncSettings, partial(start, topic=sys.argv.pop()))
