from typer.testing import CliRunner

from callstream import schemas_command
from callstream.schemas_command import app
from runtime.errors import ConfigError
from schemas.versions import fingerprint_lines


def run(*arguments):
    return CliRunner().invoke(app, arguments)


def test_fingerprints_are_shown_as_recorded():
    assert run("fingerprints").stdout == fingerprint_lines()


def test_released_schemas_are_as_recorded():
    result = run("check")
    assert result.exit_code == 0, result.stderr


def test_an_edited_schema_is_found(monkeypatch):
    edited = fingerprint_lines().replace("audio_frame v1 ", "audio_frame v1 0", 1)
    monkeypatch.setattr(schemas_command, "fingerprint_lines", lambda: edited)
    result = run("check")
    assert result.exit_code == 1
    assert "audio_frame v1" in result.stderr


def test_registering_needs_a_registry(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SCHEMA_REGISTRY_URL", raising=False)
    result = run("register")
    assert isinstance(result.exception, ConfigError)
    assert "SCHEMA_REGISTRY_URL" in str(result.exception)
