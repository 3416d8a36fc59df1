"""What sources with one call per connection keep by default, on a driven clock over real sockets: pings, silences."""

import asyncio
from collections.abc import Callable

import pytest

from ingest.config import IngestSettings
from ingest.sources.appfoundry.config import AppFoundrySettings
from ingest.sources.conversation_audio.config import ConversationAudioSettings
from ingest.sources.media_websocket.config import MediaWebSocketSettings
from schemas.records import CallEvent
from schemas.symbols import CallEventKind, ClosedBy
from simulators.conversation_audio.server import ConversationAudioServer, Framing, Heartbeat
from simulators.live_call.player import LivePlayer
from simulators.live_call.script import Say, Script
from simulators.websocket_server.server import Server
from tests.ingest.test_single_call_sources import OAUTH, Rig, conversation
from tests.runtime.driven_loop import LoopClock, driven

MINUTE_S = 60.0


class Expiring(Server):
    """Takes every token, and says at once that it is no longer good."""

    def __init__(self, *exchange: str) -> None:
        super().__init__(is_valid=bool)
        self.tokens: list[str] = []
        self._exchange = exchange

    def accepts(self, token: str, is_valid: Callable[[str], bool]) -> bool:
        self.tokens.append(token)
        return super().accepts(token, is_valid)

    def status_of(self, path: str) -> int:
        return 101

    async def neglected(self, peer) -> None:
        peer.abort()

    async def converse(self, peer, spawn) -> None:
        for message in self._exchange:
            await peer.send(message)
        await peer.wait_closed()


class Drip(Server):
    """Says something after each so many seconds, then nothing more."""

    def __init__(self, after_s: tuple[float, ...]) -> None:
        super().__init__(is_valid=None)
        self._after_s = after_s

    def status_of(self, path: str) -> int:
        return 101

    async def neglected(self, peer) -> None:
        peer.abort()

    async def converse(self, peer, spawn) -> None:
        for seconds in self._after_s:
            await asyncio.sleep(seconds)
            await peer.send('{"type":"telemetry"}')
        await peer.wait_closed()


def settings(source: str, url: str) -> IngestSettings:
    """Return the defaults of a source, but for where it calls and the token."""
    match source:
        case "appfoundry":
            own = AppFoundrySettings(url=url, app_id="app", sockets={"ws-1": "call-1"}, auth="none")
            return IngestSettings(appfoundry=own)
        case "media_websocket":
            rest = {"auth": "none", "subscribe_timeout_s": 120}
            media = MediaWebSocketSettings(url=url, connections={"media-1": "call-1"}, **rest)
            return IngestSettings(media_websocket=media)
    return IngestSettings(conversation_audio=ConversationAudioSettings(url=url, conversations=("call-1",)), oauth=OAUTH)


def losses(source: str, after_s: tuple[float, ...], until_s: float) -> list[tuple[ClosedBy, float]]:
    """Return who ended a source's connections, and how old they were, with a peer that says something now and then."""

    async def call() -> list[tuple[ClosedBy, float]]:
        server = Drip(after_s)
        async with server.serving() as url:
            rig = Rig(settings(source, url), LoopClock())
            async with rig.running(until_s + MINUTE_S):
                await asyncio.sleep(until_s)
        return [(event.closed_by, event.connection_age_ms / 1000) for event in rig.events(CallEventKind.RECONNECT)]

    return driven(call())


@pytest.mark.parametrize(("source", "limit_s"), [("appfoundry", 30.0), ("media_websocket", 60.0)])
@pytest.mark.parametrize(("more_s", "lives"), [(-0.1, True), (0.1, False)])
def test_a_stream_that_is_silent_for_longer_than_its_limit_is_dialled_again(source, limit_s, more_s, lives):
    found = losses(source, (limit_s + more_s, 1.0), limit_s + 2.5)
    if lives:
        assert found == []
    else:
        ((closed_by, age_s),) = found
        assert closed_by is ClosedBy.TIMEOUT
        assert age_s == pytest.approx(limit_s, abs=0.05)


@pytest.mark.parametrize(
    ("source", "attempts", "said"),
    [
        ("appfoundry", 10, '{"type":"error","code":401,"message":"expired"}'),
        ("media_websocket", 5, '{"type":"auth","result":"failure","message":"expired"}'),
    ],
)
def test_a_peer_that_takes_each_token_and_refuses_it_then_spends_the_budget_with_a_new_one_each_time(
    source, attempts, said
):
    async def call() -> tuple[list[str], list[CallEvent]]:
        server = Expiring(said)
        async with server.serving() as url:
            given = settings(source, url)
            own = getattr(given, source).model_copy(update={"auth": "header", "rest_s": 3600})
            rig = Rig(given.model_copy(update={source: own}), LoopClock())
            async with rig.running(30 * MINUTE_S):
                await asyncio.sleep(20 * MINUTE_S)
        return server.tokens, rig.events(CallEventKind.RECONNECT_EXHAUSTED)

    tokens, (told,) = driven(call())
    assert len(tokens) == len(set(tokens)) == attempts == told.attempt


def test_a_conversation_may_be_silent_for_ten_minutes():
    assert losses("conversation_audio", (), 10 * MINUTE_S) == []


@pytest.mark.parametrize(
    ("pings", "lives"),
    [
        ({}, True),
        ({"ping_interval_s": 59.5}, True),
        ({"ping_interval_s": 60.5}, False),
        ({"ping_interval_s": 0}, False),
    ],
)
def test_a_silent_conversation_outlives_a_peer_that_closes_whoever_does_not_ping_for_a_minute(pings, lives):
    async def call() -> tuple[int, int]:
        player = LivePlayer(Script(audio=b"", actions=(Say(20 * 60_000, "?"),)).plan())
        server = ConversationAudioServer({"call-1": player}, heartbeat=Heartbeat.NONE)
        async with server.serving():
            own = conversation(server).conversation_audio
            settings = IngestSettings(conversation_audio=own.model_copy(update=pings))
            rig = Rig(settings, LoopClock())
            async with rig.running(20 * MINUTE_S):
                await asyncio.sleep(10 * MINUTE_S)
                return len(rig.events(CallEventKind.RECONNECT)), len(server.handshakes)

    ended, handshakes = driven(call())
    assert (ended == 0, handshakes == 1) == (lives, lives)


@pytest.mark.parametrize(("heartbeat", "framing"), [("binary", Framing.TEXT), ("control", Framing.BINARY)])
def test_the_pings_of_a_silent_conversation_are_answered_for_ten_minutes(heartbeat, framing):
    async def call() -> tuple[list[float | None], int]:
        player = LivePlayer(Script(audio=b"", actions=(Say(20 * 60_000, "?"),)).plan())
        server = ConversationAudioServer({"call-1": player}, heartbeat=Heartbeat(heartbeat), framing=framing)
        async with server.serving():
            rig = Rig(conversation(server, heartbeat=heartbeat), LoopClock())
            async with rig.running(20 * MINUTE_S):
                await asyncio.sleep(10 * MINUTE_S + 1)
                return [ping.answered_after_s for ping in server.pings], len(server.handshakes)

    answers, handshakes = driven(call())
    assert len(answers) == 30
    assert all(answer is not None and answer < 5 for answer in answers)
    assert handshakes == 1
