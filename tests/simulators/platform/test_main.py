import asyncio
import re
import signal
import subprocess
import sys
from pathlib import Path

import simulators
from runtime.http import HttpClient

ROOT = Path(simulators.__file__).parents[1]
COMMAND = [sys.executable, "-m", "simulators.platform"]


def test_a_wrong_pause_is_refused():
    run = subprocess.run([*COMMAND, "--pause", "20:10"], capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 2
    assert "does not end after it begins" in run.stderr


async def test_the_command_tells_of_conversations_until_it_is_told_to_end():
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, "--port", "0", "--conversation", "c-1", "--pause", "0:1000", "--ends-after", "2000"),
        env={"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    url = None
    while url is None:
        url = re.search(r"http://\S+", (await process.stdout.readline()).decode())
    async with HttpClient("platform", timeout_s=5, any_status=True) as http:
        headers = {"authorization": "Bearer any"}
        answer = await http.request("GET", f"{url[0]}/api/v2/conversations/c-1", headers=headers)
    process.send_signal(signal.SIGINT)
    output, _ = await process.communicate()
    assert process.returncode in {0, 130, -2}, output.decode()
    assert answer.json()["securePause"] is True
