import pytest

from processors.transcription.config import TranscriptionSettings, tuning
from processors.transcription.forward import LOOKBACK_MS
from processors.transcription.logic import Tuning
from runtime.config import load
from runtime.errors import ConfigError


def loaded(**environ: str) -> TranscriptionSettings:
    return load(TranscriptionSettings, "TRANSCRIPTION_", environ, None)


def test_the_defaults_of_the_settings_are_those_of_the_pure_modules():
    assert tuning(loaded()).language == Tuning().language
    assert loaded().lookback_s * 1000 == LOOKBACK_MS


def test_the_digest_names_what_shapes_the_outputs_and_nothing_else():
    def digest(**environ: str) -> str:
        return tuning(loaded(**environ)).settings_hash

    assert digest() == digest(TRANSCRIPTION_ADMIN_PORT="8080", TRANSCRIPTION_LOOKBACK_S="7200")
    assert digest() != digest(TRANSCRIPTION_LANGUAGE="de-DE")
    assert len(digest()) == 16


def test_a_lookback_that_forgets_closed_sessions_too_early_is_a_mistake():
    with pytest.raises(ConfigError) as error:
        loaded(TRANSCRIPTION_LOOKBACK_S="1800")
    assert "TRANSCRIPTION_LOOKBACK_S" in str(error.value)
