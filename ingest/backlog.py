"""Which packets were held up while there was no connection: they come too late for whoever listens live. Pure.

A packet's delay is from the place of its last sample on the media clock to its arrival. After a lost connection it is
held up where it comes more than `TOLERANCE_S` later than the least delayed packet so far. That ends with the first one
that does not; and with a window of arrival in which the stream went on no faster than it is spoken: then it is live,
and what comes later by now always does.
"""

from ingest.arrival import CATCHING_UP, PAUSE_S, STALLED, TOLERANCE_S, WINDOW_S

_DIGITS = 6
"""Of seconds: sums of times differ in the last digits though nothing does."""


class Backlog:
    """The delays of one stream."""

    def __init__(self) -> None:
        self._least_s = float("inf")
        self._lost = False
        self._since_s: float | None = None
        self._window_s = 0.0
        self._window_end_s = 0.0

    def interrupt(self) -> None:
        """Take the loss of the connection."""
        self._lost = True

    def holds(self, end_s: float, now_s: float) -> bool:
        """Tell whether a packet was held up that came at `now_s` and ends at `end_s` on the media clock."""
        delay_s = now_s - end_s
        self._least_s = min(self._least_s, delay_s)
        if self._lost:
            self._lost, self._since_s = False, now_s
            self._window_s, self._window_end_s = now_s, end_s
        if self._since_s is None:
            return False
        if round(delay_s - self._least_s, _DIGITS) <= TOLERANCE_S:
            self._since_s = None
        elif self._is_live(self._since_s, end_s, now_s):
            self._least_s, self._since_s = delay_s, None
        return self._since_s is not None

    def _is_live(self, since_s: float, end_s: float, now_s: float) -> bool:
        """Tell whether the window shows a live stream; open the next one where it is over."""
        lasted_s = now_s - self._window_s
        if round(lasted_s, _DIGITS) < WINDOW_S:
            return False
        pace = round((end_s - self._window_end_s) / lasted_s, _DIGITS)
        self._window_s, self._window_end_s = now_s, end_s
        # what was held up often comes in two goes
        return pace < CATCHING_UP and (pace >= STALLED or now_s - since_s >= PAUSE_S)
