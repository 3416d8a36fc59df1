import json

from ingest.protocol import Admitted, Refused
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
