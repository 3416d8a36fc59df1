"""What shapes the outputs, as the pure modules take it. Its documented form is `LossSettings`."""

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tuning:
    """Window length, alarm limits, and the digest of them."""

    window_s: int = 5
    alarm_loss_ratio: float = 0.05
    clear_loss_ratio: float = 0.03
    alarm_least_media_ms: int = 1000
    stall_ms: int = 200
    settings_hash: str = ""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the settings, without the digest."""
        return tuple(field.name for field in dataclasses.fields(cls) if field.name != "settings_hash")
