from pathlib import Path

from typer.testing import CliRunner

from callstream.docs_command import PAGES, app, components, settings_page
from runtime.config import Settings, prefix_of, variables
from schemas.topics import all_topics

DOCS = Path(__file__).parents[2] / "docs"


def run(*arguments):
    return CliRunner().invoke(app, arguments)


def test_the_pages_are_as_the_code_makes_them():
    result = run("check", "--folder", str(DOCS))
    assert result.exit_code == 0, result.stderr


def test_a_page_that_is_old_or_missing_is_named(tmp_path):
    assert run("write", "--folder", str(tmp_path)).exit_code == 0
    assert run("check", "--folder", str(tmp_path)).exit_code == 0
    (tmp_path / "topics.md").write_text("old")
    (tmp_path / "metrics.md").unlink()
    result = run("check", "--folder", str(tmp_path))
    assert result.exit_code == 1
    assert "topics.md is not up to date" in result.stderr
    assert "metrics.md is not up to date" in result.stderr
    assert "settings.md" not in result.stderr


def test_every_component_with_settings_is_found_by_its_folder():
    assert {"ingest", "silence", "audit_log", "recording_sync"} <= set(components())


def test_every_setting_of_every_component_is_on_the_page():
    page = settings_page()
    for component, settings_type in components().items():
        for variable in variables(settings_type, prefix_of(component)):
            if variable.path[0] not in Settings.model_fields:
                assert f"`{variable.name}`" in page


def test_no_two_components_share_a_variable_of_their_own():
    names = [
        variable.name
        for component, settings_type in components().items()
        for variable in variables(settings_type, prefix_of(component))
        if variable.path[0] not in Settings.model_fields
    ]
    assert len(names) == len(set(names))


def test_every_topic_of_the_catalogue_is_on_the_page():
    page = PAGES["topics.md"]()
    assert all(f"`{topic.name}`" in page for topic in all_topics())
