import json

import pytest

from ingest.config import IngestSettings
from ingest.connecting import url_mistake
from runtime.config import load
from runtime.errors import ConfigError
from tests.ingest.sources.audiohook.test_auth import KEY, SECRET


def settings(**environ: str) -> IngestSettings:
    return load(IngestSettings, "INGEST_", environ, None)


def mistakes(**environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        settings(**environ)
    return list(caught.value.mistakes)


def test_everything_has_a_default_and_nobody_may_connect_by_it():
    assert settings().audiohook.keys_file is None
    assert settings().audiohook.host == "127.0.0.1"


def test_names_of_variables_follow_the_sections(tmp_path):
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({KEY: SECRET}))
    found = settings(
        INGEST_AUDIOHOOK_PORT="0", INGEST_AUDIOHOOK_KEYS_FILE=str(keys), INGEST_AUDIOHOOK_SUPPORTED_LANGUAGES="de,en"
    )
    assert (found.audiohook.port, found.audiohook.keys_file) == (0, keys)
    assert found.audiohook.supported_languages == ("de", "en")


@pytest.mark.parametrize("text", ["{", "{}", '{"a": "*"}', None])
def test_a_key_file_that_cannot_be_used_is_named_and_not_quoted(tmp_path, text):
    keys = tmp_path / "keys.json"
    if text is not None:
        keys.write_text(text)
    (mistake,) = mistakes(INGEST_AUDIOHOOK_KEYS_FILE=str(keys))
    assert mistake.startswith("INGEST_AUDIOHOOK_KEYS_FILE: ")
    assert "*" not in mistake


def test_all_mistakes_come_at_once():
    wrong = ("INGEST_AUDIOHOOK_PORT", "INGEST_LINGER_MS", "INGEST_AUDIOHOOK_PATH_PREFIX")
    assert {mistake.partition(":")[0] for mistake in mistakes(**dict.fromkeys(wrong, "-1"))} == set(wrong)


def test_a_certificate_needs_its_key_and_both_must_exist():
    found = mistakes(INGEST_AUDIOHOOK_TLS_CERTFILE="/nowhere")
    assert {mistake.partition(":")[0] for mistake in found} == {
        "INGEST_AUDIOHOOK_TLS_CERTFILE",
        "INGEST_AUDIOHOOK_TLS_KEYFILE",
    }


def test_a_drain_that_cannot_end_within_its_budget_is_a_mistake():
    (mistake,) = mistakes(INGEST_DRAIN_SESSIONS_S="30")
    assert mistake.startswith("INGEST_DRAIN_SESSIONS_S: ")


def test_the_budget_of_a_drain_holds_also_where_no_connection_closes():
    longest = {"INGEST_AUDIOHOOK_CLOSE_DEADLINE_S": "16", "INGEST_DRAIN_BUDGET_S": "25"}
    assert settings(**longest, INGEST_DRAIN_SESSIONS_S="5")
    assert mistakes(**longest, INGEST_DRAIN_SESSIONS_S="5.1")


@pytest.mark.parametrize("given", ["eu-west-1", "mypurecloud.ie", "MYPURECLOUD.IE"])
def test_a_region_is_given_by_its_name_or_by_its_domain(given):
    found = settings(INGEST_GENESYS_REGION=given)
    assert found.genesys_region == "eu-west-1"
    assert found.place == ("mypurecloud.ie", "eu-west-1")


def test_a_region_that_does_not_exist_is_refused_with_those_that_do():
    (mistake,) = mistakes(INGEST_GENESYS_REGION="us-east-1.example")
    assert "us-east-1 (mypurecloud.com)" in mistake
    assert "ap-northeast-3 (apne3.pure.cloud)" in mistake
    assert "example" not in mistake


BROKER_LIMIT_BYTES = 1_048_588
"""Kafka's `message.max.bytes`, unless the operator sets another."""
CALL = "0b2c3d4e-abcd-4222-8333-94445556667f"
OAUTH = {"INGEST_OAUTH_CLIENT_ID": "id", "INGEST_OAUTH_CLIENT_SECRET": "secret"}


def named(**environ: str) -> set[str]:
    return {mistake.partition(":")[0] for mistake in mistakes(**environ)}


def test_nothing_is_dialled_by_default_and_nothing_published_while_nobody_says_whether_a_call_is_paused():
    found = settings()
    assert (found.media_streams.interactions, found.appfoundry.sockets) == ((), {})
    assert (found.media_websocket.connections, found.conversation_audio.conversations) == ({}, ())
    assert found.publish_when_pause_unknown is False


