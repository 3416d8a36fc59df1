"""Ways to pass on what arrived, and to speak of it, that are wrong."""

import json
from collections.abc import Callable
from typing import Any

from runtime.clock import Clock
from schemas.records import Utterance


class Unbounded:
    """F1: whoever reads slowly, or not at all, is written to as fast as audio comes."""

    def __init__(self, limit_bytes: int) -> None:
        self.lines: list[str] = []

    @property
    def waiting_bytes(self) -> int:
        """Bytes nobody has read yet."""
        return sum(map(len, self.lines))

    def put(self, payload: bytes) -> None:
        """Take a frame."""
        self.lines.append(json.dumps({"type": "monitor", "payload": payload.hex()}))

    async def settle(self) -> tuple[int, int]:
        """Return the samples that were passed on, and those announced as missing."""
        return len(self.lines) * 160, 0


def list_of_numbers(payload: bytes) -> bytes:
    """F2: a buffer in JSON is a list of its bytes as numbers."""
    return json.dumps({"payload": {"type": "Buffer", "data": list(payload)}}).encode()


def read_back(value: bytes) -> Any:
    """F2: the reader gets what JSON makes of it."""
    return json.loads(value)["payload"]


def says_all_is_well(*, paused: bool) -> list[dict[str, object]]:
    """F3: whatever was the case, each frame's line of the audit says that it was lawful."""
    return [{"action": "media_capture", "frame": number, "privacyCompliant": True} for number in range(5)]


def only_a_time(clock: Clock) -> Callable[[Utterance], bytes]:
    """F6: what the caller said is sent with the time of sending, and nothing that says which words these are."""

    def message(utterance: Utterance) -> bytes:
        data = {"text": utterance.text, "sessionId": utterance.session_id, "timestamp": clock.wall_s()}
        return json.dumps({"type": "event", "event": "userInput", "data": data}).encode()

    return message
