import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import sharing

ROOT = Path(__file__).parent.parent
CONFTEST = """
import os
import time
from pathlib import Path

import pytest

LOG = Path(__file__).parent / "log"

def note(*words):
    with LOG.open("a") as log:
        log.write(" ".join(map(str, words)) + "\\n")

@pytest.fixture(scope="session", autouse=True)
def at_work():
    yield
    note(os.getpid(), "ended")

@pytest.fixture(autouse=True)
def noted(request):
    note(os.getpid(), "begins", request.node.nodeid)
    time.sleep(0.05)
    yield
    note(os.getpid(), "ends", request.node.nodeid)
"""
TESTS = """
import pytest

@pytest.mark.parametrize("number", range(3))
def test_that_passes(number):
    assert True
"""
FILES = [f"tests/audio/test_{number}.py" for number in range(6)]


def run(folder: Path, files: list[str], *arguments: str) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """Run a suite of such files in a folder of its own; return what it printed and what happened: who, what, test."""
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT}\naddopts = --import-mode=importlib\n")
    ours = (ROOT / "tests" / "conftest.py").read_text().replace('pytest_plugins = ["tests.kafka_fixture"]', "")
    (folder / "conftest.py").write_text(ours + CONFTEST)
    for path in files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(TESTS)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}  # noqa: TID251
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    log = folder / "log"
    return done, [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def test_a_shared_run_begins_with_the_longest_and_ends_with_those_that_measure_in_one_process_alone(tmp_path):
    longest, alone = sharing.LONGEST[0], list(sharing.ALONE)
    (tmp_path / "test_failing.py").write_text("def test_that_fails():\n    assert False\n")
    done, events = run(tmp_path, [*FILES, longest, *alone], "--numprocesses=auto")
    assert f"1 failed, {3 * (len(FILES) + 1 + len(alone))} passed" in done.stdout, done.stdout + done.stderr
    assert "test_that_fails" in done.stdout.split("short test summary")[1]
    assert done.returncode == 1
    begun = [(process, test.split("::")[0]) for process, what, *tests in events if what == "begins" for test in tests]
    assert len({process for process, _ in begun}) == sharing.PROCESSES
    assert longest in {path for _, path in begun[: sharing.PROCESSES]}
    # each file is one process's
    assert len(set(begun)) == len({path for _, path in begun})
    # whoever does not run the last ones has ended before the first of them began
    first = next(number for number, event in enumerate(events) if event[-1].split("::")[0] in sharing.ALONE)
    ended = {process for process, what, *_ in events[:first] if what == "ended"}
    left = {process for process, *_ in events[first:]}
    assert len(ended) == sharing.PROCESSES - 1
    assert len(left) == 1
    assert not left & ended
    assert {path for _, path in begun[-3 * len(alone) :]} == set(alone)


def asked(*, named=False, **options) -> int:
    """Have `processes` judge a command line."""
    source = pytest.Config.ArgsSource.ARGS if named else pytest.Config.ArgsSource.TESTPATHS
    option = SimpleNamespace(**{"keyword": "", "markexpr": "", "lf": False} | options)
    return sharing.processes(SimpleNamespace(option=option, args_source=source))


def test_a_run_of_chosen_tests_is_not_shared():
    assert asked() == sharing.PROCESSES == 2
    assert asked(named=True) == asked(keyword="name") == asked(markexpr="not slow") == asked(lf=True) == 0


def test_who_chooses_tests_gets_one_process(tmp_path):
    done, events = run(tmp_path, FILES[:2], "--numprocesses=auto", "-k", "test_0")
    assert "3 passed, 3 deselected" in done.stdout, done.stdout + done.stderr
    assert len({process for process, *_ in events}) == 1


def test_only_files_that_measure_are_run_by_one_of_two(tmp_path):
    done, events = run(tmp_path, list(sharing.ALONE), "--numprocesses=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len({process for process, what, *_ in events if what == "begins"}) == 1


@pytest.mark.parametrize("path", [*sharing.ALONE, *sharing.LONGEST])
def test_the_files_named_exist(path):
    assert (ROOT / path).is_file()
