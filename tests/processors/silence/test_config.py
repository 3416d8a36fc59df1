import pytest

from processors.silence.config import SilenceSettings, tuning
from processors.silence.tuning import Tuning
from runtime.config import load
from runtime.errors import ConfigError


def test_the_defaults_of_the_settings_are_those_of_the_pure_modules():
    made = tuning(load(SilenceSettings, "SILENCE_", {}, None))
    assert {name: getattr(made, name) for name in Tuning.names()} == {
        name: getattr(Tuning(), name) for name in Tuning.names()
    }


def test_the_digest_names_what_shapes_the_outputs_and_nothing_else():
    def digest(**environ: str) -> str:
        return tuning(load(SilenceSettings, "SILENCE_", environ, None)).settings_hash

    assert digest() == digest(SILENCE_ADMIN_PORT="8080", KAFKA_BOOTSTRAP_SERVERS="kafka:9092")
    assert digest() != digest(SILENCE_MIN_SPEECH_MS="120")
    assert len(digest()) == 16


def test_thresholds_in_the_wrong_order_are_a_mistake_with_their_names():
    environ = {"SILENCE_ON_DBFS": "-45", "SILENCE_OFF_DBFS": "-40", "SILENCE_DEAD_AIR_ALARM_MS": "200"}
    with pytest.raises(ConfigError) as error:
        load(SilenceSettings, "SILENCE_", environ, None)
    assert "SILENCE_OFF_DBFS" in str(error.value)
    assert "SILENCE_DEAD_AIR_ALARM_MS" in str(error.value)
