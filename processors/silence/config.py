"""The settings of the silence processor. Environment names start with `SILENCE_`."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from processors.silence.thresholds import entries_of, override_of
from processors.silence.tuning import Override, Tuning
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

    thresholds: str = Field(
        "",
        description="Other thresholds for single organisations and queues: a JSON list or the path of a file with one, "
        'of entries such as `{"queue": "night", "dead_air_alarm_ms": 4000}`; the first that fits a call counts.',
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Return thresholds that are in the wrong order."""
        if self.off_dbfs > self.on_dbfs:
            yield "off_dbfs", "must not be above on_dbfs"
        if self.dead_air_alarm_ms < self.dead_air_min_ms:
            yield "dead_air_alarm_ms", "must not be below dead_air_min_ms"
        try:
            self.overrides()
        except ValueError as error:
            yield "thresholds", str(error)

    def overrides(self) -> tuple[Override, ...]:
        """Return the other thresholds. Raises ValueError for what `thresholds` cannot say."""
        common = {name: getattr(self, name) for name in Tuning.names()}

        def validated(own: Mapping[str, Any]) -> Mapping[str, Any]:
            made = type(self).model_validate({**common, **own})
            return {name: getattr(made, name) for name in Tuning.names()}

        return tuple(
            override_of(number, entry, validated) for number, entry in enumerate(entries_of(self.thresholds), 1)
        )


def tuning(settings: SilenceSettings) -> Tuning:
    """Return what shapes the outputs, with its digest."""
    values = {name: getattr(settings, name) for name in Tuning.names()}
    entries = entries_of(settings.thresholds)
    # what a file says shapes the outputs, not where it lies
    said = settings.model_copy(update={"thresholds": json.dumps(entries, sort_keys=True) if entries else ""})
    digest = settings_hash(said, (*Tuning.names(), "thresholds"))
    return Tuning(**values, settings_hash=digest, overrides=settings.overrides())
