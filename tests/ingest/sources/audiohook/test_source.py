import json

import pytest
from pydantic import ValidationError

from ingest.protocol import Admitted, Refreshed, Refused
from ingest.sources.audiohook.config import AudioHookSettings
from ingest.sources.audiohook.source import AudioHookSource
from tests.ingest.sources.audiohook.test_auth import CREATED, KEY, SECRET, TARGET, headers, signed
from tests.ingest.sources.audiohook.words import CORRELATION, Client, offer


def source(tmp_path, **settings) -> AudioHookSource:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({KEY: SECRET}))
    return AudioHookSource(AudioHookSettings(keys_file=keys, **settings))


def test_an_admitted_request_gets_a_machine_for_its_ids_with_the_settings(tmp_path):
    decision = source(tmp_path, l16_byte_order="big").admit(TARGET, signed(), CREATED)
    assert isinstance(decision, Admitted)
    assert decision.correlation_id == CORRELATION
    decision.protocol.connected(0)
    effects = decision.protocol.receive_text(Client().open(media=[offer("external", form="L16")]), 0)
    assert effects[1].codec.value == "L16_BE"


def test_a_refused_request_gets_status_and_reason(tmp_path):
    assert source(tmp_path).admit(TARGET, headers(), CREATED) == Refused(401, "unsigned", CORRELATION)


def test_without_a_key_file_nobody_is_admitted():
    assert isinstance(AudioHookSource(AudioHookSettings()).admit(TARGET, signed(), CREATED), Refused)


def test_keys_are_rotated_without_a_restart(tmp_path):
    found = source(tmp_path)
    assert found.refresh() is None
    (tmp_path / "keys.json").write_text(json.dumps({"new": SECRET}))
    assert found.refresh() == Refreshed(1)
    assert isinstance(found.admit(TARGET, signed(extra={"X_API_KEY": "new"}, keyid="new"), CREATED), Admitted)
    assert found.admit(TARGET, signed(), CREATED) == Refused(401, "unknown_key", CORRELATION)
    (tmp_path / "keys.json").write_text("half")
    refreshed = found.refresh()
    assert refreshed is not None
    assert refreshed.mistake is not None
    assert isinstance(
        found.admit(TARGET, signed(extra={"X_API_KEY": "new"}, keyid="new", nonce="n" * 22), CREATED), Admitted
    )


@pytest.mark.parametrize(
    ("public", "ours", "below"),
    [
        ("/hooks/v2", "/audiohook", "/connector?a=b"),
        ("/", "/audiohook", "/c"),
        ("/hooks", "/", "c?d"),
        ("/h", "/i", "?d"),
    ],
)
def test_behind_a_proxy_the_configured_path_is_what_was_signed(tmp_path, public, ours, below):
    signed_target = public.rstrip("/") + ("/" if ours == "/" else "") + below
    proxied = source(tmp_path, public_path=public, path_prefix=ours)
    assert isinstance(proxied.admit(ours + below, signed(target=signed_target), CREATED), Admitted)
    assert isinstance(
        source(tmp_path, path_prefix=ours).admit(ours + below, signed(target=signed_target), CREATED), Refused
    )


def test_the_settings_refuse_a_key_file_that_cannot_be_used(tmp_path):
    (tmp_path / "keys.json").write_text("{}")
    with pytest.raises(ValidationError) as caught:
        AudioHookSettings(keys_file=tmp_path / "keys.json")
    assert caught.value.errors()[0]["ctx"]["found"][0][0] == "keys_file"
    (tmp_path / "keys.json").write_text(json.dumps({KEY: SECRET}))
    assert AudioHookSettings(keys_file=tmp_path).keys_file == tmp_path


@pytest.mark.parametrize(
    "wrong",
    [{"public_authority": "https://a"}, {"public_authority": "a/b"}, {"public_path": "a"}, {"public_path": "/a b"}],
)
def test_the_settings_refuse_a_public_address_that_cannot_be_meant(wrong):
    with pytest.raises(ValidationError):
        AudioHookSettings(**wrong)
