import asyncio
import base64
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
from simulators.conversation_audio.__main__ import main
from simulators.live_call.script import channel

ROOT = Path(simulators.__file__).parents[1]


@pytest.mark.parametrize("wrong", [["--channel", "none"], ["--heartbeat", "binary"], ["--framing", "json"]])
def test_a_wrong_command_line_is_refused(wrong):
    application = typer.Typer()
    application.command()(main)
    assert CliRunner().invoke(application, wrong).exit_code == 2


async def test_the_command_serves_until_it_is_told_to_end_and_reports(tmp_path):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulators.conversation_audio", "--port", "0", "--conversation", "c-1"),
        *("--speed", "50", "--framing", "text", "--report", "report.json"),
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    line = (await process.stdout.readline()).decode()
    url = re.search(r"ws://\S+", line)[0]
    async with connect(url, proxy=None) as client:
        received = b"".join([base64.b64decode(await client.recv()) for _ in range(50)])
    process.send_signal(signal.SIGTERM)
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert received == channel("external")[: len(received)]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["calls"]["c-1"]["chunks"] >= 50