def test_interactions_and_sockets_are_lists_and_pairs():
    found = settings(
        **OAUTH,
        INGEST_MEDIA_STREAMS_INTERACTIONS="call-1, call-2",
        INGEST_APPFOUNDRY_APP_ID="app",
        INGEST_APPFOUNDRY_SOCKETS="socket-1=call-1,socket-2=call-2",
    )
    assert found.media_streams.interactions == ("call-1", "call-2")
    assert found.appfoundry.sockets == {"socket-1": "call-1", "socket-2": "call-2"}


def test_a_call_is_followed_under_the_id_the_platform_writes_whatever_the_operator_wrote():
    found = settings(
        **OAUTH,
        INGEST_MEDIA_STREAMS_INTERACTIONS=f"{CALL.upper()},Call-1",
        INGEST_APPFOUNDRY_APP_ID="app",
        INGEST_APPFOUNDRY_SOCKETS=f"Socket={CALL.upper()}",
    )
    assert found.media_streams.interactions == (CALL, "Call-1")
    assert found.appfoundry.sockets == {"Socket": CALL}


def test_each_source_we_call_has_times_of_its_own():
    found = settings()
    assert [
        (own.attempts, own.first_delay_s, own.ping_interval_s, own.pong_timeout_s, own.close_timeout_s)
        for own in (found.media_streams, found.appfoundry, found.media_websocket, found.conversation_audio)
    ] == [(5, 1, 30, 10, 5), (10, 2, 20, 10, 5), (5, 1, 30, 10, 5), (5, 1, 20, 10, 5)]
    assert (found.media_streams.inactivity_s, found.appfoundry.inactivity_s) == (0, 30)
    assert (found.media_websocket.inactivity_s, found.conversation_audio.inactivity_s) == (60, 0)
    assert (found.media_websocket.auth_timeout_s, found.media_websocket.subscribe_timeout_s) == (5, 10)


