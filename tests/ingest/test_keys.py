import base64
import json

import pytest

from ingest.keys import LONGEST_FILE_BYTES, Key, KeyRing, parse_keys, read_keys
from ingest.protocol import Refreshed
from tests.ingest.sources.audiohook.test_auth import KEY, SECRET
from tests.ingest.sources.audiohook.words import ORGANIZATION

BYTES = base64.b64decode(SECRET)


def test_a_key_file_holds_secrets_as_base64():
    assert parse_keys(json.dumps({KEY: SECRET, "open": ""})) == {KEY: Key(BYTES), "open": Key(b"")}


def test_a_key_may_be_bound_to_an_organisation():
    bound = {"secret": SECRET, "organization": ORGANIZATION.upper()}
    assert parse_keys(json.dumps({KEY: bound})) == {KEY: Key(BYTES, ORGANIZATION)}
    assert parse_keys(json.dumps({KEY: {"secret": SECRET}})) == {KEY: Key(BYTES)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"a": 1}',
        '{"a b": ""}',
        '{"a": "*"}',
        '{"a": "é"}',
        '{"a===": ""}',
        '{"a": "", "a": "QQ=="}',
        '{"a": {"organization": "d7934305-0972-4844-938e-9060eef73d05"}}',
        '{"a": {"secret": "QQ==", "organization": "acme"}}',
        '{"a": {"secret": "QQ==", "organization": 5}}',
        '{"a": {"secret": "QQ==", "organisation": "d7934305-0972-4844-938e-9060eef73d05"}}',
        "[" * 100_000,
    ],
)
def test_a_key_file_that_cannot_be_meant_is_refused_without_quoting_it(text):
    with pytest.raises(ValueError, match=r"^(holds (a secret|no key,?|a key|an org\S+) |is no JSON )") as found:
        parse_keys(text)
    assert found.value.__cause__ is None


def test_a_secret_stands_in_no_repr():
    assert repr(BYTES)[2:-1] not in repr(Key(BYTES))


def test_a_folder_holds_any_number_of_files(tmp_path):
    (tmp_path / "old.json").write_text(json.dumps({KEY: SECRET}))
    (tmp_path / "new.json").write_text(json.dumps({"new": SECRET, KEY: SECRET}))
    (tmp_path / "new.json.tmp").write_text("half")
    assert read_keys(tmp_path) == {KEY: Key(BYTES), "new": Key(BYTES)}


@pytest.mark.parametrize(
    ("files", "mistake"),
    [
        ({}, "the folder holds no file *.json"),
        ({"a.json": '{"k": ""}', "b.json": '{"k": "QQ=="}'}, "b.json: holds a key that another file has"),
        ({"a.json": '{"k": ""}', "b.json": "{"}, "b.json: is no JSON object"),
        ({"a.json": " " * LONGEST_FILE_BYTES + '{"k": ""}'}, "is no JSON object"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_with_the_file_that_is_wrong(tmp_path, files, mistake):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=r".") as found:
        read_keys(tmp_path)
    assert str(found.value).startswith(mistake)


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path, content):
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read"):
        read_keys(path)


def test_without_a_path_there_are_no_keys_and_none_come():
    ring = KeyRing(None)
    assert ring.keys == {}
    assert ring.refresh() is None


def test_keys_are_rotated_by_writing_the_file(tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({KEY: SECRET}))
    ring = KeyRing(path)
    assert ring.refresh() is None
    path.write_text(json.dumps({KEY: SECRET, "new": SECRET}))
    assert ring.refresh() == Refreshed(2)
    assert set(ring.keys) == {KEY, "new"}
    path.write_text(json.dumps({"new": SECRET}))
    assert ring.refresh() == Refreshed(1)
    assert set(ring.keys) == {"new"}


@pytest.mark.parametrize("broken", [None, "", "{", "{}", '{"k": "not base64"}'])
def test_a_bad_new_file_keeps_the_old_keys_says_so_once_and_a_good_one_is_taken_again(tmp_path, broken):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({KEY: SECRET}))
    ring = KeyRing(path)
    if broken is None:
        path.unlink()
    else:
        path.write_text(broken)
    found = ring.refresh()
    assert found is not None
    assert found.mistake
    assert found.keys == 1
    assert ring.refresh() is None
    assert set(ring.keys) == {KEY}
    path.write_text(json.dumps({"new": SECRET}))
    assert ring.refresh() == Refreshed(1)
    assert set(ring.keys) == {"new"}


def test_a_file_more_in_the_folder_is_a_key_more(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({KEY: SECRET}))
    ring = KeyRing(tmp_path)
    (tmp_path / "b.json").write_text(json.dumps({"new": SECRET}))
    assert ring.refresh() == Refreshed(2)
    (tmp_path / "a.json").unlink()
    assert ring.refresh() == Refreshed(1)
    assert set(ring.keys) == {"new"}
