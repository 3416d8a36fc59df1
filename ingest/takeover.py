"""The place of a session on its media clock that goes on from another process's. Pure.

Nobody heard the call between the last record of the one and the first audio of the other. The clock begins where that
gap does, so it stands in front of the audio with its length, and everything the source places lies behind it.
"""

from dataclasses import replace

from ingest.protocol import AudioReceived, EventReceived, Mark, SessionClosed, SessionInfoChanged
from schemas.symbols import FrameKind

Later = AudioReceived | Mark | EventReceived | SessionInfoChanged | SessionClosed
"""What may come after a session was opened."""
_US = 1_000_000
_UNKNOWN = -1


class Takeover:
    """One session that was taken over. `left_s` is when its predecessor last wrote anything (epoch)."""

    def __init__(self, left_s: float, sample_rate_hz: int) -> None:
        self._left_s = left_s
        self._rate_hz = sample_rate_hz
        self._announced = False
        self._gap_us = 0

    def gap_before(self, fact: Later, wall_s: float) -> int | None:
        """Return the length of the gap in samples where it must be announced before this fact, else None.

        It is an estimate by two processes' clocks; -1, not knowable, where they contradict each other or no media came.
        """
        if self._announced or isinstance(fact, SessionInfoChanged | EventReceived):
            return None
        if isinstance(fact, Mark) and fact.kind is FrameKind.ALIVE:
            return None
        self._announced = True
        if isinstance(fact, SessionClosed):
            return _UNKNOWN
        gap_us = round((wall_s - self._left_s) * _US)
        if isinstance(fact, AudioReceived):
            # it was there only when its last sample was
            gap_us -= max(0, fact.duration_samples) * _US // fact.sample_rate_hz
        self._gap_us = max(0, gap_us)
        return self._samples(self._rate_hz) or _UNKNOWN

    def shifted(self, fact: Later) -> Later:
        """Return a fact with its positions behind the gap; an absent one stays absent."""
        if not self._gap_us:
            return fact
        if isinstance(fact, AudioReceived):
            return fact._replace(position_samples=self._place(fact.position_samples, fact.sample_rate_hz))
        if isinstance(fact, Mark | SessionClosed):
            return replace(fact, position_samples=self._place(fact.position_samples))
        if isinstance(fact, EventReceived):
            event = fact.event
            moved = replace(
                event,
                position_samples=self._place(event.position_samples, event.sample_rate_hz),
                start_samples=self._place(event.start_samples, event.sample_rate_hz),
                end_samples=self._place(event.end_samples, event.sample_rate_hz),
            )
            return replace(fact, event=moved)
        return fact

    def _place(self, position_samples: int, sample_rate_hz: int = -1) -> int:
        if position_samples < 0:
            return position_samples
        return position_samples + self._samples(sample_rate_hz if sample_rate_hz > 0 else self._rate_hz)

    def _samples(self, sample_rate_hz: int) -> int:
        return round(self._gap_us * sample_rate_hz / _US)
