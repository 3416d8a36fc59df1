import pytest

from ingest.config import IngestSettings
from ingest.dial import DialledSource, policy_of
from ingest.protocol import Call, SendText, SessionOpened
from ingest.sources.media_websocket import source
from runtime.config import load


def settings(**environ: str) -> IngestSettings:
    secrets = {"INGEST_OAUTH_CLIENT_ID": "id", "INGEST_OAUTH_CLIENT_SECRET": "secret"}
    own = {f"INGEST_MEDIA_WEBSOCKET_{name}": value for name, value in environ.items()}
    return load(IngestSettings, "INGEST_", {**secrets, **own}, None)


def dialled(**environ: str) -> DialledSource:
    found = settings(**environ)
    return source.dialled(found.media_websocket, found.place)


def test_the_calls_of_the_settings_are_those_of_the_media_connections():
    assert dialled().listed == []
    found = dialled(CONNECTIONS="media-1=call-1,media-2=call-2")
    assert found.listed == [Call("call-1", connection_id="media-1"), Call("call-2", connection_id="media-2")]
    assert (found.name, found.calls_per_connection) == ("media-websocket", 1)


def test_a_connection_is_dialled_as_the_document_says_with_the_token_in_a_message():
    dial = dialled(REST_S="7").dial("a name", [Call("call-1", connection_id="media-1")])
    assert dial.url == "wss://api.mypurecloud.com/api/v2/media/websocket"
    assert (dial.source_name, dial.connection, dial.rest_s) == ("media-websocket", "a name", 7)
    assert (dial.bearer, dial.wants_token) == (False, True)
    assert dial.policy == policy_of(settings(REST_S="7").media_websocket)
    assert (dial.policy.ping_interval_s, dial.policy.inactivity_s) == (30, 60)
    protocol = dial.new_protocol()
    protocol.use_token("secret")
    opened, said = protocol.connected(0.0)
    assert isinstance(opened, SessionOpened)
    assert opened.info.conversation_id == "call-1"
    assert isinstance(said, SendText)
    assert protocol.deadline_s() == 5


@pytest.mark.parametrize(("auth", "bearer", "wants_token"), [("header", True, True), ("none", False, False)])
def test_the_token_may_stand_elsewhere_or_nowhere(auth, bearer, wants_token):
    dial = dialled(AUTH=auth).dial("a name", [Call("call-1", connection_id="media-1")])
    assert (dial.bearer, dial.wants_token) == (bearer, wants_token)
    said = dial.new_protocol().connected(0.0)[1]
    assert isinstance(said, SendText)
    assert '"subscribe"' in said.text


def test_ids_may_stand_in_the_url():
    found = dialled(URL="wss://api.{domain}/{region}/{conversation_id}/{connection_id}")
    dial = found.dial("a name", [Call("a/b", connection_id="c d")])
    assert dial.url == "wss://api.mypurecloud.com/us-east-1/a%2Fb/c%20d"


def test_a_call_without_its_media_connection_is_refused():
    found = dialled()
    assert found.refuse(Call("call-1", connection_id="media-1")) is None
    assert "media connection" in (found.refuse(Call("call-1")) or "")


def test_a_refused_handshake_names_the_scope_and_the_connection():
    claim = dialled().dial("a name", [Call("call-1", connection_id="media-1")]).claim
    assert claim is not None
    assert "media:websocket:write" in claim.refused("forbidden", has_token=True)
    assert "media-1" in claim.refused("not found", has_token=True)
