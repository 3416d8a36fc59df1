import json

import pytest

from ingest.config import IngestSettings
from runtime.config import load
from runtime.errors import ConfigError
from tests.ingest.sources.audiohook.test_auth import KEY, SECRET


def settings(**environ: str) -> IngestSettings:
    return load(IngestSettings, "INGEST_", environ, None)


def mistakes(**environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        settings(**environ)
    return list(caught.value.mistakes)


def test_everything_has_a_default_and_nobody_may_connect_by_it():
    assert settings().audiohook.keys_file is None
    assert settings().audiohook.host == "127.0.0.1"


def test_names_of_variables_follow_the_sections(tmp_path):
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({KEY: SECRET}))
    found = settings(
        INGEST_AUDIOHOOK_PORT="0", INGEST_AUDIOHOOK_KEYS_FILE=str(keys), INGEST_AUDIOHOOK_SUPPORTED_LANGUAGES="de,en"
    )
    assert (found.audiohook.port, found.audiohook.keys_file) == (0, keys)
    assert found.audiohook.supported_languages == ("de", "en")


@pytest.mark.parametrize("text", ["{", "{}", '{"a": "*"}', None])
def test_a_key_file_that_cannot_be_used_is_named_and_not_quoted(tmp_path, text):
    keys = tmp_path / "keys.json"
    if text is not None:
        keys.write_text(text)
    (mistake,) = mistakes(INGEST_AUDIOHOOK_KEYS_FILE=str(keys))
    assert mistake.startswith("INGEST_AUDIOHOOK_KEYS_FILE: ")
    assert "*" not in mistake


def test_all_mistakes_come_at_once():
    wrong = ("INGEST_AUDIOHOOK_PORT", "INGEST_LINGER_MS", "INGEST_AUDIOHOOK_PATH_PREFIX")
    assert {mistake.partition(":")[0] for mistake in mistakes(**dict.fromkeys(wrong, "-1"))} == set(wrong)


def test_a_certificate_needs_its_key_and_both_must_exist():
    found = mistakes(INGEST_AUDIOHOOK_TLS_CERTFILE="/nowhere")
    assert {mistake.partition(":")[0] for mistake in found} == {
        "INGEST_AUDIOHOOK_TLS_CERTFILE",
        "INGEST_AUDIOHOOK_TLS_KEYFILE",
    }


def test_a_drain_that_cannot_end_within_its_budget_is_a_mistake():
    (mistake,) = mistakes(INGEST_DRAIN_SESSIONS_S="30")
    assert mistake.startswith("INGEST_DRAIN_SESSIONS_S: ")
