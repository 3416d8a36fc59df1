"""A process whose loop stands still ends with 1 and says where; one whose loop turns does not."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = """
import asyncio, re
from runtime.clock import SystemClock
from runtime.service import _measure_stalls
from runtime.stall_guard import StallGuard

async def main():
    async with asyncio.TaskGroup() as tasks:
        stalls = tasks.create_task(_measure_stalls(SystemClock(), StallGuard({limit})))
        await asyncio.sleep(2.5)
        print("turned", flush=True)
        {block}
        stalls.cancel()
    print("ended", flush=True)

asyncio.run(main())
"""


def run(limit: float, block: str) -> subprocess.CompletedProcess[str]:
    code = CODE.format(limit=limit, block=block)
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_loop_that_one_call_blocks_for_good_ends_the_process_with_its_place() -> None:
    # a regular expression that never ends keeps the interpreter to itself: no thread of ours could notice
    result = run(2, "re.match('(a+)+$', 'a' * 64 + 'b')")
    assert result.returncode == 1
    assert result.stdout == "turned\n"
    assert "most recent call first" in result.stderr


def test_a_loop_that_turns_is_left_alone_and_the_guard_ends_with_it() -> None:
    result = run(2, "pass")
    assert (result.returncode, result.stdout, result.stderr) == (0, "turned\nended\n", "")
