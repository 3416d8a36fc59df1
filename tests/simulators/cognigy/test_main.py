import asyncio
import os
import signal
import sys
from pathlib import Path

from runtime.config import child_environment
from runtime.http import HttpClient

ROOT = Path(__file__).parents[3]


async def test_the_module_serves_until_it_is_told_to_stop(tmp_path):
    (tmp_path / "token").write_text("a-token-from-a-file\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulators.cognigy", "--port", "0", "--token-file", str(tmp_path / "token")),
        env=child_environment({"PYTHONPATH": os.fspath(ROOT)}),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(20):
            url = (await process.stdout.readline()).decode().split()[-1]
            async with HttpClient("bot", timeout_s=5) as http:
                body = b'{"userId": "u", "sessionId": "s", "text": "hello"}'
                answer = await http.request("POST", f"{url}/a-token-from-a-file", content=body)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert answer.json()["text"] == "You said: hello"
