import pytest

from ingest.config import IngestSettings
from ingest.dial import DialledSource, policy_of
from ingest.protocol import AudioReceived, Call, SendBinary
from ingest.sources.conversation_audio import source
from runtime.config import load
from tests.ingest.single_calls import FRAME, FRAME_TEXT

CALL = Call("call-1")


def settings(**environ: str) -> IngestSettings:
    own = {f"INGEST_CONVERSATION_AUDIO_{name}": value for name, value in environ.items()}
    return load(IngestSettings, "INGEST_", own, None)


def dialled(**environ: str) -> DialledSource:
    found = settings(**environ)
    return source.dialled(found.conversation_audio, found.place)


def test_the_calls_of_the_settings_are_its_conversations():
    assert dialled().listed == []
    found = dialled(ORG="acme", CONVERSATIONS="call-1,call-2")
    assert found.listed == [Call("call-1"), Call("call-2")]
    assert (found.name, found.calls_per_connection) == ("conversation-audio", 1)


def test_a_conversation_is_dialled_as_the_document_says_without_a_token():
    dial = dialled(ORG="acme", REST_S="7").dial("a name", [Call("a/b")])
    assert dial.url == "wss://media-acme.mypurecloud.com/media/v1/conversations/a%2Fb/audio"
    assert (dial.source_name, dial.connection, dial.rest_s) == ("conversation-audio", "a name", 7)
    assert (dial.bearer, dial.wants_token) == (False, False)
    assert dial.policy == policy_of(settings(REST_S="7").conversation_audio)


def test_a_silent_conversation_is_kept_open_by_pings_below_half_of_the_idle_limit():
    policy = dialled(ORG="acme").dial("a name", [CALL]).policy
    assert policy.inactivity_s is None
    assert policy.ping_interval_s is not None
    assert policy.ping_interval_s < 60 / 2


def test_a_token_may_stand_in_the_handshake():
    dial = dialled(ORG="acme", AUTH="header").dial("a name", [CALL])
    assert (dial.bearer, dial.wants_token) == (True, True)


@pytest.mark.parametrize(
    ("org", "parameters", "host"),
    [
        ("acme", {}, "media-acme."),
        ("acme", {"org": "other-1"}, "media-other-1."),
        (None, {"org": "other"}, "media-other."),
        (None, {}, None),
        ("acme", {"org": ""}, None),
        ("acme", {"org": "evil.example/"}, None),
        ("acme", {"org": "a\n"}, None),
    ],
)
def test_the_organisation_is_that_of_the_call_or_of_the_settings(org, parameters, host):
    found = dialled() if org is None else dialled(ORG=org)
    call = Call("call-1", parameters=parameters)
    if host is None:
        assert "organisation" in (found.refuse(call) or "")
    else:
        assert found.refuse(call) is None
        assert f"wss://{host}mypurecloud.com/" in found.dial("a name", [call]).url


def test_no_organisation_is_needed_where_the_url_holds_none():
    assert dialled(URL="wss://media.example/{conversation_id}").refuse(CALL) is None


def test_the_settings_say_how_messages_are_told_apart():
    control = dialled(ORG="acme").dial("a name", [CALL]).new_protocol()
    control.connected(0.0)
    assert isinstance(control.receive_binary(FRAME, 1.0)[0], AudioReceived)
    binary = dialled(ORG="acme", HEARTBEAT="binary").dial("a name", [CALL]).new_protocol()
    binary.connected(0.0)
    assert binary.receive_binary(FRAME, 1.0) == [SendBinary(FRAME)]
    assert isinstance(binary.receive_text(FRAME_TEXT, 1.0)[0], AudioReceived)
    objects = dialled(ORG="acme", TEXT_AUDIO="json", PAYLOAD_FIELDS="media").dial("a name", [CALL]).new_protocol()
    objects.connected(0.0)
    assert isinstance(objects.receive_text(f'{{"media":"{FRAME_TEXT}"}}', 1.0)[0], AudioReceived)


def test_a_refused_handshake_names_the_conversation():
    claim = dialled(ORG="acme").dial("a name", [CALL]).claim
    assert claim is not None
    assert "call-1" in claim.refused("not found", has_token=False)
