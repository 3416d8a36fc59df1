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
from simulators.media_websocket.__main__ import main

ROOT = Path(simulators.__file__).parents[1]


@pytest.mark.parametrize("wrong", [["--channel", "none"], ["--reorder", "100000"], ["--backlog", "-1"]])
def test_a_wrong_command_line_is_refused(wrong):
    application = typer.Typer()
    application.command()(main)
    assert CliRunner().invoke(application, wrong).exit_code == 2


async def test_the_command_serves_until_it_is_told_to_end_and_reports(tmp_path):
    (tmp_path / "token").write_text("good\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulators.media_websocket", "--port", "0", "--connection", "m-1"),
        *("--speed", "50", "--token-file", "token", "--report", "report.json"),
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    line = (await process.stdout.readline()).decode()
    url = re.search(r"ws://\S+(?=:)", line)[0]
    async with connect(url, proxy=None) as client:
        await client.send('{"type":"auth","token":"good"}')
        await client.send('{"type":"subscribe","connectionId":"m-1","capabilities":["audio"]}')
        received = [json.loads(await client.recv())["type"] for _ in range(52)]
    process.send_signal(signal.SIGTERM)
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert received == ["auth", "subscribe", *["audio"] * 50]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["calls"]["m-1"]["chunks"] >= 50
    assert report["authentications"][0]["valid"] is True
