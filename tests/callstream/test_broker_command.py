"""`callstream broker` tells an operator what is wrong in words, not in a traceback."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def broker(*arguments: object, temporary: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "callstream.broker_command", *map(str, arguments)]
    environment = {"TMPDIR": str(temporary), "CALLSTREAM_CACHE_DIR": str(temporary / "cache")}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=100)


def test_what_is_wrong_is_said_in_one_line_before_anything_is_downloaded(tmp_path: Path, taken_port: int):
    result = broker("--port", taken_port, "--data-dir", tmp_path / "data", temporary=tmp_path)

    assert result.returncode == 1
    assert result.stderr.startswith(f"Port {taken_port} on 127.0.0.1 cannot be used")
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""
    assert not (tmp_path / "cache").exists()


def test_an_ephemeral_folder_is_removed_when_the_start_fails(tmp_path: Path, taken_port: int):
    result = broker("--port", taken_port, "--ephemeral", temporary=tmp_path)

    assert result.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_none_is_refused(tmp_path: Path):
    assert broker("--port", 65536, temporary=tmp_path).returncode == 2
