import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
TESTS = """
import asyncio

async def test_that_leaks():
    global kept
    kept = asyncio.get_running_loop().create_task(asyncio.sleep(60))

async def test_that_waits():
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0))

async def test_whose_task_ends_a_moment_later():
    global kept
    kept = asyncio.get_running_loop().create_task(asyncio.sleep(0.01))

def test_without_loop():
    assert True
"""


def test_a_leaked_task_fails_its_test_and_no_other(tmp_path):
    (tmp_path / "test_leaks.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "-p", "no:cacheprovider", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 1
    assert "ERROR" in run.stdout
    assert "test_that_leaks" in run.stdout.split("short test summary")[1]
    assert "4 passed, 1 error" in run.stdout
    assert "left asyncio tasks running" in run.stdout
