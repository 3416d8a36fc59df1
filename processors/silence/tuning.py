"""What shapes the outputs, as the pure modules take it. Its documented form is `SilenceSettings`."""

import dataclasses
from dataclasses import dataclass
from functools import cache
from typing import Final

from processors.silence.tracks import Limits
from schemas.records import SessionInfo

_OTHERS: Final = ("settings_hash", "overrides")


@dataclass(frozen=True, slots=True)
class Tuning:
    """The detector, levels in dBFS, lengths in ms, and the digest of them."""

    detector: str = "voice"
    on_dbfs: float = -40.0
    off_dbfs: float = -43.0
    min_speech_ms: int = 100
    min_silence_ms: int = 260
    dead_air_min_ms: int = 2_000
    dead_air_alarm_ms: int = 8_000
    overtalk_min_ms: int = 200
    settings_hash: str = ""
    overrides: tuple["Override", ...] = ()

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the settings, without the digest and the overrides."""
        return tuple(field.name for field in dataclasses.fields(cls) if field.name not in _OTHERS)

    def place(self, organisation: str | None, queue: str | None) -> int:
        """Return which override fits a call, counted from 1; 0 where none does."""
        for place, override in enumerate(self.overrides, 1):
            if override.organisation in {None, organisation} and override.queue in {None, queue}:
                return place
        return 0

    def place_of(self, info: SessionInfo | None) -> int:
        """Return the place of a call by what is known of it."""
        return self.place(None, None) if info is None else self.place(info.organisation, info.queue)

    def at(self, place: int) -> "Tuning":
        """Return the tuning of a place."""
        return self.overrides[place - 1].tuning if place else self


@dataclass(frozen=True, slots=True)
class Override:
    """The tuning of the calls of an organisation, of a queue, or of an organisation's queue (None: of any)."""

    organisation: str | None
    queue: str | None
    tuning: Tuning


@cache
def limits(tuning: Tuning, rate_hz: int) -> Limits:
    """Return the minimum lengths in samples at this rate."""

    def samples(length_ms: int) -> int:
        return -(-length_ms * rate_hz // 1000)

    return Limits(
        run=(0, samples(tuning.min_silence_ms), samples(tuning.min_speech_ms)),
        dead_air=(samples(tuning.dead_air_min_ms), samples(tuning.dead_air_alarm_ms)),
        overtalk=samples(tuning.overtalk_min_ms),
    )
