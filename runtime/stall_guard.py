"""Ends a process whose event loop stands still: a blocked loop can neither drain nor say that it is blocked.

The timer runs in C beside the interpreter, so that it also fires while one call keeps everything else from running. It
writes where each thread stands (file, line, function) to standard error and ends the process with 1. Nothing is lost:
what was not committed is done again by the next owner.
"""

import faulthandler
import sys


class StallGuard:
    """The event loop must call `turn` at least every `limit_s` seconds until `end`."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s

    def turn(self) -> None:
        """Begin to wait anew."""
        faulthandler.dump_traceback_later(self._limit_s, exit=True, file=sys.stderr)

    @staticmethod
    def end() -> None:
        """Wait no more."""
        faulthandler.cancel_dump_traceback_later()
