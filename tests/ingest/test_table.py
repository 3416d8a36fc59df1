from ingest.config import AudioHookSettings, IngestSettings
from ingest.table import ACCEPTING


def test_every_source_is_made_from_the_settings_under_its_own_name():
    for name, make in ACCEPTING.items():
        assert make(IngestSettings()).source.name == name


def test_the_limits_of_the_settings_reach_the_server(tmp_path):
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.touch()
    key.touch()
    own = AudioHookSettings(host="::1", port=1, max_connections=7, tls_certfile=chain, tls_keyfile=key)
    listening = ACCEPTING["audiohook"](IngestSettings(audiohook=own))
    assert (listening.host, listening.port, listening.max_connections) == ("::1", 1, 7)
    assert listening.certificate == (chain, key)
