"""A guarded child: it ends when asked, when killed, and when the process that started it is gone."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from callstream.embedded_process import GuardedProcess, last_lines


def is_running(pid: int) -> bool:
    """Whether the process exists and is more than an entry somebody has not collected yet."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False).stdout.strip()
    return bool(state) and not state.startswith(b"Z")


def script(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "child.sh"
    path.write_text(text)
    return ["/bin/sh", str(path)]


def has_said(path: Path, word: str) -> bool:
    return path.exists() and word in path.read_text()


def started(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


async def said(path: Path, word: str) -> None:
    async with asyncio.timeout(30):
        while not has_said(path, word):
            await asyncio.sleep(0.01)


async def test_a_child_that_ends_by_itself_is_noticed(tmp_path: Path):
    child = GuardedProcess(script(tmp_path, "echo bye; exit 3"), tmp_path, tmp_path / "log")

    assert await child.wait() == 3
    assert (tmp_path / "log").read_text() == "bye\n"


async def test_stop_lets_a_child_finish_its_work(tmp_path: Path):
    text = "trap 'echo tidy; exit 0' TERM; echo up; while :; do sleep 0.01; done"
    child = GuardedProcess(script(tmp_path, text), tmp_path, tmp_path / "log")
    await said(tmp_path / "log", "up")

    await child.stop(10)

    assert child.exit_code() == 0
    assert (tmp_path / "log").read_text() == "up\ntidy\n"


async def test_stop_kills_a_child_that_does_not_listen(tmp_path: Path):
    text = "trap '' TERM; echo up; while :; do sleep 0.01; done"
    child = GuardedProcess(script(tmp_path, text), tmp_path, tmp_path / "log")
    await said(tmp_path / "log", "up")

    await child.stop(0.1)

    assert child.exit_code() == -signal.SIGKILL
    assert not is_running(child.pid)


async def test_a_terminal_interrupt_does_not_reach_the_child(tmp_path: Path):
    child = GuardedProcess(["/bin/sleep", "60"], tmp_path, tmp_path / "log")

    assert os.getsid(child.pid) != os.getsid(0)
    child.kill()


async def test_kill_twice_is_as_good_as_once(tmp_path: Path):
    child = GuardedProcess(["/bin/sleep", "60"], tmp_path, tmp_path / "log")
    child.kill()
    child.kill()
    await child.stop(1)

    assert child.exit_code() == -signal.SIGKILL


async def test_a_child_ends_when_its_starter_is_killed(tmp_path: Path):
    starter = (
        "import pathlib, sys\n"
        "from callstream.embedded_process import GuardedProcess\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "print(GuardedProcess(['/bin/sleep', '60'], path, path / 'log').pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with started(sys.executable, "-c", starter, str(tmp_path)) as process:
        pid = int(process.stdout.readline())
        assert is_running(pid)
        process.kill()

    async with asyncio.timeout(30):
        while is_running(pid):
            await asyncio.sleep(0.02)
    assert not is_running(pid)


def test_a_program_that_does_not_exist_is_an_os_error(tmp_path: Path):
    with pytest.raises(OSError, match="No such file"):
        GuardedProcess([str(tmp_path / "nothing")], tmp_path, tmp_path / "log")


def test_the_last_lines_of_a_log_are_cut_to_what_a_screen_holds(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("".join(f"{n} {'x' * 500}\n" for n in range(100)))

    lines = last_lines(log, count=3, width=10).splitlines()

    assert [line.split()[0] for line in lines] == ["97", "98", "99"]
    assert all(len(line) == 10 for line in lines)


def test_a_log_that_does_not_exist_has_no_last_lines(tmp_path: Path):
    assert last_lines(tmp_path / "none") == ""
