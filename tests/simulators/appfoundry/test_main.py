import asyncio
import json
import re
import signal
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner
from websockets.asyncio.client import connect

import simulators
from simulators.appfoundry import script
from simulators.appfoundry.__main__ import main

ROOT = Path(simulators.__file__).parents[1]


@pytest.mark.parametrize("wrong", [["--channel", "none"], ["--speed", "0"], ["--port", "-1"]])
def test_a_wrong_command_line_is_refused(wrong):
    application = typer.Typer()
    application.command()(main)
    assert CliRunner().invoke(application, wrong).exit_code == 2


async def test_the_command_plays_the_lines_of_a_speaker_and_reports(tmp_path):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulators.appfoundry", "--port", "0", "--app", "a", "--socket", "s"),
        *("--speed", "100", "--report", "report.json"),
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    line = (await process.stdout.readline()).decode()
    url = re.search(r"ws://\S+", line)[0]
    expected = [message.content for message in script.spoken().messages]
    async with connect(url, additional_headers={"Authorization": "Bearer any"}, proxy=None) as client:
        assert [await client.recv() for _ in expected] == expected
        await client.send("thanks")
        await (await client.ping())
    process.send_signal(signal.SIGTERM)
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    report = json.loads((tmp_path / "report.json").read_text())
    assert [one["content"] for one in report["sent"]] == expected
    assert report["received"] == [{"websocket_id": "s", "content": "thanks"}]
