import pytest

from ingest.spool.config import SpoolSettings
from ingest.spool.sealing import AesGcm, Plain
from runtime.config import load
from runtime.errors import ConfigError

KEY = "ab" * 32


def settings(**given: str) -> SpoolSettings:
    return load(SpoolSettings, "SPOOL_", {f"SPOOL_{name}".upper(): value for name, value in given.items()}, None)


def mistakes(**given: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        settings(**given)
    return list(refused.value.mistakes)


def test_without_a_folder_there_is_no_spool():
    assert settings().folder is None


def test_a_folder_without_a_key_is_refused_unless_plain_text_is_asked_for(tmp_path):
    [mistake] = mistakes(folder=str(tmp_path))
    assert mistake.startswith("SPOOL_KEY_FILE: is needed")
    assert isinstance(settings(folder=str(tmp_path), plaintext="true").seal, Plain)


def test_a_key_file_seals(tmp_path):
    key = tmp_path / "key"
    key.write_text(KEY)
    found = settings(folder=str(tmp_path), key_file=str(key))
    assert isinstance(found.seal, AesGcm)
    assert found.seal.key_id == AesGcm(bytes.fromhex(KEY)).key_id


def test_a_key_file_that_holds_no_key_is_refused_and_not_quoted(tmp_path):
    key = tmp_path / "key"
    key.write_text("secret words")
    [mistake] = mistakes(folder=str(tmp_path), key_file=str(key))
    assert mistake.startswith("SPOOL_KEY_FILE: holds no key")
    assert "secret" not in mistake
    assert mistakes(folder=str(tmp_path), key_file=str(tmp_path / "no")) == ["SPOOL_KEY_FILE: the file cannot be read"]


def test_a_key_and_plain_text_contradict_each_other(tmp_path):
    assert mistakes(folder="x", key_file="k", plaintext="true") == ["SPOOL_PLAINTEXT: contradicts the key file"]
