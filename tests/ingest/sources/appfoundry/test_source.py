import json

import pytest

from ingest.config import IngestSettings
from ingest.dial import Dial, policy_of
from ingest.protocol import AudioReceived, Call, EventReceived, SessionOpened
from ingest.sources.appfoundry import source
from ingest.sources.appfoundry.config import AppFoundrySettings
from runtime.config import load
from runtime.supervision import Again, GivenUp, Supervisor
from schemas.symbols import Channel, Channels, Codec


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
    assert (opened.key, opened.info.conversation_id) == ("call-2", "call-2")
    assert opened.info.platform_session_id == "ws-2"


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


@pytest.mark.parametrize(("failed", "goes_on"), [(9, True), (10, False), (11, False)])
def test_ten_attempts_are_made_before_it_rests(failed, goes_on):
    (dial,) = dials(settings(APP_ID="a", SOCKETS='{"ws":"call"}'))
    supervisor = Supervisor(dial.policy)
    supervisor.start(0.0)
    decisions = []
    for _ in range(failed):
        supervisor.dialled()
        decisions.append(supervisor.failed(0.0, 0.5))
    assert [isinstance(decision, Again) for decision in decisions] == [number < 10 for number in range(1, failed + 1)]
    assert isinstance(decisions[-1], Again if goes_on else GivenUp)


def test_the_first_wait_is_at_most_two_seconds_and_it_doubles_up_to_half_a_minute():
    (dial,) = dials(settings(APP_ID="a", SOCKETS='{"ws":"call"}'))
    supervisor = Supervisor(dial.policy)
    supervisor.start(0.0)
    waits = []
    for _ in range(6):
        supervisor.dialled()
        decision = supervisor.failed(0.0, 1.0)
        assert isinstance(decision, Again)
        waits.append(decision.at_s)
    assert waits == [2, 4, 8, 16, 30, 30]


def test_audio_is_read_as_the_document_says_or_as_set():
    protocol = dials(settings(APP_ID="a", SOCKETS='{"ws":"call"}'))[0].new_protocol()
    (opened,) = protocol.connected(0.0)
    assert isinstance(opened, SessionOpened)
    assert (opened.codec, opened.sample_rate_hz, opened.channels) == (Codec.L16_LE, 8000, Channels.EXTERNAL)
    given = {"CODEC": "pcmu", "CHANNELS": "mixed", "SAMPLE_RATE_HZ": "16000", "PAYLOAD_FIELDS": "media"}
    protocol = dials(settings(APP_ID="a", SOCKETS='{"ws":"call"}', **given))[0].new_protocol()
    protocol.connected(0.0)
    (audio,) = protocol.receive_text('{"type":"audio","media":"AQID"}', 1.0)
    assert isinstance(audio, AudioReceived)
    assert (audio.codec, audio.channels, audio.sample_rate_hz) == (Codec.PCMU, Channels.MIXED, 16_000)
    assert (audio.payload, audio.duration_samples) == (b"\x01\x02\x03", 3)


def test_the_token_stands_in_the_handshake_or_nowhere():
    for auth, bearer in (("header", True), ("none", False)):
        (dial,) = dials(settings(APP_ID="a", SOCKETS='{"ws":"call"}', AUTH=auth))
        assert (dial.bearer, dial.wants_token) == (bearer, bearer)


def test_a_call_is_refused_where_its_websocket_or_the_application_is_not_known():
    found = settings(APP_ID="app")
    refuse = source.dialled(found.appfoundry, found.place).refuse
    assert refuse(Call("call-1", connection_id="ws-1")) is None
    assert "WebSocket" in (refuse(Call("call-1")) or "")
    assert "WebSocket" in (refuse(Call("call-1", connection_id="a/b")) or "")
    found = settings()
    refuse = source.dialled(found.appfoundry, found.place).refuse
    assert "application" in (refuse(Call("call-1", connection_id="ws-1")) or "")


def test_a_refused_handshake_names_the_scope_and_the_websocket():
    (dial,) = dials(settings(APP_ID="a", SOCKETS='{"ws-7":"call"}'))
    assert dial.claim is not None
    assert "appfoundry:agent:connect" in dial.claim.refused("forbidden", has_token=True)
    assert "ws-7" in dial.claim.refused("not found", has_token=True)
