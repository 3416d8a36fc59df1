"""What shapes the outputs, as the pure modules take it. Its documented form is `LossSettings`."""

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tuning:
    """Window lengths, limits of the alarms, and the digest of them."""

    window_s: int = 5
    reorder_ms: int = 100
    concealment: bool = True
    alarm_loss_ratio: float = 0.05
    clear_loss_ratio: float = 0.03
    alarm_mos: float = 3.6
    clear_mos: float = 3.8
    alarm_window_s: int = 10
    alarm_window_packets: int = 500
    alarm_longest_window_s: int = 60
    stall_ms: int = 200
    drift_ms: int = 500
    no_audio_s: int = 15
    settings_hash: str = ""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the settings, without the digest."""
        return tuple(field.name for field in dataclasses.fields(cls) if field.name != "settings_hash")
