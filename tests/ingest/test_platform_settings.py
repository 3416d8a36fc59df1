import pytest

from ingest.platform_settings import PlatformSettings
from ingest.polling import Limits
from runtime.config import load
from runtime.errors import ConfigError


def settings(**environ: str) -> PlatformSettings:
    return load(PlatformSettings, "P_", {f"P_{name}": value for name, value in environ.items()}, None)


def mistaken(**environ: str) -> set[str]:
    with pytest.raises(ConfigError) as caught:
        settings(**environ)
    return {mistake.partition(":")[0].removeprefix("P_") for mistake in caught.value.mistakes}


def test_the_defaults_keep_below_what_the_platform_allows_and_an_answer_holds_for_three_intervals():
    assert settings().limits == Limits() == Limits(5, 240, 8, 60, 15)
    assert settings().poll is True


def test_how_long_an_answer_holds_follows_the_interval_unless_it_is_set():
    assert settings(INTERVAL_S="2").limits.stale_s == 6
    assert settings(INTERVAL_S="2", STALE_S="3").limits.stale_s == 3


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("INTERVAL_S", "0.1", "600"),
        ("PER_MINUTE", "1", "60000"),
        ("CONCURRENCY", "1", "100"),
        ("WINDOW_S", "0", "86400"),
    ],
)
def test_each_limit_has_limits(name, least, most):
    assert settings(**{name: least}) != settings(**{name: most})
    below = "0" if name != "WINDOW_S" else "-1"
    assert mistaken(**{name: below}) == mistaken(**{name: f"{float(most) + 1:g}"}) == {name}


@pytest.mark.parametrize("stale_s", ["5", "4.9"])
def test_an_answer_has_to_hold_until_the_next(stale_s):
    assert mistaken(STALE_S=stale_s) == {"STALE_S"}
    assert settings(STALE_S="5.1").limits.stale_s == 5.1


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example/{conversation_id}",
        "https://api.example/conversations",
        "https://api.example/{conversation_id}/{other}",
        "wss://api.example/{conversation_id}",
    ],
)
def test_where_a_conversation_is_asked_for_is_checked(url):
    assert mistaken(URL=url) == {"URL"}
    assert settings(URL="http://127.0.0.1:1/{conversation_id}").url.startswith("http:")
