import subprocess
import sys
from pathlib import Path

import pytest

from callstream import __main__ as command
from runtime.errors import ConfigError, Unavailable

ROOT = Path(__file__).parents[2]


def run(*arguments, **environ):
    return subprocess.run(
        [sys.executable, "-m", "callstream", *arguments],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_overview_names_the_commands():
    result = run("--help")
    assert result.returncode == 0
    for name in ("broker", "topics", "schemas", "audit", "docs"):
        assert name in result.stdout


def test_the_overview_imports_no_command():
    code = (
        "import sys, callstream.__main__; print([m for m in sys.modules if m.endswith('_command') or m == 'aiokafka'])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_command_that_is_there_can_be_asked_for_help(monkeypatch):
    names = command._Commands.list_commands(None, None)
    assert {"broker", "topics", "schemas", "docs"} <= set(names)
    for name in names:
        monkeypatch.setattr(sys, "argv", ["callstream", name, "--help"])
        with pytest.raises(SystemExit) as end:
            command.main()
        assert end.value.code == 0


def test_an_unknown_command_is_a_usage_error():
    assert run("nothing").returncode == 2


def test_a_bad_setting_is_one_line_and_2():
    result = run("topics", "list", TOPIC_PREFIX="wrong")
    assert result.returncode == 2
    assert result.stderr.startswith("TOPIC_PREFIX: ")
    assert result.stderr.count("\n") == 1


def test_no_broker_is_one_line_and_1():
    result = run("topics", "list", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError(["A: x", "B: y"]), 2),
        (Unavailable("z"), 1),
        (ExceptionGroup("", [ConfigError(["A: x"]), ExceptionGroup("", [Unavailable("z")])]), 1),
    ],
)
def test_our_errors_become_lines_and_a_code(monkeypatch, capsys, error, code):
    def fail(**_):
        raise error

    monkeypatch.setattr(command, "app", fail)
    with pytest.raises(SystemExit) as end:
        command.main()
    assert end.value.code == code
    assert "Traceback" not in capsys.readouterr().err
