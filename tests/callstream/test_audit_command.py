"""`callstream audit verify`: one line and 0 for a whole log, the place of the first fault and 1 for any other."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from typer.testing import CliRunner

from callstream.audit_command import app
from tests.sinks.audit_log.logs import objects


@pytest.fixture
def folders(tmp_path):
    log, heads = tmp_path / "log", tmp_path / "heads"
    log.mkdir()
    heads.mkdir()
    sealed = objects(6, 2)
    for each in sealed:
        (log / each.name).write_bytes(each.data)
    (heads / "head.json").write_bytes(sealed[-1].head)
    return log, heads


def verify(*arguments, **environment):
    # in a thread of its own: the command runs a loop, and the loop of this thread is pytest's
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(CliRunner().invoke, app, ["verify", *map(str, arguments)], env=environment).result()


def test_a_whole_log_is_verified_in_one_line(folders):
    log, heads = folders
    result = verify(log, "--heads", heads)
    assert result.exit_code == 0
    assert result.stdout.startswith("6 entries in 3 batches, head ")
    assert result.stdout.endswith(", verified\n")


def test_the_places_may_come_from_the_settings_of_the_service(folders):
    log, heads = folders
    result = verify(AUDIT_LOG_STORE_URL=str(log), AUDIT_LOG_HEADS_URL=heads.as_uri())
    assert result.exit_code == 0


def test_a_fault_is_named_with_position_and_file(folders):
    log, heads = folders
    path = sorted(log.iterdir())[1]
    path.write_bytes(path.read_bytes().replace(b"OPENED", b"CLOSED", 1))
    result = verify(log, "--heads", heads)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"edit at position 3 in {path.name}" in result.stderr


def test_a_cut_off_end_is_found_unless_the_head_is_left_out(folders):
    log, heads = folders
    max(log.iterdir()).unlink()
    assert "truncation at position 6" in verify(log, "--heads", heads).stderr
    assert verify(log, "--without-head").exit_code == 0


def test_a_missing_head_is_a_fault(folders):
    log, heads = folders
    (heads / "head.json").unlink()
    result = verify(log, "--heads", heads)
    assert result.exit_code == 1
    assert "holds no head" in result.stderr


@pytest.mark.parametrize("missing", [0, 1])
def test_a_folder_that_is_not_there_is_named_and_not_made(folders, tmp_path, missing):
    places = list(folders)
    places[missing] = tmp_path / "nowhere"
    result = verify(places[0], "--heads", places[1])
    assert result.exit_code == 1
    assert "nowhere" in result.stderr
    assert not (tmp_path / "nowhere").exists()
