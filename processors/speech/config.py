"""The settings of the speech processor. Environment names start with `SPEECH_`.

All but the margin are those of the silence processor and mean the same: where both services have the same values, the
frames copied are those of the spans on calls.silence.
"""

from pydantic import Field

from processors.silence import config
from processors.silence.config import SilenceSettings
from processors.speech.tuning import SpeechTuning
from runtime.config import settings_hash


class SpeechSettings(SilenceSettings):
    """What counts as speech, as for silence, and how much of what surrounds it is copied too."""

    margin_ms: int = Field(
        200, ge=0, le=5_000, description="Audio this near to speech, in front of it and behind it, is copied with it."
    )


def tuning(settings: SpeechSettings) -> SpeechTuning:
    """Return what shapes the outputs, with its digest."""
    silence = config.tuning(settings)
    own = settings_hash(settings, ("margin_ms",))
    return SpeechTuning(silence, settings.margin_ms, f"{int(silence.settings_hash, 16) ^ int(own, 16):016x}")
