import ast
import json
import logging
from pathlib import Path

import pytest
import structlog

from runtime.errors import Unavailable, UsageError
from runtime.log import KEYS, configure, get_logger, personal
from runtime.metrics import LOG_KEYS_DROPPED

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "audio", "runtime", "ingest", "processors", "sinks", "callstream", "simulators")
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}


@pytest.fixture(autouse=True)
def fresh_configuration():
    structlog.reset_defaults()


@pytest.fixture
def lines(capsys):
    def read():
        return [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    return read


def logged(node):
    """Whether a node is a call of a logger: `log.info(…)`, `self._log.warning(…)`, `service.log.error(…)`."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in LEVELS:
        return False
    owner = node.func.value
    name = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
    return name.strip("_") in {"log", "logger"}


def calls():
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if logged(node):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_every_log_call_has_a_fixed_text_and_declared_keys():
    found = 0
    for place, node in calls():
        found += 1
        assert len(node.args) == 1, f"{place}: one text, values in keys"
        assert isinstance(node.args[0], ast.Constant), f"{place}: the text is fixed"
        used = {keyword.arg for keyword in node.keywords} - {"exc_info"}
        assert used <= set(KEYS), f"{place}: undeclared keys {sorted(map(str, used - set(KEYS)))}"
    assert found >= 10


def test_no_declared_key_is_personal():
    assert not set(KEYS) & personal()
    assert {"payload", "text", "participants"} <= personal()


def test_a_line_is_one_json_object(lines):
    configure("info", "json")
    get_logger("silence").info("the service starts", version="1")
    (line,) = lines()
    assert list(line) == ["at", "level", "message", "component", "version"]
    assert (line["level"], line["message"], line["component"]) == ("info", "the service starts", "silence")
    assert line["at"].endswith("+00:00")


def test_lines_below_the_level_are_left_out(lines):
    configure("warning", "json")
    get_logger("silence").info("nothing")
    assert lines() == []


def test_a_terminal_gets_readable_lines(capsys):
    configure("info", "console")
    get_logger("silence").info("the service starts", version="1")
    text = capsys.readouterr().err
    assert "the service starts" in text
    assert "version" in text
    assert not text.startswith("{")


@pytest.mark.parametrize("key", ["colour", "participants"])
def test_a_key_that_is_not_allowed_raises_in_tests(key):
    with pytest.raises(UsageError, match=key):
        get_logger("silence").info("x", **{key: "Jane"})


@pytest.mark.parametrize("key", ["colour", "participants"])
def test_a_key_that_is_not_allowed_is_dropped_and_counted_in_a_service(lines, key):
    configure("info", "json")
    before = LOG_KEYS_DROPPED._value.get()
    get_logger("silence").info("x", count=1, **{key: "Jane"})
    (line,) = lines()
    assert line["count"] == 1
    assert "Jane" not in json.dumps(line)
    assert LOG_KEYS_DROPPED._value.get() == before + 1


def test_a_personal_key_is_refused_even_when_declared(lines, monkeypatch):
    monkeypatch.setattr("runtime.log.KEYS", {**KEYS, "participants": "who speaks"})
    configure("info", "json")
    get_logger("silence").info("x", participants="Jane")
    assert "Jane" not in json.dumps(lines())


def test_an_unexpected_error_shows_its_class_and_place_but_not_its_text(lines):
    configure("info", "json")
    with pytest.raises(ValueError, match="Jane") as found:
        int("Jane")
    get_logger("silence").error("it failed", exc_info=found.value)
    (line,) = lines()
    assert line["error_class"] == "ValueError"
    assert "test_log.py" in line["frames"][-1]
    assert "Jane" not in json.dumps(line)


def test_one_of_our_errors_shows_its_text(lines):
    configure("info", "json")
    get_logger("silence").error("it failed", exc_info=Unavailable("no broker"))
    (line,) = lines()
    assert line["error"] == "no broker"


def test_a_librarys_warning_comes_in_our_form_without_its_values(lines):
    configure("info", "json")
    logging.getLogger("other").warning("connection of %s lost", "Jane")
    logging.getLogger("other").info("not worth a line")
    (line,) = lines()
    assert (line["library"], line["library_text"]) == ("other", "connection of %s lost")
    assert "Jane" not in json.dumps(line)
