from ingest.config import IngestSettings, OAuthSettings
from ingest.sources.appfoundry.config import AppFoundrySettings
from ingest.sources.audiohook.config import AudioHookSettings
from ingest.sources.conversation_audio.config import ConversationAudioSettings
from ingest.sources.media_streams.config import MediaStreamsSettings
from ingest.sources.media_websocket.config import MediaWebSocketSettings
from ingest.table import ACCEPTING, DIALLED


def test_every_source_is_made_from_the_settings_under_its_own_name():
    for name, make in ACCEPTING.items():
        assert make(IngestSettings()).source.name == name


def test_the_limits_of_the_settings_reach_the_server(tmp_path):
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.touch()
    key.touch()
    own = AudioHookSettings(host="::1", port=1, max_connections=7, tls_certfile=chain, tls_keyfile=key)
    listening = ACCEPTING["audiohook"](IngestSettings(audiohook=own))
    assert (listening.host, listening.port, listening.limits.max_connections) == ("::1", 1, 7)
    assert listening.certificate == (chain, key)


def test_nothing_is_dialled_by_default():
    assert [call for make in DIALLED.values() for call in make(IngestSettings()).listed] == []


def test_every_dialled_source_says_how_the_calls_of_its_settings_are_dialled():
    settings = IngestSettings(
        oauth=OAuthSettings(client_id="id", client_secret="secret"),
        media_streams=MediaStreamsSettings(interactions=("a", "b", "c"), interactions_per_socket=2, rest_s=7),
        appfoundry=AppFoundrySettings(app_id="app", sockets={"x": "a", "y": "b"}, rest_s=7),
        media_websocket=MediaWebSocketSettings(connections={"x": "a", "y": "b"}, rest_s=7),
        conversation_audio=ConversationAudioSettings(org="acme", conversations=("a", "b"), rest_s=7),
    )
    for name, make in DIALLED.items():
        source = make(settings)
        assert source.name == name
        assert source.listed
        for call in source.listed:
            assert source.refuse(call) is None
            dial = source.dial("line", [call])
            assert (dial.source_name, dial.connection, dial.rest_s) == (name, "line", 7)
            assert "{" not in dial.url
