import pytest

from processors.cognigy.config import CognigySettings, endpoint, rules
from processors.cognigy.rules import Rules
from runtime.config import load
from runtime.errors import ConfigError
from schemas.symbols import Channel

TOKEN = "0123456789abcdef" * 4
GIVEN = {"COGNIGY_ENDPOINT_URL": "https://endpoint.example", "COGNIGY_URL_TOKEN": TOKEN}


def loaded(**environ: str) -> CognigySettings:
    return load(CognigySettings, "COGNIGY_", {**GIVEN, **environ}, None)


def test_the_defaults_of_the_settings_are_those_of_the_pure_modules():
    made = rules(loaded())
    assert {name: getattr(made, name) for name in Rules.names()} == {
        name: getattr(Rules(), name) for name in Rules.names()
    }


def test_the_digest_names_what_shapes_the_outputs_and_nothing_else():
    def digest(**environ: str) -> str:
        return rules(loaded(**environ)).settings_hash

    assert digest() == digest(COGNIGY_RATE_PER_S="8", COGNIGY_URL_TOKEN="x" * 20)
    assert digest() != digest(COGNIGY_LATE_AFTER_S="4")
    assert len(digest()) == 16


def test_channels_are_a_list():
    assert rules(loaded(COGNIGY_CHANNELS="EXTERNAL,MIXED")).channels == (Channel.EXTERNAL, Channel.MIXED)


def test_without_address_and_token_it_does_not_start():
    with pytest.raises(ConfigError) as error:
        load(CognigySettings, "COGNIGY_", {}, None)
    assert "COGNIGY_ENDPOINT_URL: is needed" in str(error.value)
    assert "COGNIGY_URL_TOKEN: is needed" in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COGNIGY_ENDPOINT_URL", "ftp://endpoint.example"),
        ("COGNIGY_ENDPOINT_URL", "https://endpoint.example/?a=b"),
        ("COGNIGY_ENDPOINT_URL", "https://user@endpoint.example"),
        ("COGNIGY_ENDPOINT_URL", "https://endpoint.example:65536"),
        ("COGNIGY_ENDPOINT_URL", "https://[::1/endpoint"),
        ("COGNIGY_URL_TOKEN", "short"),
        ("COGNIGY_URL_TOKEN", "0123456789abcdef/../x"),
        ("COGNIGY_ATTEMPTS", "4"),
        ("COGNIGY_CHANNELS", "LEFT"),
        ("COGNIGY_ON_AMBIGUOUS", "hope"),
    ],
)
def test_a_mistake_is_named_and_its_value_is_not(name, value):
    with pytest.raises(ConfigError) as error:
        loaded(**{name: value})
    assert f"{name}: " in str(error.value)
    assert value not in str(error.value)


def test_address_and_token_are_handed_out_together(tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    given = {"COGNIGY_ENDPOINT_URL": GIVEN["COGNIGY_ENDPOINT_URL"], "COGNIGY_URL_TOKEN_FILE": str(tmp_path / "token")}
    settings = load(CognigySettings, "COGNIGY_", given, None)
    url, token = endpoint(settings)
    assert (url, token.get_secret_value()) == ("https://endpoint.example", TOKEN)
    assert TOKEN not in repr(settings)
    with pytest.raises(ConfigError, match="needed"):
        endpoint(settings.model_copy(update={"url_token": None}))


BRIDGE = {
    "COGNIGY_TRANSPORT": "bridge",
    "COGNIGY_BRIDGE_APP_ID": "app 1",
    "COGNIGY_BRIDGE_CLIENT_ID": "client",
    "COGNIGY_BRIDGE_CLIENT_SECRET": "the secret of the client",
}


def bridged(**environ: str) -> CognigySettings:
    return load(CognigySettings, "COGNIGY_", {**BRIDGE, **environ}, None)


def test_a_bridge_needs_no_endpoint_and_each_call_has_its_own_address():
    own = bridged().bridge
    assert own.address("c/1") == "wss://api.mypurecloud.com/v2/appfoundry/apps/app%201/websockets/c%2F1"
    named = bridged(COGNIGY_BRIDGE_WEBSOCKET_ID="call-{conversation_id}", COGNIGY_BRIDGE_DOMAIN="mypurecloud.de").bridge
    assert named.address("1") == "wss://api.mypurecloud.de/v2/appfoundry/apps/app%201/websockets/call-1"
    assert "the secret" not in repr(bridged())


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("COGNIGY_BRIDGE_WEBSOCKET_ID", "one", "the same socket for all calls"),
        ("COGNIGY_BRIDGE_URL", "wss://host/fixed", "the same socket for all calls"),
        ("COGNIGY_BRIDGE_URL", "ws://host/{conversation_id}", "should begin with wss"),
        ("COGNIGY_BRIDGE_URL", "wss://host/{conversation_id}/{secret}", "placeholder"),
        ("COGNIGY_BRIDGE_URL", "wss://user@host/{conversation_id}", "without user"),
        ("COGNIGY_BRIDGE_TOKEN_URL", "http://login.{domain}/oauth/token", "should begin with https"),
        ("COGNIGY_BRIDGE_LONGEST_DELAY_S", "0.1", "less than the first delay"),
        ("COGNIGY_BRIDGE_AUDIO_CHUNK_MS", "10", "greater than or equal to 20"),
    ],
)
def test_a_bridge_that_cannot_work_is_refused_before_any_connection(name, value, why):
    with pytest.raises(ConfigError) as error:
        bridged(**{name: value})
    assert why in str(error.value)


@pytest.mark.parametrize("missing", ["COGNIGY_BRIDGE_APP_ID", "COGNIGY_BRIDGE_CLIENT_SECRET"])
def test_what_a_bridge_needs_is_named(missing):
    given_ = {name: value for name, value in BRIDGE.items() if name != missing}
    with pytest.raises(ConfigError, match="needed"):
        load(CognigySettings, "COGNIGY_", given_, None)


def test_loopback_needs_no_tls_and_no_token():
    own = {"COGNIGY_TRANSPORT": "bridge", "COGNIGY_BRIDGE_URL": "ws://127.0.0.1:1/{conversation_id}"}
    assert (
        load(CognigySettings, "COGNIGY_", {**own, "COGNIGY_BRIDGE_AUTH": "none"}, None)
        .bridge.address("c")
        .endswith("/c")
    )


def test_processes_behind_one_address_share_its_limit():
    assert loaded().pace == (3, 50)
    assert loaded(COGNIGY_PROCESSES_PER_ADDRESS="4").pace == (0.75, 12)
