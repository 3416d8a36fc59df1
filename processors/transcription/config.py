"""The settings of transcription. Environment names start with `TRANSCRIPTION_`."""

from pydantic import Field

from processors.transcription.logic import Tuning
from runtime.config import settings_hash
from runtime.tuning import ForwardingSettings


class TranscriptionSettings(ForwardingSettings):
    """What is said of texts nobody says it of, and how far a new owner of a partition looks back."""

    language: str | None = Field(None, description="Language of texts for which neither event nor session states one.")
    lookback_s: int = Field(
        2_400,
        ge=2_400,
        le=86_400,
        description="How much of calls.events is read again when a partition is taken over; what is known about a call "
        "that began earlier is lost then, and its utterances are partial.",
    )


def tuning(settings: TranscriptionSettings) -> Tuning:
    """Return what shapes the outputs, with its digest."""
    return Tuning(language=settings.language, settings_hash=settings_hash(settings, ["language"]))
