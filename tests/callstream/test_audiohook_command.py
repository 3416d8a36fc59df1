import pytest
from typer.testing import CliRunner

from callstream.audiohook_command import app
from callstream.audiohook_keys import fingerprint
from ingest.sources.audiohook.config import AudioHookSettings
from ingest.sources.audiohook.source import AudioHookSource
from runtime.errors import ConfigError
from simulators.audiohook.signature import Credentials, Freshness, sign
from tests.ingest.sources.audiohook.test_auth import CREATED, headers
from tests.ingest.sources.audiohook.words import ORGANIZATION

URL = "wss://audiohook.example.com/audiohook/v2"


def run(*arguments: object, **environment: str):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


def shown(result) -> tuple[str, str]:
    """Key and secret as they were shown."""
    assert result.exit_code == 0, result.output
    key, secret = (line.split(": ")[1].strip() for line in result.stdout.splitlines())
    return key, secret


def test_a_new_key_is_shown_once_and_admits_what_is_signed_with_it(tmp_path):
    path = tmp_path / "keys.json"
    key, secret = shown(run("new-key", "--file", path, "--organization", ORGANIZATION))
    request = dict(headers(X_API_KEY=key))
    signed = request | sign(request, URL, Credentials(key, secret), Freshness("n" * 24, CREATED, CREATED + 30))
    source = AudioHookSource(AudioHookSettings(keys_file=path))
    decision = source.admit("/audiohook/v2", signed.items(), CREATED)
    assert hasattr(decision, "protocol")


def test_the_file_may_come_from_the_setting_of_ingest(tmp_path):
    path = tmp_path / "keys.json"
    shown(run("new-key", INGEST_AUDIOHOOK_KEYS_FILE=str(path)))
    assert path.exists()


def test_without_a_file_it_says_what_is_missing():
    result = run("new-key")
    assert isinstance(result.exception, ConfigError)
    assert "INGEST_AUDIOHOOK_KEYS_FILE" in str(result.exception)


def test_keys_are_rotated_by_new_list_and_drop(tmp_path):
    path = tmp_path / "keys.json"
    old, _ = shown(run("new-key", "--file", path))
    new, secret = shown(run("new-key", "--file", path, "--organization", ORGANIZATION))
    listing = run("list-keys", "--file", path).stdout
    assert [line.split()[0] for line in listing.splitlines()] == [fingerprint(old), fingerprint(new)]
    assert ORGANIZATION in listing
    assert old not in listing
    assert secret not in listing
    assert run("drop-key", fingerprint(old), "--file", path).exit_code == 0
    assert [line.split()[0] for line in run("list-keys", "--file", path).stdout.splitlines()] == [fingerprint(new)]


@pytest.mark.parametrize("wrong", [["new-key", "--organization", "acme"], ["drop-key", "0"], ["list-keys"]])
def test_a_mistake_is_a_configuration_error(tmp_path, wrong):
    result = run(*wrong, "--file", tmp_path / "none" / "keys.json")
    assert isinstance(result.exception, ConfigError)
