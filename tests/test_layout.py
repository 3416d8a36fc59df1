"""The tree's own rules: anatomy of components, who may import whom, what no file may say."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("schemas", "audio", "runtime", "ingest", "processors", "sinks", "callstream", "simulators")
LONGEST = 400
LONG_BY_NATURE = {"schemas/records.py", "schemas/symbols.py"}
"""Lists, one entry for each field or symbol of the contract."""

UNTESTED = {
    "schemas/errors.py": "one class without code",
    "runtime/errors.py": "classes without code but for three fields",
    "runtime/forwarding.py": "an interface: every forwarding component is held to it by the driver and the host",
    "runtime/processor.py": "an interface: every processor is held to it by the driver",
    "runtime/sink.py": "an interface: every sink is held to it by the host",
    "ingest/door.py": "an interface: the server is held to it",
    "ingest/protocol.py": "an interface: every source is held to it",
    "processors/cognigy/client.py": "an interface: every transport is held to it",
    "processors/cognigy/events.py": "data without code",
    "sinks/recording_sync/entries.py": "data without code",
}
"""Modules without tests of their own, and why. `__main__` is wiring: compliance and the demo run it."""

TESTED_WITH = {
    "audio/frame_table.py": "tests/audio/test_frames.py",
    "callstream/demo/findings.py": "tests/e2e/test_demo.py",
    "callstream/demo/play.py": "tests/e2e/test_demo.py",
    "callstream/demo/reader.py": "tests/e2e/test_demo.py",
    "callstream/demo/source.py": "tests/callstream/demo/test_live_stand_ins.py",
    "callstream/demo/stage.py": "tests/e2e/test_demo.py",
    "callstream/demo_command.py": "tests/e2e/test_demo.py",
    "callstream/embedded_download.py": "tests/callstream/test_embedded_jars.py",
    "callstream/embedded_errors.py": "tests/callstream/test_embedded_kafka.py",
    "callstream/embedded_lock.py": "tests/callstream/test_embedded_kafka.py",
    "callstream/embedded_ready.py": "tests/callstream/test_embedded_kafka.py",
    "callstream/topics_command.py": "tests/integration/test_topics_command.py",
    "ingest/connecting.py": "tests/ingest/test_config.py",
    "ingest/intake.py": "tests/ingest/test_session.py",
    "ingest/lane.py": "tests/ingest/test_outlet.py",
    "ingest/roll.py": "tests/ingest/spool/test_keeper.py",
    "ingest/spool/spool.py": "tests/ingest/spool/test_bridge.py",
    "ingest/spooling.py": "tests/integration/test_spool.py",
    "ingest/follow_settings.py": "tests/integration/test_following.py",
    "ingest/following.py": "tests/integration/test_following.py",
    "ingest/letters.py": "tests/integration/test_following.py",
    "ingest/sources/appfoundry/config.py": "tests/ingest/test_config.py",
    "ingest/sources/audiohook/config.py": "tests/ingest/test_config.py",
    "ingest/sources/conversation_audio/config.py": "tests/ingest/test_config.py",
    "ingest/sources/media_streams/config.py": "tests/ingest/test_config.py",
    "ingest/sources/media_websocket/config.py": "tests/ingest/test_config.py",
    "processors/cognigy/bridge/config.py": "tests/processors/cognigy/test_config.py",
    "processors/cognigy/bridge/link.py": "tests/processors/cognigy/bridge/test_client.py",
    "processors/cognigy/replies.py": "tests/processors/cognigy/test_logic.py",
    "processors/cognigy/rules.py": "tests/processors/cognigy/test_config.py",
    "processors/cognigy/transports.py": "tests/integration/test_bridge.py",
    "runtime/asking.py": "tests/runtime/test_worker.py",
    "runtime/forwarder_beside.py": "tests/integration/test_bridge.py",
    "runtime/forwarder_holdings.py": "tests/runtime/test_forwarder.py",
    "runtime/forwarder_opening.py": "tests/runtime/test_forwarder.py",
    "runtime/group_table.py": "tests/integration/test_group_table.py",
    "runtime/opening.py": "tests/runtime/test_worker.py",
    "runtime/sink_feed.py": "tests/integration/test_sink_feed.py",
    "runtime/topics_check.py": "tests/integration/test_task_host.py",
    "runtime/turning.py": "tests/runtime/test_worker.py",
    "runtime/version.py": "tests/runtime/test_deadletter.py",
    "runtime/whole_table.py": "tests/integration/test_wishes_topic.py",
    "simulators/audiohook/clock.py": "tests/simulators/audiohook/test_client.py",
    "simulators/audiohook/player.py": "tests/simulators/audiohook/test_client.py",
    "simulators/conversation/make_conversation.py": "tests/simulators/conversation/test_script.py",
    "simulators/registry/server.py": "tests/runtime/test_registry.py",
    "simulators/registry/store.py": "tests/runtime/test_registry.py",
}
"""Parts of another module, tested where that one is."""

LEFT_OUT = {".git", ".venv", ".uv", ".cache", ".hypothesis", "__pycache__", "data", "build", "dist", "node_modules"}
_HOST = "|".join(
    ["py" + r"pi\.", "python" + r"hosted\.", "maven" + r"\.(org|apache)", r"\bmvn" + "repository", "npm" + "js"]
)
FORBIDDEN = {
    "a host of a package registry": re.compile(_HOST),
    "a place outside the project": re.compile(
        r"(?<![\w.\-/}])/wo" + r"rk\b|share" + r"d/(design|reference|road)|\.librar" + "y"
    ),
    "somebody's way of working": re.compile(r"sub-?a" + r"gent|(?<!g)\bissue" + r" ?(#|number )\d", re.IGNORECASE),
}


def sources() -> list[str]:
    return sorted(
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if not LEFT_OUT & set(path.relative_to(ROOT).parts)
    )


def components(folder: str) -> list[str]:
    return sorted(
        path.name
        for path in (ROOT / folder).iterdir()
        if path.is_dir() and path.name not in LEFT_OUT and any(path.glob("*.py"))
    )


def texts() -> list[Path]:
    """Every file of the project that people read."""
    kinds = {".py", ".md", ".toml", ".txt", ".avsc", ".json", ".yml", ".yaml", ".lock", ".html", ".js", ".css", ""}
    return [
        path
        for path in sorted(ROOT.rglob("*"))
        if path.is_file()
        and path.suffix in kinds
        and not any(part in LEFT_OUT or part.endswith("_cache") for part in path.relative_to(ROOT).parts)
        and not path.relative_to(ROOT).as_posix().startswith(".env")
    ]


@pytest.mark.parametrize("path", [path for path in sources() if path.endswith("/__init__.py")])
def test_an_init_file_is_a_docstring_and_nothing_else(path):
    body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)
    assert isinstance(body[0].value, ast.Constant)
    assert isinstance(body[0].value.value, str)


ANATOMY = {
    "processors": {"__init__.py", "__main__.py", "config.py", "logic.py"},
    "sinks": {"__init__.py", "__main__.py", "config.py", "logic.py", "writer.py"},
    "ingest/sources": {"__init__.py", "messages.py", "protocol.py", "source.py"},
}


@pytest.mark.parametrize(("folder", "name"), [(folder, name) for folder in ANATOMY for name in components(folder)])
def test_a_component_has_the_files_of_its_kind(folder, name):
    files = {path.name for path in (ROOT / folder / name).glob("*.py")}
    assert ANATOMY[folder] - files == set()


def test_components_are_found():
    assert "silence" in components("processors")
    assert {"audit_log", "recording_sync"} <= set(components("sinks"))
    assert "audiohook" in components("ingest/sources")


def test_no_module_is_too_long_to_hold_in_mind():
    long = {path: (ROOT / path).read_text(encoding="utf-8").count("\n") for path in sources()}
    assert {path: lines for path, lines in long.items() if lines > LONGEST and path not in LONG_BY_NATURE} == {}


def mirrored(path: str) -> Path:
    source = Path(path)
    return ROOT / "tests" / source.parent / f"test_{source.stem}.py"


def test_every_module_has_a_test_file_at_the_mirrored_path():
    excused = UNTESTED.keys() | TESTED_WITH.keys()
    modules = [path for path in sources() if not Path(path).name.startswith("__") and path not in excused]
    assert [path for path in modules if not mirrored(path).exists()] == []


def test_the_excuses_are_true():
    assert [path for path in UNTESTED | TESTED_WITH if not (ROOT / path).exists() or mirrored(path).exists()] == []
    assert [test for test in TESTED_WITH.values() if not (ROOT / test).exists()] == []


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names(what):
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if FORBIDDEN[what].search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("a host of a package registry", "https://" + "py" + "pi.org/simple"),
        ("a host of a package registry", "repo1.maven" + ".org"),
        ("a place outside the project", "see /wo" + "rk/main"),
        ("somebody's way of working", "closes issue" + " #3"),
    ],
)
def test_the_forbidden_words_are_found(what, line):
    assert FORBIDDEN[what].search(line)


def test_honest_words_are_not_forbidden():
    for line in (
        "PyPI brings Java, Maven Central the jars",
        "agent and customer",
        "network/workers",
        "the issue of time",
    ):
        assert not any(pattern.search(line) for pattern in FORBIDDEN.values())


VIOLATIONS = {
    "The layers": ("runtime/violation.py", "import processors\n"),
    "Sources know no other source": ("ingest/sources/violation/protocol.py", "import ingest.sources.audiohook.auth\n"),
    "Processors know no other processor": ("processors/violation/config.py", "import processors.other.logic\n"),
    "Sinks know no other sink": ("sinks/violation/config.py", "import sinks.other.logic\n"),
    "Stand-ins share no code": ("simulators/violation/server.py", "import ingest.protocol\n"),
    "What decides is pure": ("audio/violation.py", "from audio import violation_inside\n"),
    "What decides knows no shell": ("sinks/violation/logic.py", "from sinks.violation import writer\n"),
}
"""Contract → a file that breaks it. The impure import is indirect: it stands in the module that `audio` imports."""

SUPPORT = {
    "audio/violation_inside.py": "import asyncio\n",
    "ingest/sources/violation/__init__.py": "",
    "processors/violation/__init__.py": "",
    "processors/other/__init__.py": "",
    "processors/other/logic.py": "",
    "sinks/violation/__init__.py": "",
    "sinks/violation/writer.py": "",
    "sinks/other/__init__.py": "",
    "sinks/other/logic.py": "",
    "simulators/violation/__init__.py": "",
}


def lint_imports(folder: Path) -> dict[str, bool]:
    """Run the import contracts in a folder: contract → kept."""
    run = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = re.findall(r"^(.+) (KEPT|BROKEN)(?: \(.+\))?$", run.stdout, re.MULTILINE)
    assert lines, run.stdout + run.stderr
    assert (run.returncode == 0) == all(kept == "KEPT" for _, kept in lines)
    return {name: kept == "KEPT" for name, kept in lines}


def copy_of_the_tree(folder: Path) -> Path:
    for path in sources():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_the_import_contracts_hold_and_each_fails_on_a_violation(tmp_path):
    tree = copy_of_the_tree(tmp_path)
    before = lint_imports(tree)
    assert [name for name, kept in before.items() if not kept] == []
    for path, text in (SUPPORT | dict(VIOLATIONS.values())).items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    after = lint_imports(tree)
    assert {name for name, kept in after.items() if kept} == set()
    assert all(any(name.startswith(start) for start in VIOLATIONS) for name in after)
    assert len(after) == len(VIOLATIONS)


def test_every_folder_of_tests_belongs_to_a_ring_and_every_ring_has_its_folders():
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Tests, by ring")[1]
    rings = set(re.findall(r"`tests/([a-z0-9_]+)/`", table))
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.name != "data" and any(path.rglob("*.py"))}
    assert folders - set(PACKAGES) == rings
    assert "`tests/<package>/`" in table


def test_the_packages_are_the_same_everywhere():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    tools = settings["tool"]
    assert set(tools["hatch"]["build"]["targets"]["wheel"]["packages"]) == set(PACKAGES)
    assert set(tools["mypy"]["packages"]) == set(PACKAGES)
    assert set(tools["importlinter"]["root_packages"]) == set(PACKAGES)


def test_every_lint_rule_that_is_off_has_a_reason():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    ignores = text.split("\nignore = [\n")[1].split("]")[0]
    assert all("#" in line for line in ignores.strip().splitlines())
