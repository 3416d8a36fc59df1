"""The settings are those of silence, and the margin."""

from processors.silence.config import SilenceSettings
from processors.silence.config import tuning as silence_tuning
from processors.speech.config import SpeechSettings, tuning
from runtime.config import load


def loaded(**environ: str):
    return tuning(load(SpeechSettings, "SPEECH_", environ=environ, env_file=None))


def test_the_same_values_give_the_tuning_of_silence():
    values = {"MIN_SPEECH_MS": "140", "DETECTOR": "level"}
    own = loaded(**{f"SPEECH_{name}": value for name, value in values.items()})
    environ = {f"SILENCE_{name}": value for name, value in values.items()}
    assert own.silence == silence_tuning(load(SilenceSettings, "SILENCE_", environ=environ, env_file=None))
    assert own.margin_ms == 200


def test_each_setting_shows_in_the_digest():
    digests = {
        loaded().settings_hash,
        loaded(SPEECH_MARGIN_MS="300").settings_hash,
        loaded(SPEECH_MIN_SILENCE_MS="300").settings_hash,
    }
    assert len(digests) == 3
    assert all(len(digest) == 16 for digest in digests)
