"""What decides how a turn goes, as plain values."""

from dataclasses import dataclass
from typing import Literal

from schemas.symbols import Channel


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that shape turns and their records. Ages are counted from the end of the utterance."""

    channels: tuple[Channel, ...] = (Channel.EXTERNAL, Channel.UNKNOWN)
    on_ambiguous: Literal["skip_and_flag", "resend"] = "skip_and_flag"
    on_newer_input: Literal["queue", "supersede"] = "queue"
    metadata: Literal["first_input", "call_start", "never"] = "first_input"
    max_input_age_s: float = 8.0
    late_after_s: float = 5.0
    slow_after_s: float = 1.2
    attempts: int = 3
    longest_request_bytes: int = 60_000
    longest_answer_bytes: int = 256 * 2**10
    intent_path: str = "intent"
    intent_score_path: str = "intentScore"
    settings_hash: str = ""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the fields that are settings."""
        return tuple(name for name in cls.__dataclass_fields__ if name != "settings_hash")
