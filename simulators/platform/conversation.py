"""A conversation as the platform tells of it at a moment: the fields of the real answer that matter. Pure.

There is no `media` array in the real answer, so there is none here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5


@dataclass(frozen=True, slots=True)
class Conversation:
    """A call. All times are seconds since its start.

    pauses: [begin, end) of each secure pause. ends_after_s: when its last participant leaves; None: never.
    known_after_s, known_until_s: when the platform begins and ceases to know it; otherwise it answers 404.
    tells_pause: False leaves `securePause` and `recordingState` out of the answer. queue, agent: None where there is
    none yet.
    """

    conversation_id: str
    pauses: tuple[tuple[float, float], ...] = ()
    ends_after_s: float | None = None
    known_after_s: float = 0.0
    known_until_s: float | None = None
    tells_pause: bool = True
    queue_id: str | None = None
    queue_name: str | None = None
    agent_id: str | None = None

    def is_known(self, after_s: float) -> bool:
        """Return whether the platform has it at that time."""
        return self.known_after_s <= after_s and (self.known_until_s is None or after_s < self.known_until_s)

    def is_paused(self, after_s: float) -> bool:
        """Return whether its recording is in secure pause at that time."""
        return any(begin <= after_s < end for begin, end in self.pauses)

    def body(self, started_wall_s: float, after_s: float) -> dict[str, Any]:
        """Return the platform's answer; `started_wall_s` is the call's start since the epoch."""
        over = self.ends_after_s is not None and after_s >= self.ends_after_s
        ended = _when(started_wall_s + (self.ends_after_s or 0.0)) if over else None
        paused = self.is_paused(after_s) and not over
        recording = "NONE" if over else "PAUSED" if paused else "ACTIVE"
        pause = {"recordingState": recording, "securePause": paused} if self.tells_pause else {}
        return _without_nothing(
            {
                "id": self.conversation_id,
                "startTime": _when(started_wall_s),
                "endTime": ended,
                "address": "tel:+4930000000",
                "participants": [
                    self._participant("customer", started_wall_s, ended, paused=paused),
                    self._participant("agent", started_wall_s, ended, paused=paused),
                ],
                "conversationIds": [],
                "state": "disconnected" if over else "connected",
                "divisions": [{"division": {"id": _id(self.conversation_id, "division")}}],
                "recentTransfers": [],
                "selfUri": f"/api/v2/conversations/{self.conversation_id}",
                **pause,
            }
        )

    def _participant(self, purpose: str, started_wall_s: float, ended: str | None, *, paused: bool) -> dict[str, Any]:
        began = _when(started_wall_s)
        segment = _without_nothing({"startTime": began, "endTime": ended, "type": "interact"})
        call = {
            "id": _id(self.conversation_id, purpose, "call"),
            "state": "connected" if ended is None else "disconnected",
            "direction": "inbound",
            "recording": ended is None,
            "muted": False,
            "held": False,
            "segments": [segment],
            "connectedTime": began,
            "disconnectedTime": ended,
            "provider": "Edge",
        }
        if self.tells_pause:
            call |= {"recordingState": "paused" if paused else "active", "securePause": paused}
        is_agent = purpose == "agent"
        return _without_nothing(
            {
                "id": _id(self.conversation_id, purpose),
                "startTime": began,
                "connectedTime": began,
                "endTime": ended,
                "purpose": purpose,
                "participantType": "Internal" if is_agent else "External",
                "userId": self.agent_id if is_agent else None,
                "queueId": self.queue_id if is_agent else None,
                "queueName": self.queue_name if is_agent else None,
                "calls": [_without_nothing(call)],
                "attributes": {},
            }
        )


def _when(wall_s: float) -> str:
    """Return a moment as the platform writes it: ISO 8601 in UTC, with milliseconds."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _id(*parts: str) -> str:
    return str(uuid5(NAMESPACE_URL, "/".join(parts)))


def _without_nothing(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def read_pauses(texts: Iterable[str]) -> tuple[tuple[float, float], ...]:
    """Return pauses written as `10:20`, in seconds. Raises ValueError."""
    pauses = []
    for text in texts:
        begin, _, end = text.partition(":")
        pauses.append((float(begin), float(end)))
        if not pauses[-1][0] < pauses[-1][1]:
            message = f"the pause {text} does not end after it begins"
            raise ValueError(message)
    return tuple(pauses)
