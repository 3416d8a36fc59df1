"""The platforms of the demo misbehave as they say, tell ingest settings it knows, and their checks can fail."""

from collections.abc import Iterator

import pytest

from callstream.demo.checks import Check
from callstream.demo.evidence import Evidence, Stored
from callstream.demo.live_stand_ins import AppFoundry, ConversationAudio, MediaWebSocket, stand_in_of
from callstream.demo.source import LIVE, DemoSource
from ingest.config import IngestSettings
from runtime.config import load
from schemas.records import CallEvent
from schemas.symbols import CallEventKind, Source
from simulators.conversation_audio.server import Ping
from simulators.media_websocket.messages import Subscribe
from simulators.media_websocket.server import Authentication
from simulators.websocket_server.server import Ending, Handshake

URL = "ws://127.0.0.1:1"
OAUTH = {"INGEST_OAUTH_CLIENT_ID": "client", "INGEST_OAUTH_CLIENT_SECRET": "secret"}


def failures(checks: Iterator[tuple[str, Check]]) -> list[str]:
    return [check.name for _, check in checks if not check.ok]


@pytest.mark.parametrize("source", LIVE)
def test_each_source_has_calls_and_settings_that_ingest_knows(source: DemoSource) -> None:
    stand_in = stand_in_of(source, 2, bool)
    settings = load(IngestSettings, "INGEST_", OAUTH | stand_in.variables(URL), env_file=None)
    own = {
        DemoSource.MEDIA_WEBSOCKET: [*settings.media_websocket.connections.values()],
        DemoSource.CONVERSATION_AUDIO: [*settings.conversation_audio.conversations],
        DemoSource.APPFOUNDRY: [*settings.appfoundry.sockets.values()],
    }[source]
    assert own == list(stand_in.calls)
    assert len(set(own)) == 2
    assert stand_in.source is Source[source.name]


def test_the_other_sources_have_none() -> None:
    assert stand_in_of(DemoSource.AUDIOHOOK, 2, bool) is None
    assert stand_in_of(DemoSource.MEDIA_STREAMS, 2, bool) is None


async def test_every_connection_of_the_media_websocket_has_to_authenticate() -> None:
    stand_in = MediaWebSocket(1, bool)
    server, (call,) = stand_in.server, stand_in.calls
    evidence = Evidence(Source.MEDIA_WEBSOCKET)
    evidence.earlier[call] = [Stored(closed="BUDGET_SPENT")]
    server.connections = 3
    server.authentications += [Authentication("demo", valid=True, answer=answer) for answer in (None, "yes", "yes")]
    server.subscriptions += [Subscribe("connection-1", ("audio",))] * 2
    assert failures(stand_in.checks(evidence)) == []
    server.authentications[2] = Authentication(None, valid=True, answer="yes")
    evidence.earlier[call][0].frames = 1
    assert failures(stand_in.checks(evidence)) == [
        "every connection authenticates and subscribes anew",
        "a token that is not answered ends a session, and the next one begins",
    ]


@pytest.mark.parametrize("spoilt", ["answer", "unexpected", "closed"])
async def test_every_binary_ping_has_to_come_back(spoilt: str) -> None:
    stand_in = ConversationAudio(1, bool)
    server, (call,) = stand_in.server, stand_in.calls
    server.pings += [Ping(call, bytes(8), answered) for answered in (0.01, 0.02, 0.01, None)]
    server.endings.append(Ending("/", 1001, "going away", by_client=False))
    assert failures(stand_in.checks(Evidence())) == []
    if spoilt == "answer":
        server.pings[1].answered_after_s = server.pings[2].answered_after_s = None
    elif spoilt == "unexpected":
        server.unexpected = 1
    else:
        server.endings.append(Ending("/", 1001, "no answer to a ping", by_client=False))
    assert failures(stand_in.checks(Evidence())) == ["every binary ping is answered with its own bytes"]


async def test_every_text_has_to_be_told_and_the_expired_token_replaced() -> None:
    stand_in = AppFoundry(1, bool)
    server, (call,) = stand_in.server, stand_in.calls
    shared = {"conversation_id": call, "session_id": "s"}
    evidence = Evidence(Source.APPFOUNDRY)
    for kind, field in (("TRANSCRIPT", "text"), ("INTENT", "intent"), ("PLATFORM_ERROR", "message")):
        words = {field: f"{kind.lower()} of socket-1"}
        evidence.record(CallEvent(kind=CallEventKind[kind], **words, **shared))
    server.handshakes += [Handshake("/", authorized=status == 101, status=status) for status in (101, 401, 101)]
    assert failures(stand_in.checks(evidence)) == []
    evidence.events[call].reverse()
    del server.handshakes[1]
    assert failures(stand_in.checks(evidence)) == [
        "every text, intent and error is an event",
        "an expired token is replaced by another",
    ]
