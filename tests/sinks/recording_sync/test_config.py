import pytest

from runtime.config import load, prefix_of
from runtime.errors import ConfigError
from sinks.recording_sync.config import RecordingSyncSettings, check_settings, rules


def settings(**environ):
    return load(RecordingSyncSettings, prefix_of("recording_sync"), environ, None)


def test_without_any_setting_recordings_go_below_data():
    found = settings()
    assert (found.store_url, str(found.work_folder)) == ("data/recordings", "data/recording_sync")


def test_every_mistake_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        settings(RECORDING_SYNC_STALL_MS="1", RECORDING_SYNC_LONGEST_S="x", RECORDING_SYNC_STORE="y")
    names = sorted(mistake.split(":")[0] for mistake in caught.value.mistakes)
    assert names == ["RECORDING_SYNC_LONGEST_S", "RECORDING_SYNC_STALL_MS", "RECORDING_SYNC_STORE"]


def test_the_digest_covers_what_shapes_recordings_and_nothing_else():
    plain = rules(settings())
    assert rules(settings(RECORDING_SYNC_STORE_URL="elsewhere")).settings_hash == plain.settings_hash
    assert rules(settings(RECORDING_SYNC_STALL_MS="300")).settings_hash != plain.settings_hash


def test_a_store_nobody_understands_is_a_bad_configuration():
    with pytest.raises(ConfigError, match="RECORDING_SYNC_STORE_URL"):
        check_settings(settings(RECORDING_SYNC_STORE_URL="nonsense://x"))
