"""cognigy as a process of its own over a topic of one test: `cognigy_worker.py TOPIC`. It may be killed."""

import sys
from functools import partial

from processors.cognigy.__main__ import start
from processors.cognigy.config import CognigySettings
from runtime.service import main

if __name__ == "__main__":
    main("cognigy", CognigySettings, partial(start, topic=sys.argv.pop()))
