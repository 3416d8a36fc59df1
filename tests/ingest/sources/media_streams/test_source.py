import json

import pytest

from ingest.config import IngestSettings
from ingest.dial import Dial, policy_of
from ingest.protocol import Call, CloseConnection, SendText, SessionOpened
from ingest.sources.media_streams import source
from ingest.sources.media_streams.config import MediaStreamsSettings
from runtime.config import load
from runtime.errors import ConfigError
from schemas.symbols import Channels, Codec
from tests.ingest.sources.media_streams.words import not_available, packet, subscription


def settings(**environ: str) -> IngestSettings:
    secrets = {"INGEST_OAUTH_CLIENT_ID": "id", "INGEST_OAUTH_CLIENT_SECRET": "secret"}
    own = {f"INGEST_MEDIA_STREAMS_{name}": value for name, value in environ.items()}
    return load(IngestSettings, "INGEST_", {**secrets, **own}, None)


def dials(settings: IngestSettings) -> list[Dial]:
    found = source.dialled(settings.media_streams, settings.place)
    size = found.calls_per_connection
    shares = [found.listed[start : start + size] for start in range(0, len(found.listed), size)]
    return [found.dial(f"{number} of {len(shares)}", share) for number, share in enumerate(shares, 1)]


def test_without_interactions_the_source_is_off():
    assert dials(settings()) == []


def test_interactions_share_connections_up_to_the_limit():
    ids = [f"i-{number}" for number in range(5)]
    found = dials(settings(INTERACTIONS=",".join(ids), INTERACTIONS_PER_SOCKET="2"))
    assert [dial.connection for dial in found] == ["1 of 3", "2 of 3", "3 of 3"]
    followed = []
    for dial in found:
        effects = dial.new_protocol().connected(0.0)
        followed.append([effect.key for effect in effects if isinstance(effect, SessionOpened)])
    assert followed == [["i-0", "i-1"], ["i-2", "i-3"], ["i-4"]]


def test_fifty_share_a_connection_and_the_next_one_gets_another():
    assert len(dials(settings(INTERACTIONS=",".join(map(str, range(50)))))) == 1
    assert len(dials(settings(INTERACTIONS=",".join(map(str, range(51)))))) == 2


def test_a_connection_is_kept_as_the_settings_say():
    (dial,) = dials(settings(INTERACTIONS="i", REST_S="7"))
    assert dial.source_name == "media-streams"
    assert dial.url == "wss://media.us-east-1.mypurecloud.com/api/v2/media/streams"
    assert dial.policy == policy_of(MediaStreamsSettings())
    assert (dial.policy.attempts, dial.policy.first_delay_s, dial.policy.ping_interval_s) == (5, 1, 30)
    assert dial.rest_s == 7
    assert (dial.bearer, dial.wants_token) == (True, True)


def test_the_settings_say_what_is_asked_for_and_how_it_is_read():
    found = settings(
        INTERACTIONS="i", CODEC_PREFERENCES="pcma,opus", CHANNELS="external", SAMPLE_RATE_HZ="16000", CLOCK_HZ="48000"
    )
    machine = dials(found)[0].new_protocol()
    opened, subscribed = machine.connected(0.0)
    assert isinstance(opened, SessionOpened)
    assert (opened.codec, opened.channels, opened.sample_rate_hz) == (Codec.PCMA, Channels.EXTERNAL, 16_000)
    assert isinstance(subscribed, SendText)
    assert '"codecPreferences":["pcma","opus"]' in subscribed.text
    machine.receive_text(packet(0, "i"), 0.0)
    (audio,) = machine.receive_text(packet(3, "i"), 0.06)
    assert audio.position_samples == 160


def test_a_codec_nobody_knows_is_refused_and_any_other_is_asked_for():
    found = source.dialled(settings().media_streams, settings().place)
    assert "none of l16, opus, pcma, pcmu" in found.refuse(Call("i", codecs=("pcmu", "g722")))
    assert found.refuse(Call("i", codecs=("OPUS", "pcma"))) is None


def test_what_is_named_where_the_platform_refuses_is_the_scope():
    (dial,) = dials(settings(INTERACTIONS="i"))
    assert "media:stream:read" in dial.claim.refused("forbidden", has_token=True)


@pytest.mark.parametrize(("given", "expected"), [({}, 5), ({"RETRY_NOT_AVAILABLE_S": "0.5"}, 0.5)])
def test_the_settings_say_after_how_long_media_that_is_not_available_is_asked_for_again(given, expected):
    machine = dials(settings(INTERACTIONS="i,j", **given))[0].new_protocol()
    machine.connected(0.0)
    machine.receive_text(packet(0, "j"), 0.0)
    machine.receive_text(not_available("i"), 1.0)
    assert machine.timeout(1 + expected - 0.01) == []
    (again,) = machine.timeout(1 + expected)
    assert json.loads(again.text) == subscription("i")


@pytest.mark.parametrize(("given", "expected"), [({}, 12), ({"NOT_AVAILABLE_TRIES": "1"}, 1)])
def test_the_settings_say_how_often_it_is_asked_for(given, expected):
    machine = dials(settings(INTERACTIONS="i", **given))[0].new_protocol()
    effects, now_s, answers = machine.connected(0.0), 0.0, 0
    while not machine.finished:
        assert [effect for effect in effects if isinstance(effect, SendText)]
        answers += 1
        effects = machine.receive_text(not_available("i"), now_s)
        now_s += 5
        effects += machine.timeout(now_s)
    assert answers == expected
    assert effects[-1] == CloseConnection(1000)


@pytest.mark.parametrize(
    ("name", "below", "lowest", "highest", "above"),
    [
        ("INTERACTIONS_PER_SOCKET", "0", "1", "50", "51"),
        ("RETRY_NOT_AVAILABLE_S", "0", "0.001", "600", "600.1"),
        ("NOT_AVAILABLE_TRIES", "0", "1", "1000", "1001"),
    ],
)
def test_a_limit_has_limits(name, below, lowest, highest, above):
    for value in (lowest, highest):
        assert settings(**{name: value})
    for value in (below, above):
        with pytest.raises(ConfigError):
            settings(**{name: value})
