"""What the stand-in sent: one report per interaction."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from simulators.media_streams.script import Packet, Plan, Truth


@dataclass(slots=True)
class InteractionReport:
    """One call as it was streamed. `sent` are the packets handed to sockets, in order, of all subscribers together.

    subscriptions: how often somebody asked for it. drops: connections that its script cut. ended: its last packet is
    due no more and somebody was told so.
    """

    plan: Plan
    sent: list[Packet] = field(default_factory=list)
    subscriptions: int = 0
    drops: int = 0
    ended: bool = False

    @property
    def sequence_numbers(self) -> list[int]:
        """Numbers as they were sent, in order."""
        return [packet.sequence_number for packet in self.sent]

    @property
    def sha256(self) -> str:
        """Digest of the payloads in sending order."""
        return hashlib.sha256(b"".join(packet.payload for packet in self.sent)).hexdigest()

    def truth(self) -> Truth:
        """Account for what was sent, in place of what was planned."""
        return self.plan.truth(self.sent)

    def as_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "packets": len(self.sent),
            "sequence_numbers": self.sequence_numbers,
            "sha256": self.sha256,
            "subscriptions": self.subscriptions,
            "drops": self.drops,
            "ended": self.ended,
            "truth": self.truth().as_json(),
            "silent_spans": self.plan.silent_spans,
        }
