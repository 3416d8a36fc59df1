"""The settings of the loss processor. Environment names start with `LOSS_`."""

from collections.abc import Iterator

from pydantic import Field

from processors.loss.tuning import Tuning
from runtime.config import settings_hash
from runtime.tuning import ProcessorSettings


class LossSettings(ProcessorSettings):
    """How often loss is reported, and from when on it is an alarm."""

    window_s: int = Field(5, ge=1, le=600, description="Media time of one report.")
    alarm_loss_ratio: float = Field(
        0.05, gt=0, le=1, description="A window that lost more than this part of what was expected raises the alarm."
    )
    clear_loss_ratio: float = Field(
        0.03, gt=0, le=1, description="A window that lost less than this part of what was expected clears it."
    )
    alarm_least_media_ms: int = Field(
        1_000,
        ge=0,
        le=600_000,
        description="A window that expected less media raises and clears no loss alarm.",
    )
    stall_ms: int = Field(
        200, ge=20, le=9_000, description="Audio that arrives so much later than the least delay has stalled."
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return limits that are in the wrong order."""
        if self.clear_loss_ratio > self.alarm_loss_ratio:
            yield "clear_loss_ratio", "must not be above alarm_loss_ratio"
        if self.alarm_least_media_ms > self.window_s * 1000:
            yield "alarm_least_media_ms", "is more than a window holds, so no alarm would ever be raised"


def tuning(settings: LossSettings) -> Tuning:
    """Return what shapes the outputs, with its digest."""
    values = {name: getattr(settings, name) for name in Tuning.names()}
    return Tuning(**values, settings_hash=settings_hash(settings, Tuning.names()))
