import base64
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from callstream import audiohook_keys
from callstream.audiohook_keys import API_KEY_BYTES, SECRET_BYTES, KnownKey, add, draw, drop, fingerprint, listed
from ingest.keys import Key, read_keys
from runtime.errors import ConfigError

ORGANIZATION = "d7934305-0972-4844-938e-9060eef73d05"


def test_a_new_key_is_long_random_and_such_as_the_platform_takes():
    keys = [draw() for _ in range(200)]
    assert len({key.api_key for key in keys} | {key.secret_base64 for key in keys}) == 400
    assert all(len(base64.b64decode(key.secret_base64)) == SECRET_BYTES for key in keys)
    assert all(len(base64.urlsafe_b64decode(key.api_key)) == API_KEY_BYTES for key in keys)
    assert SECRET_BYTES >= 32


def test_a_key_is_added_to_a_new_file_that_only_its_owner_can_read(tmp_path):
    key, path = draw(), tmp_path / "keys.json"
    assert add(path, key) == path
    assert read_keys(path) == {key.api_key: Key(base64.b64decode(key.secret_base64))}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_old_keys_stay_as_they_were_and_the_file_becomes_private(tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"old": "", "bound": {"secret": "QQ==", "organization": ORGANIZATION}}))
    path.chmod(0o644)
    key = draw()
    add(path, key, ORGANIZATION)
    found = json.loads(path.read_text())
    assert found == {
        "old": "",
        "bound": {"secret": "QQ==", "organization": ORGANIZATION},
        key.api_key: {"secret": key.secret_base64, "organization": ORGANIZATION},
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys.json"]


def test_in_a_folder_every_key_has_a_file_of_its_own(tmp_path):
    first, second = draw(), draw()
    files = {add(tmp_path, key) for key in (first, second)}
    assert len(files) == 2
    assert set(read_keys(tmp_path)) == {first.api_key, second.api_key}


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "keys.json"
    add(tmp_path / "real" / "keys.json", draw())
    link.symlink_to(tmp_path / "real" / "keys.json")
    add(link, draw())
    assert link.is_symlink()
    assert len(read_keys(link)) == 2


@pytest.mark.parametrize("content", ["{", "{}", '{"a": "*"}', b"\xff"])
def test_a_file_that_cannot_be_used_is_not_touched(tmp_path, content):
    path = tmp_path / "keys.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"keys\.json: "):
        add(path, draw())
    assert path.read_bytes() == before


def test_what_fails_on_the_way_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "keys.json"
    add(path, draw())
    before = path.read_bytes()

    def replace(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(ConfigError, match="No space left"):
        add(path, draw())
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys.json"]


def test_those_who_add_at_once_lose_no_key(tmp_path):
    path, keys = tmp_path / "keys.json", [draw() for _ in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: add(path, key), keys))
    assert set(read_keys(path)) == {key.api_key for key in keys}


@pytest.mark.parametrize("organisation", ["", "acme", ORGANIZATION + "0"])
def test_an_organisation_that_is_no_id_is_refused(tmp_path, organisation):
    with pytest.raises(ConfigError, match="no UUID"):
        add(tmp_path / "keys.json", draw(), organisation)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        add(tmp_path / "none" / "keys.json", draw())


def test_keys_are_listed_without_what_is_secret(tmp_path):
    path, key = tmp_path / "keys.json", draw()
    add(path, key, ORGANIZATION)
    (known,) = listed(path)
    assert known == KnownKey(fingerprint(key.api_key), ORGANIZATION, signed=True, file="keys.json")
    assert key.api_key not in repr(known)


def test_a_key_is_dropped_by_its_fingerprint_from_a_file_and_from_a_folder(tmp_path):
    folder, path = tmp_path / "folder", tmp_path / "keys.json"
    folder.mkdir()
    for place in (folder, path):
        old, new = draw(), draw()
        add(place, old)
        add(place, new)
        drop(place, fingerprint(old.api_key))
        assert set(read_keys(place)) == {new.api_key}
        with pytest.raises(ConfigError, match="no key with the fingerprint"):
            drop(place, fingerprint(old.api_key))
        with pytest.raises(ConfigError, match="the last key"):
            drop(place, fingerprint(new.api_key))
        assert set(read_keys(place)) == {new.api_key}
    assert len(list(folder.iterdir())) == 1


def test_a_file_is_changed_only_by_one_at_a_time(tmp_path, monkeypatch):
    locks = []
    monkeypatch.setattr(audiohook_keys.fcntl, "flock", lambda _, how: locks.append(how))
    add(tmp_path / "keys.json", draw())
    assert locks == [audiohook_keys.fcntl.LOCK_EX]