def test_a_token_is_needed_only_where_it_is_sent():
    assert settings(INGEST_CONVERSATION_AUDIO_ORG="acme", INGEST_CONVERSATION_AUDIO_CONVERSATIONS="call-1")
    assert settings(INGEST_MEDIA_WEBSOCKET_CONNECTIONS="a=call-1", INGEST_MEDIA_WEBSOCKET_AUTH="none")
    assert settings(INGEST_APPFOUNDRY_APP_ID="app", INGEST_APPFOUNDRY_SOCKETS="a=call-1", INGEST_APPFOUNDRY_AUTH="none")


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"INGEST_OAUTH_CLIENT_ID": "id"}, {"INGEST_OAUTH_CLIENT_SECRET"}),
        ({"INGEST_OAUTH_CLIENT_SECRET": "secret"}, {"INGEST_OAUTH_CLIENT_ID"}),
        ({"INGEST_MEDIA_STREAMS_INTERACTIONS": "call-1"}, {"INGEST_OAUTH_CLIENT_ID"}),
        ({**OAUTH, "INGEST_APPFOUNDRY_SOCKETS": "a=call-1"}, {"INGEST_APPFOUNDRY_APP_ID"}),
        ({"INGEST_OAUTH_TOKEN_URL": "http://login.example"}, {"INGEST_OAUTH_TOKEN_URL"}),
        ({"INGEST_MEDIA_STREAMS_URL": "ws://media.example"}, {"INGEST_MEDIA_STREAMS_URL"}),
        ({"INGEST_MEDIA_STREAMS_URL": "wss://{org}.example"}, {"INGEST_MEDIA_STREAMS_URL"}),
        ({"INGEST_MEDIA_STREAMS_INTERACTIONS_PER_SOCKET": "51"}, {"INGEST_MEDIA_STREAMS_INTERACTIONS_PER_SOCKET"}),
        ({**OAUTH, "INGEST_MEDIA_STREAMS_INTERACTIONS": "a,a"}, {"INGEST_MEDIA_STREAMS_INTERACTIONS"}),
        ({"INGEST_MEDIA_WEBSOCKET_CONNECTIONS": "a=call-1"}, {"INGEST_OAUTH_CLIENT_ID"}),
        (
            {"INGEST_MEDIA_WEBSOCKET_CONNECTIONS": "a=call-1", "INGEST_MEDIA_WEBSOCKET_AUTH": "header"},
            {"INGEST_OAUTH_CLIENT_ID"},
        ),
        ({**OAUTH, "INGEST_MEDIA_WEBSOCKET_CONNECTIONS": "a=b,c=b"}, {"INGEST_MEDIA_WEBSOCKET_CONNECTIONS"}),
        ({"INGEST_MEDIA_WEBSOCKET_AUTH_TIMEOUT_S": "0"}, {"INGEST_MEDIA_WEBSOCKET_AUTH_TIMEOUT_S"}),
        ({"INGEST_MEDIA_WEBSOCKET_SUBSCRIBE_TIMEOUT_S": "121"}, {"INGEST_MEDIA_WEBSOCKET_SUBSCRIBE_TIMEOUT_S"}),
        ({"INGEST_MEDIA_WEBSOCKET_URL": "wss://{org}.example"}, {"INGEST_MEDIA_WEBSOCKET_URL"}),
        (
            {"INGEST_MEDIA_WEBSOCKET_URL": "wss://api.mypurecloud.com/api/v2/analytics/events"},
            {"INGEST_MEDIA_WEBSOCKET_URL"},
        ),
        ({"INGEST_MEDIA_WEBSOCKET_CLOSE_TIMEOUT_S": "25"}, {"INGEST_DRAIN_SESSIONS_S"}),
        ({"INGEST_CONVERSATION_AUDIO_CLOSE_TIMEOUT_S": "25"}, {"INGEST_DRAIN_SESSIONS_S"}),
        ({"INGEST_CONVERSATION_AUDIO_CONVERSATIONS": "a"}, {"INGEST_CONVERSATION_AUDIO_ORG"}),
        ({"INGEST_CONVERSATION_AUDIO_ORG": "a.b"}, {"INGEST_CONVERSATION_AUDIO_ORG"}),
        ({"INGEST_CONVERSATION_AUDIO_ORG": "a\n"}, {"INGEST_CONVERSATION_AUDIO_ORG"}),
        ({"INGEST_CONVERSATION_AUDIO_HEARTBEAT": "text"}, {"INGEST_CONVERSATION_AUDIO_HEARTBEAT"}),
        ({"INGEST_CONVERSATION_AUDIO_URL": "wss://{app_id}.example"}, {"INGEST_CONVERSATION_AUDIO_URL"}),
        (
            {
                "INGEST_CONVERSATION_AUDIO_URL": "wss://host",
                "INGEST_CONVERSATION_AUDIO_CONVERSATIONS": "a,b",
            },
            {"INGEST_CONVERSATION_AUDIO_URL"},
        ),
        (
            {"INGEST_CONVERSATION_AUDIO_ORG": "o", "INGEST_CONVERSATION_AUDIO_CONVERSATIONS": f"{CALL},{CALL.upper()}"},
            {"INGEST_CONVERSATION_AUDIO_CONVERSATIONS"},
        ),
        (
            {**OAUTH, "INGEST_APPFOUNDRY_APP_ID": "b", "INGEST_APPFOUNDRY_SOCKETS": "a=c,b=c"},
            {"INGEST_APPFOUNDRY_SOCKETS"},
        ),
        ({"INGEST_APPFOUNDRY_LONGEST_DELAY_S": "1"}, {"INGEST_APPFOUNDRY_LONGEST_DELAY_S"}),
        (
            {**OAUTH, "INGEST_APPFOUNDRY_APP_ID": "b", "INGEST_APPFOUNDRY_SOCKETS": "a=b,a=c"},
            {"INGEST_APPFOUNDRY_SOCKETS"},
        ),
        ({"INGEST_APPFOUNDRY_SOCKETS": "a/b=c"}, {"INGEST_APPFOUNDRY_SOCKETS", "INGEST_APPFOUNDRY_APP_ID"}),
        ({"INGEST_GENESYS_REGION": "https://api.example"}, {"INGEST_GENESYS_REGION"}),
        ({"INGEST_GENESYS_REGION": "us-east-1.mypurecloud.com"}, {"INGEST_GENESYS_REGION"}),
        ({"INGEST_MEDIA_STREAMS_CLOSE_TIMEOUT_S": "25"}, {"INGEST_DRAIN_SESSIONS_S"}),
        (
            {**OAUTH, "INGEST_MEDIA_STREAMS_INTERACTIONS": f"{CALL},{CALL.upper()}"},
            {"INGEST_MEDIA_STREAMS_INTERACTIONS"},
        ),
        ({"INGEST_MEDIA_STREAMS_URL": "wss://host/{region:{domain}}"}, {"INGEST_MEDIA_STREAMS_URL"}),
    ],
)
def test_what_cannot_be_dialled_is_named(given, wrong):
    assert named(**given) == wrong


