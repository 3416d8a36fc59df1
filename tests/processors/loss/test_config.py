import pytest

from processors.loss.config import LossSettings, tuning
from processors.loss.tuning import Tuning
from runtime.config import load
from runtime.errors import ConfigError


def test_the_defaults_of_the_settings_are_those_of_the_pure_modules():
    made = tuning(load(LossSettings, "LOSS_", {}, None))
    assert {name: getattr(made, name) for name in Tuning.names()} == {
        name: getattr(Tuning(), name) for name in Tuning.names()
    }


def test_the_digest_names_what_shapes_the_outputs_and_nothing_else():
    def digest(**environ: str) -> str:
        return tuning(load(LossSettings, "LOSS_", environ, None)).settings_hash

    assert digest() == digest(LOSS_ADMIN_PORT="8080", KAFKA_BOOTSTRAP_SERVERS="kafka:9092")
    assert digest() != digest(LOSS_STALL_MS="300")
    assert len(digest()) == 16


def test_an_alarm_that_is_cleared_above_its_limit_is_a_mistake():
    with pytest.raises(ConfigError) as error:
        load(LossSettings, "LOSS_", {"LOSS_CLEAR_LOSS_RATIO": "0.06"}, None)
    assert "LOSS_CLEAR_LOSS_RATIO" in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"), [("CLEAR_MOS", "3.5"), ("ALARM_LONGEST_WINDOW_S", "9"), ("REORDER_MS", "-1")]
)
def test_limits_in_the_wrong_order_are_mistakes(name, value):
    with pytest.raises(ConfigError) as error:
        load(LossSettings, "LOSS_", {f"LOSS_{name}": value}, None)
    assert f"LOSS_{name}" in str(error.value)
