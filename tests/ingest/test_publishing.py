"""The watched file of wishes."""

import os

import pytest

from ingest.publishing import Watched
from runtime.log import get_logger
from schemas.records import Subscription

LOG = get_logger("test")
LINE = '{"conversation_id": "%s", "source_name": "media-streams"}\n'


def ids(wishes: list[Subscription] | None) -> list[str] | None:
    return None if wishes is None else [wish.conversation_id for wish in wishes]


def test_a_file_is_read_when_it_is_new_and_when_it_changes(tmp_path):
    path = tmp_path / "follow.jsonl"
    path.write_text(LINE % "a")
    watched = Watched(path, LOG)
    assert ids(watched.changed()) == ["a"]
    assert watched.changed() is None
    path.write_text(LINE % "a" + LINE % "b")
    assert ids(watched.changed()) == ["a", "b"]


def test_a_file_that_is_replaced_is_read_though_it_looks_the_same(tmp_path):
    path, other = tmp_path / "follow.jsonl", tmp_path / "new"
    path.write_text(LINE % "a")
    watched = Watched(path, LOG)
    watched.changed()
    other.write_text(LINE % "b")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.rename(path)
    assert ids(watched.changed()) == ["b"]


def test_an_empty_file_wants_nothing_and_a_file_that_is_away_says_nothing(tmp_path, capfd):
    path = tmp_path / "follow.jsonl"
    watched = Watched(path, LOG)
    assert watched.changed() is None
    assert watched.changed() is None
    assert capfd.readouterr().err.count("cannot be read") == 1
    path.write_text("")
    assert ids(watched.changed()) == []


@pytest.mark.parametrize("bad", ["{nonsense\n", "\udcff"], ids=["no JSON", "no UTF-8"])
def test_a_bad_file_is_named_once_and_changes_nothing_until_it_is_good_again(tmp_path, capfd, bad):
    path = tmp_path / "follow.jsonl"
    path.write_text(LINE % "a")
    watched = Watched(path, LOG)
    watched.changed()
    path.write_text(LINE % "a" + bad, errors="surrogateescape")
    assert watched.changed() is None
    assert watched.changed() is None
    output = capfd.readouterr().err
    assert output.count("its former wishes stay") == 1
    assert ("line 2: is no JSON" in output) or ("is no UTF-8" in output)
    path.write_text(LINE % "b")
    assert ids(watched.changed()) == ["b"]


def test_a_file_that_is_too_long_is_not_read(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("ingest.publishing.LONGEST_FILE_BYTES", 10)
    path = tmp_path / "follow.jsonl"
    path.write_text(LINE % "a")
    assert Watched(path, LOG).changed() is None
    assert "is longer than 10 bytes" in capfd.readouterr().err
