"""The settings of the loss processor. Environment names start with `LOSS_`."""

from collections.abc import Iterator

from pydantic import Field

from processors.loss.tuning import Tuning
from runtime.config import settings_hash
from runtime.tuning import ProcessorSettings


class LossSettings(ProcessorSettings):
    """How often loss is reported, how long a packet is waited for, and from when on something is an alarm."""

    window_s: int = Field(5, ge=1, le=600, description="Media time of one report.")
    reorder_ms: int = Field(
        100,
        ge=0,
        le=5_000,
        description="How far, in the source's time, later packets may be ahead before the place of a missing one is "
        "given up: it is lost then, and late should it still come.",
    )
    concealment: bool = Field(
        default=True, description="Whether who listens conceals losses (G.711 Appendix I), as nearly every player does."
    )
    alarm_loss_ratio: float = Field(
        0.05, gt=0, le=1, description="Loss of this part of what was expected, twice in a row, raises the alarm."
    )
    clear_loss_ratio: float = Field(
        0.03, gt=0, le=1, description="Loss of less than this part of what was expected clears it."
    )
    alarm_mos: float = Field(
        3.6, ge=1, le=4.5, description="An estimated MOS below this, twice in a row, raises the alarm."
    )
    clear_mos: float = Field(3.8, ge=1, le=4.5, description="An estimated MOS from this on clears it.")
    alarm_window_s: int = Field(
        10, ge=1, le=600, description="Alarms of loss and MOS look back over reports of at least so much media time,"
    )
    alarm_window_packets: int = Field(
        500,
        ge=1,
        le=1_000_000,
        description="and of at least so many packets (20 ms each where nothing is numbered): fewer prove little,",
    )
    alarm_longest_window_s: int = Field(60, ge=1, le=3_600, description="but over no more than this.")
    stall_ms: int = Field(
        200, ge=20, le=9_000, description="Audio that arrives so much later than the least delay has stalled."
    )
    drift_ms: int = Field(
        500,
        ge=1,
        le=3_600_000,
        description="A stated position so far from ours raises the alarm; half of it clears it.",
    )
    no_audio_s: int = Field(
        15, ge=1, le=800, description="No audio for so much stream time, while not paused, raises the alarm."
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return limits that are in the wrong order."""
        if self.clear_loss_ratio > self.alarm_loss_ratio:
            yield "clear_loss_ratio", "must not be above alarm_loss_ratio"
        if self.clear_mos < self.alarm_mos:
            yield "clear_mos", "must not be below alarm_mos"
        if self.alarm_longest_window_s < max(self.alarm_window_s, self.window_s):
            yield "alarm_longest_window_s", "must not be less than alarm_window_s or window_s"


def tuning(settings: LossSettings) -> Tuning:
    """Return what shapes the outputs, with its digest."""
    values = {name: getattr(settings, name) for name in Tuning.names()}
    return Tuning(**values, settings_hash=settings_hash(settings, Tuning.names()))
