"""transcription as a process of its own over a topic of one test: `transcription_worker.py TOPIC`. It may be killed."""

import sys
from functools import partial

from processors.transcription.__main__ import start
from processors.transcription.config import TranscriptionSettings
from runtime.service import main

if __name__ == "__main__":
    main("transcription", TranscriptionSettings, partial(start, topic=sys.argv.pop()))