@pytest.mark.parametrize(
    ("name", "largest", "payload_ratio"),
    [
        ("AUDIOHOOK", 900 * 1024, 1),
        ("MEDIA_STREAMS", 2**20, 3 / 4),
        ("APPFOUNDRY", 2**20, 3 / 4),
        ("MEDIA_WEBSOCKET", 900 * 1024, 1),
        ("CONVERSATION_AUDIO", 900 * 1024, 1),
    ],
)
def test_the_longest_message_fits_into_what_a_broker_takes(name, largest, payload_ratio):
    variable = f"INGEST_{name}_MAX_MESSAGE_BYTES"
    assert settings(**{variable: str(largest)})
    assert named(**{variable: str(largest + 1)}) == {variable}
    assert largest * payload_ratio + 1024 < BROKER_LIMIT_BYTES


def test_two_sockets_need_two_urls():
    given = {**OAUTH, "INGEST_APPFOUNDRY_URL": "wss://host/socket"}
    assert settings(**given, INGEST_APPFOUNDRY_SOCKETS="a=b").appfoundry.sockets == {"a": "b"}
    assert named(**given, INGEST_APPFOUNDRY_SOCKETS="a=b,c=d") == {"INGEST_APPFOUNDRY_URL"}


def test_a_secret_is_not_quoted():
    assert "hush" not in str(mistakes(INGEST_OAUTH_CLIENT_SECRET="hush", INGEST_LINGER_MS="-1"))
    assert "hush" not in repr(settings(INGEST_OAUTH_CLIENT_ID="id", INGEST_OAUTH_CLIENT_SECRET="hush"))


@pytest.mark.parametrize(
    "url",
    ["wss://media.{region}.example/a?b=c", "ws://127.0.0.1:1", "ws://[::1]:1", "ws://localhost", "WSS://host"],
)
def test_urls_that_may_be_dialled(url):
    assert url_mistake(url, "wss", {"region"}) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "wss://",
        "wss:host",
        "ws://127.0.0.1.example",
        "ws://{region}",
        "https://host",
        "wss://{}",
        "wss://{region.x}",
        "wss://{region",
        "wss://user@host",
        "wss://host/#part",
        "wss://host/a b",
        "wss://[",
        "wss://host:port",
    ],
)
def test_urls_that_may_not_be_dialled(url):
    assert url_mistake(url, "wss", {"region"})


@pytest.mark.parametrize(
    "url",
    [
        "wss://api.{domain}/api/v2/analytics/events",
        "wss://api.{domain}/api/v2/Analytics/Events?topic=media.audio",
        "wss://{region}.mypurecloud.com/api/v2/webchat/conversations",
        "wss://api.{domain}/api/v2/notifications/channels/1",
        "wss://api.{domain}/api/v2/notifications",
        "wss://api.{domain}/api/v2/analytics%2Fevents",
        "wss://streaming.{domain}/channels/1",
        "ws://127.0.0.1/api/v2/analytics/events",
    ],
)
def test_an_endpoint_of_events_is_no_source_of_audio(url):
    assert "no audio" in (url_mistake(url, "wss", {"domain", "region"}) or "")


@pytest.mark.parametrize("name", ["MEDIA_STREAMS", "APPFOUNDRY"])
def test_an_endpoint_of_events_is_refused_at_start_with_the_reason(name):
    variable = f"INGEST_{name}_URL"
    (mistake,) = mistakes(**{variable: "wss://api.mypurecloud.com/api/v2/analytics/events"})
    assert mistake.startswith(f"{variable}: ")
    assert "events" in mistake


def test_events_in_the_name_of_a_conversation_or_a_host_are_no_endpoint_of_events():
    assert url_mistake("wss://media-events.example/media/v1/conversations/notifications-1/audio", "wss", ()) is None
    assert url_mistake("https://api.example/api/v2/analytics/events", "https", ()) is None


@pytest.mark.parametrize("rate", ["0.1", "20", "10000"])
def test_how_often_connections_are_opened_may_be_set(rate):
    assert settings(INGEST_DIALS_PER_S=rate).dials_per_s == float(rate)


@pytest.mark.parametrize("rate", ["0", "-1", "10001", "nan", "often"])
def test_a_rate_at_which_nothing_would_be_dialled_is_a_mistake(rate):
    assert mistakes(INGEST_DIALS_PER_S=rate)[0].startswith("INGEST_DIALS_PER_S: ")
