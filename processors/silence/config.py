"""The settings of the silence processor. Environment names start with `SILENCE_`."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from processors.silence.tuning import Tuning
from runtime.config import settings_hash
from runtime.tuning import ProcessorSettings


class SilenceSettings(ProcessorSettings):
    """When audio counts as active, and how long it must stay so to become a span."""

    detector: Literal["voice", "level", "fixed", "moving_average"] = Field(
        "voice",
        description="What tells speech and activity: the trained detector (8, 16, 24, 32 and 48 kHz; others by level), "
        "two thresholds on the level; or, to compare with, a fixed threshold of RMS 0.01, or the average of five "
        "blocks held against it.",
    )
    on_dbfs: float = Field(
        -40.0,
        ge=-90,
        le=-1,
        description="Where the level decides: a quiet channel is active from this RMS of 20 ms on (-40 dBFS is 0.01).",
    )
    off_dbfs: float = Field(-43.0, ge=-90, le=-1, description="An active one becomes quiet below this level.")
    min_speech_ms: int = Field(100, ge=20, le=5_000, description="Activity shorter than this does not end a silence.")
    min_silence_ms: int = Field(
        260, ge=20, le=5_000, description="Quiet shorter than this does not end speech: the pauses between words."
    )
    dead_air_min_ms: int = Field(2_000, ge=100, le=600_000, description="Both sides silent for this long is dead air.")
    dead_air_alarm_ms: int = Field(
        8_000, ge=100, le=3_600_000, description="Dead air of this length is announced again, as an alarm."
    )
    overtalk_min_ms: int = Field(200, ge=20, le=60_000, description="Both sides speaking for this long is overtalk.")

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return thresholds that are in the wrong order."""
        if self.off_dbfs > self.on_dbfs:
            yield "off_dbfs", "must not be above on_dbfs"
        if self.dead_air_alarm_ms < self.dead_air_min_ms:
            yield "dead_air_alarm_ms", "must not be below dead_air_min_ms"


def tuning(settings: SilenceSettings) -> Tuning:
    """Return what shapes the outputs, with its digest."""
    values = {name: getattr(settings, name) for name in Tuning.names()}
    return Tuning(**values, settings_hash=settings_hash(settings, Tuning.names()))
