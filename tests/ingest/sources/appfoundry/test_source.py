import json

from ingest.config import IngestSettings
from ingest.dialling import Dial, policy_of
from ingest.protocol import EventReceived, SessionOpened
from ingest.sources.appfoundry import source
from ingest.sources.appfoundry.config import AppFoundrySettings
from runtime.config import load
from schemas.symbols import Channel


def settings(**environ: str) -> IngestSettings:
    secrets = {"INGEST_OAUTH_CLIENT_ID": "id", "INGEST_OAUTH_CLIENT_SECRET": "secret"}
    own = {f"INGEST_APPFOUNDRY_{name}": value for name, value in environ.items()}
    return load(IngestSettings, "INGEST_", {**secrets, **own}, None)


def dials(settings: IngestSettings) -> list[Dial]:
    found = source.dialled(settings.appfoundry, settings.place)
    return [found.dial(call.connection_id or "", [call]) for call in found.listed]


def test_without_sockets_the_source_is_off():
    assert dials(settings()) == []


def test_each_websocket_is_dialled_for_its_conversation():
    found = dials(settings(APP_ID="app 1", SOCKETS=json.dumps({"ws-1": "call-1", "ws-2": "call-2"}), REST_S="7"))
    assert [dial.connection for dial in found] == ["ws-1", "ws-2"]
    assert found[1].url == "wss://api.mypurecloud.com/v2/appfoundry/apps/app%201/websockets/ws-2"
    assert {dial.source_name for dial in found} == {"appfoundry"}
    assert {dial.rest_s for dial in found} == {7}
    (opened,) = found[1].new_protocol().connected(0.0)
    assert isinstance(opened, SessionOpened)
    assert (opened.key, opened.info.conversation_id) == ("ws-2", "call-2")


def test_a_connection_is_kept_as_the_document_says():
    (dial,) = dials(settings(APP_ID="a", SOCKETS='{"ws":"call"}'))
    assert dial.policy == policy_of(AppFoundrySettings())
    policy = dial.policy
    assert (policy.attempts, policy.first_delay_s, policy.inactivity_s) == (10, 2, 30)
    assert (policy.ping_interval_s, policy.pong_timeout_s, policy.close_timeout_s) == (20, 10, 5)


def test_the_settings_say_whose_words_they_are_and_in_which_language():
    (dial,) = dials(settings(APP_ID="a", SOCKETS='{"ws":"call"}', CHANNEL="internal", LANGUAGE="fr"))
    protocol = dial.new_protocol()
    protocol.connected(0.0)
    (found,) = protocol.receive_text('{"type":"transcript","text":"oui"}', 1.0)
    assert isinstance(found, EventReceived)
    assert (found.event.channel, found.event.language) == (Channel.INTERNAL, "fr")
