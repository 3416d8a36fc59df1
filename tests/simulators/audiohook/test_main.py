import asyncio
import json
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import simulators
from simulators.audiohook.__main__ import main

ROOT = Path(simulators.__file__).parents[1]


@pytest.mark.parametrize(
    "wrong", [["--scenario", "none"], ["--custom-config", "{"], ["--wav", __file__], ["--calls", "0"]]
)
def test_a_wrong_command_line_is_refused_before_any_connection(wrong):
    application = typer.Typer()
    application.command()(main)
    result = CliRunner().invoke(application, ["ws://127.0.0.1:1/", *wrong])
    assert result.exit_code == 2


@pytest.mark.parametrize(("status", "code"), [(0, 0), (401, 1)])
async def test_the_command_places_calls_and_writes_its_report(serving, tmp_path, status, code):
    (tmp_path / "key").write_text("key\n")
    (tmp_path / "secret").write_text("c2VjcmV0\n")
    arguments = ["--calls", "2", "--speed", "0", "--scenario", "demo", "--seed", "1", "--frame-ms", "100"]
    files = ["--report", "report.json", "--record", "sent", "--api-key-file", "key", "--secret-file", "secret"]
    environment = {"PYTHONPATH": str(ROOT)}
    async with serving(status=status, bears_leaks=True) as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "simulators.audiohook", server.url, *arguments, *files),
            cwd=tmp_path,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
    report = json.loads((tmp_path / "report.json").read_text())
    assert process.returncode == code, output.decode()
    assert report["ok"] is (code == 0)
    assert [headers["X-API-KEY"] for headers in server.headers] == ["key", "key"]
    assert [call["frames_sent"] for call in report["calls"]] == [len(peer.frames) for peer in server.peers] or status
    assert b"calls went as meant" in output
