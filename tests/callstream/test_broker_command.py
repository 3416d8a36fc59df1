"""`callstream broker` tells an operator what is wrong in words, not in a traceback."""

import socket
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from callstream import embedded_jars
from callstream.broker_command import broker


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(broker)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(embedded_jars, "_EXPECTED", [])
    (tmp_path / "cache" / "kafka-4.3.1" / "jars").mkdir(parents=True)
    return tmp_path / "cache"


def test_a_taken_port_ends_the_command_with_one_message(run, tmp_path: Path, cache_dir: Path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = run("--port", port, "--data-dir", tmp_path / "data", "--cache-dir", cache_dir)

    assert result.exit_code == 1
    assert result.stderr.startswith(f"Port {port} on 127.0.0.1 cannot be used")
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_an_ephemeral_folder_is_removed_when_the_start_fails(
    run, tmp_path: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = run("--ephemeral", "--port", 0, "--cache-dir", cache_dir)

    assert result.exit_code == 1
    assert "could not format its folder" in result.stderr
    assert not list(tmp_path.glob("callstream-kafka-*"))


def test_a_port_that_is_none_is_refused(run):
    assert run("--port", 65536).exit_code == 2
