"""What of a call was sent."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from simulators.live_call.script import Chunk, Plan


@dataclass(slots=True)
class LiveReport:
    """One call as it was played. `sent` are the chunks handed to sockets, in order, of all listeners together.

    listeners: how often somebody began to listen. cuts, closes: connections its script ended. ended: it is over, and
    somebody listened to the last.
    """

    plan: Plan
    sent: list[Chunk] = field(default_factory=list)
    said: list[str | bytes] = field(default_factory=list)
    listeners: int = 0
    cuts: int = 0
    closes: int = 0
    ended: bool = False

    @property
    def sha256(self) -> str:
        """Digest of the payloads in sending order."""
        return hashlib.sha256(b"".join(chunk.payload for chunk in self.sent)).hexdigest()

    @property
    def missing(self) -> tuple[tuple[int, int], ...]:
        """What was never sent between the first and the last sample that was: [start, end) in samples."""
        return self.plan.missing(self.sent)

    def as_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "chunks": len(self.sent),
            "sha256": self.sha256,
            "missing": self.missing,
            "said": len(self.said),
            "listeners": self.listeners,
            "cuts": self.cuts,
            "closes": self.closes,
            "ended": self.ended,
        }
