"""The session's timeline in samples: what was received plus what the client says it skipped, exactly.

The client's own count runs the same way, so on each message of an active session its stated position should equal ours;
the difference is the drift: positive where samples are missing before us, negative where there are too many.
"""

from decimal import Decimal

from ingest.sources.audiohook.messages import add_exact, to_samples
from ingest.text import MalformedMessage

_MAX_POSITION_SAMPLES = 2**53


class Timeline:
    """Positions at one sample rate. Skipped time is summed exactly and rounded once, so that roundings never add up."""

    def __init__(self, rate_hz: int, opened_s: float = 0.0) -> None:
        self.rate_hz = rate_hz
        self._opened_s = opened_s
        self.position_samples = 0
        self.drift_samples = 0
        self._received_samples = 0
        self._skipped = Decimal(0)

    def ahead_s(self, samples: int, now_s: float) -> float:
        """Return how much more audio there is with these samples than there was time since the session was opened."""
        return (self._received_samples + samples) / self.rate_hz - (now_s - self._opened_s)

    def receive(self, samples: int) -> int:
        """Take audio in; return the position of its first sample."""
        position = self.position_samples
        self._received_samples += samples
        self.position_samples += samples
        return position

    def skip(self, seconds: Decimal) -> int:
        """Move on without audio; return by how many samples. Raises `MalformedMessage` beyond what can be counted."""
        skipped = add_exact(self._skipped, to_samples(seconds, self.rate_hz))
        position = self._received_samples + round(skipped)
        if position >= _MAX_POSITION_SAMPLES:
            defect = "the position is beyond what can be counted"
            raise MalformedMessage(defect)
        moved = position - self.position_samples
        self._skipped, self.position_samples = skipped, position
        return moved

    def samples(self, stated: Decimal | None) -> int:
        """Return a stated position in samples; -1 where there is none."""
        return -1 if stated is None else round(to_samples(stated, self.rate_hz))

    def compare(self, stated: Decimal) -> bool:
        """Take the drift at a stated position; return whether it changed."""
        drift = self.samples(stated) - self.position_samples
        changed = drift != self.drift_samples
        self.drift_samples = drift
        return changed
