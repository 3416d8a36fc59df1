import asyncio
import json
import re
import signal
import sys
from pathlib import Path

from websockets.asyncio.client import connect

import simulators

ROOT = Path(simulators.__file__).parents[1]


async def test_the_command_answers_calls_until_it_is_told_to_end(tmp_path):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulators.bridge", "--port", "0", "--app", "one"),
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    line = (await process.stdout.readline()).decode()
    url = re.search(r"ws://[^<]+", line)[0] + "call-1"
    assert "/v2/appfoundry/apps/one/websockets/" in url
    async with connect(url, additional_headers={"Authorization": "Bearer any"}, proxy=None) as client:
        data = {"text": "hello", "sessionId": "call-1"}
        await client.send(json.dumps({"type": "event", "event": "userInput", "data": data}))
        assert json.loads(await client.recv())["type"] == "intent"
    process.send_signal(signal.SIGTERM)
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
