"""Documents tell the truth: links lead somewhere, commands exist, tables are complete."""

import re
import shlex
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from callstream.__main__ import app

ROOT = Path(__file__).parent.parent
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SCREEN_LINES = 60


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def commands(page: str) -> list[str]:
    """The command lines of a page's indented blocks and of its quoted `./dev …`."""
    blocks = re.findall(r"^    (\S.*?)\s*(?:\s#.*)?$", text(page), re.MULTILINE)
    return blocks + re.findall(r"`(\./dev [^`]+)`", text(page))


def recipes() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*)(?: [^:=]*)?:(?!=)", text("justfile"), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file(page):
    links = [link for link in LINK.findall(text(page)) if not link.startswith(("http", "#"))]
    missing = [link for link in links if not (ROOT / page).parent.joinpath(link.split("#")[0]).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_every_named_file_of_the_project_exists(page):
    """A quoted path with a slash is a file or folder, unless it has a placeholder."""
    tops = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")} - {"data"}
    paths = [path for path in re.findall(r"`([\w./]+/[\w./]*)`", text(page)) if path.split("/")[0] in tops]
    assert [path for path in paths if not (ROOT / path).exists() and not path.startswith("tests/")] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_dev_command_is_a_recipe(page):
    used = {shlex.split(line, comments=True)[1] for line in commands(page) if re.match(r"\./dev \S", line)}
    assert used <= recipes() | {"#"}


@pytest.mark.parametrize("page", PAGES)
def test_every_module_that_is_run_exists(page):
    modules = re.findall(r"python -m ([\w.]+)", text(page))
    assert [name for name in modules if find_spec(f"{name}.__main__") is None] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_callstream_command_exists(page):
    lines = re.findall(r"(?:`|^    \S*/)callstream ((?:[a-z-]+ ?)+)", text(page), re.MULTILINE)
    for words in (line.split() for line in lines):
        result = CliRunner().invoke(app, [*words, "--help"])
        assert result.exit_code == 0, f"callstream {' '.join(words)}: {result.output}"


def test_every_recipe_s_command_exists():
    recipe_commands = re.findall(r"-m callstream ((?:[a-z-]+ ?)+)", text("justfile"))
    assert len(recipe_commands) >= 2
    for words in (line.split() for line in recipe_commands):
        result = CliRunner().invoke(app, [*words, "--help"])
        assert result.exit_code == 0, f"callstream {' '.join(words)}: {result.output}"


def test_the_readme_fits_on_a_screen_and_names_the_two_commands():
    assert text("README.md").count("\n") <= SCREEN_LINES
    assert {line.split(" #")[0].strip() for line in commands("README.md") if line.startswith("./dev")} == {
        "./dev demo",
        "./dev test",
    }


def test_the_readme_lists_every_component_and_no_other():
    listed = set(re.findall(r"^\| \[`([\w/]+)`\]", text("README.md"), re.MULTILINE))
    present = {
        f"{folder}/{path.name}"
        for folder in ("processors", "sinks")
        for path in (ROOT / folder).iterdir()
        if (path / "__init__.py").exists()
    }
    assert listed == present | {"ingest"}


def test_the_map_lists_every_folder_at_the_top():
    listed = set(re.findall(r"^\| `(\w+)/` \|", text("ARCHITECTURE.md"), re.MULTILINE))
    present = {path.name for path in ROOT.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    assert listed == present | {"benchmarks", "tests"}


def test_every_claim_of_the_map_links_to_a_file():
    claims = re.findall(r"^- (.+?)(?=^- |^#|\Z|^$)", text("ARCHITECTURE.md"), re.MULTILINE | re.DOTALL)
    assert len(claims) > 20
    assert [claim for claim in claims if not LINK.search(claim)] == []


def test_decisions_are_numbered_without_holes_and_titled_by_their_number():
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        assert page.read_text(encoding="utf-8").startswith(f"# {page.name[:4]} ")


def test_the_changelog_has_one_unreleased_section_with_known_headings():
    changelog = text("CHANGELOG.md")
    assert changelog.count("## [Unreleased]") == 1
    headings = set(re.findall(r"^### (.+)$", changelog, re.MULTILINE))
    assert headings <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_lock_command_is_the_recipe_s():
    decision = text("docs/decisions/0003-lock-file.md").replace("\\\n       ", "")
    line = next(line for line in text("justfile").splitlines() if "pip compile" in line)
    flags = re.findall(r"--[\w-]+(?: [\w.]+(?= -|$))?", line.split("pip compile")[1].replace(" --quiet", ""))
    assert len(flags) == 7
    assert [flag for flag in flags if flag not in decision] == []


@pytest.mark.parametrize("script", ["dev", ".ci/run"])
def test_scripts_are_executable_and_parse(script):
    assert (ROOT / script).stat().st_mode & 0o111
    shell = "bash" if script == ".ci/run" else "sh"
    assert subprocess.run([shell, "-n", ROOT / script], check=False).returncode == 0
