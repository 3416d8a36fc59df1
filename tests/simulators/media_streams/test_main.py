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
from simulators.media_streams.__main__ import main

ROOT = Path(simulators.__file__).parents[1]


@pytest.mark.parametrize("wrong", [["--channel", "none"], ["--reorder", "100000"], ["--loss", "2"], ["--speed", "0"]])
def test_a_wrong_command_line_is_refused(wrong):
    application = typer.Typer()
    application.command()(main)
    assert CliRunner().invoke(application, wrong).exit_code == 2


async def test_the_command_serves_until_it_is_told_to_end_and_reports(tmp_path):
    (tmp_path / "token").write_text("good\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulators.media_streams", "--port", "0", "--interaction", "c-1", "--loss", "0.02"),
        *("--speed", "50", "--first-number", "7", "--token-file", "token", "--report", "report.json"),
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    line = (await process.stdout.readline()).decode()
    url = re.search(r"ws://\S+(?=:)", line)[0]
    async with connect(url, additional_headers={"Authorization": "Bearer good"}, proxy=None) as client:
        wanted = {"interactionId": "c-1", "mediaType": "voice", "codecPreferences": ["pcmu"]}
        await client.send(json.dumps({"interactions": [wanted]}))
        received = [json.loads(await client.recv())["sequenceNumber"] for _ in range(50)]
    process.send_signal(signal.SIGTERM)
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["interactions"]["c-1"]["sequence_numbers"][:50] == received
    assert received[0] == 7
    assert report["handshakes"] == [{"authorized": True, "status": 101}]
