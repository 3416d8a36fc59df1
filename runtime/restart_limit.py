"""How often tasks may be restored before it is for somebody else to look: N restarts in M seconds, per partition."""

from collections import defaultdict, deque

from runtime.clock import Clock
from runtime.errors import CallstreamError
from runtime.kafka import TopicPartition


class TooManyRestarts(CallstreamError):
    """A partition's task was restored again and again: the process drains and ends with 1."""


class RestartLimit:
    """Counts restarts of each partition within a sliding window."""

    def __init__(self, restarts: int, window_s: float, clock: Clock) -> None:
        self._restarts = restarts
        self._window_s = window_s
        self._clock = clock
        self._at_s: dict[TopicPartition, deque[float]] = defaultdict(deque)

    def restarted(self, tp: TopicPartition, cause: Exception) -> None:
        """Count one. Raises `TooManyRestarts` with the newest cause when it is one too many."""
        now_s, at_s = self._clock.monotonic_s(), self._at_s[tp]
        at_s.append(now_s)
        while at_s[0] <= now_s - self._window_s:
            at_s.popleft()
        if len(at_s) >= self._restarts:
            message = (
                f"the task of {tp.topic}/{tp.partition} was restarted {len(at_s)} times in {self._window_s:g} s, "
                f"lastly for: {cause}"
            )
            raise TooManyRestarts(message) from cause
