import pytest
from obstore.exceptions import GenericError, PermissionDeniedError
from obstore.store import MemoryStore

from runtime.errors import ConfigError, Unavailable
from sinks.recording_sync.objects import Objects, check


@pytest.mark.parametrize("url", ["{}/new/place", "file://{}/new/place"])
async def test_a_local_folder_is_made_and_holds_the_object_for_its_owner_only(url, tmp_path):
    objects = Objects.open(url.format(tmp_path))
    await objects.put("2024/01/02/a.json", b"first")
    await objects.put("2024/01/02/a.json", b"second")
    stored = tmp_path / "new" / "place" / "2024" / "01" / "02" / "a.json"
    assert stored.read_bytes() == b"second"
    assert stored.stat().st_mode & 0o777 == 0o600


async def test_a_file_larger_than_one_part_is_stored_whole(tmp_path):
    source = tmp_path / "source.wav"
    source.write_bytes(bytes(range(251)) * 60_000)
    await Objects.open(str(tmp_path / "store")).put("a.wav", source)
    assert (tmp_path / "store" / "a.wav").read_bytes() == source.read_bytes()


async def test_other_stores_take_bytes_and_files(tmp_path):
    store = MemoryStore()
    source = tmp_path / "source.wav"
    source.write_bytes(b"samples")
    objects = Objects(store)
    await objects.put("a.json", b"text")
    await objects.put("a.wav", source)
    assert bytes(store.get("a.json").bytes()) == b"text"
    assert bytes(store.get("a.wav").bytes()) == b"samples"


@pytest.mark.parametrize(("error", "ours"), [(GenericError, Unavailable), (PermissionDeniedError, ConfigError)])
async def test_a_stores_errors_become_ours_by_who_must_act(error, ours, tmp_path, monkeypatch):
    def refuse(*_):
        raise error(*["secret details"])

    monkeypatch.setattr("sinks.recording_sync.objects.obstore.put", refuse)
    with pytest.raises(ours) as caught:
        await Objects.open(str(tmp_path)).put("a", b"")
    assert "secret" not in str(caught.value)


def test_a_folder_that_cannot_be_made_names_the_setting(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ConfigError, match="RECORDING_SYNC_STORE_URL"):
        Objects.open(str(tmp_path / "taken" / "below"))


def test_a_url_no_store_understands_is_found_without_a_connection():
    check("data/recordings")
    check("s3://bucket/path")
    with pytest.raises(ConfigError, match="RECORDING_SYNC_STORE_URL: names no store"):
        check("nonsense://bucket")
