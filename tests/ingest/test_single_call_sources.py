"""Sources with one call per connection, dialled over loopback: stand-ins that speak the documents' words, no Kafka."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from audio.frames import Frames, decode
from ingest.config import IngestSettings, OAuthSettings
from ingest.dialling import Dialling
from ingest.pausing import PauseRules
from ingest.protocol import Ended
from ingest.sources.appfoundry.config import AppFoundrySettings
from ingest.sources.conversation_audio.config import ConversationAudioSettings
from ingest.sources.media_websocket.config import MediaWebSocketSettings
from ingest.table import DIALLED
from runtime.clock import Clock
from schemas import topics
from schemas.records import CallEvent
from schemas.symbols import CallEventKind, FrameKind, Reason
from simulators.appfoundry.script import Timeline
from simulators.appfoundry.server import AppFoundryServer
from simulators.conversation_audio.server import ConversationAudioServer, Framing, Heartbeat
from simulators.live_call.player import LivePlayer
from simulators.live_call.script import Action, Close, Cut, Script, channel
from simulators.media_websocket.server import PATH, AuthFault, MediaWebSocketServer
from tests.ingest.test_session import STORE, FakeOutlet, surroundings

SPEED = 10.0
AUDIO = channel("external")[: 2 * 8000]
FAST = {"first_delay_s": 0.01, "longest_delay_s": 0.01, "start_spread_s": 0, "rest_s": 0.02}
OAUTH = OAuthSettings(client_id="id", client_secret="secret")


class Tokens:
    """Gives a new token for each one that is invalidated."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.token = self._next()

    def _next(self) -> str:
        return f"token-{next(self._numbers)}"

    async def get(self) -> str:
        return self.token

    def invalidate(self, token: str) -> None:
        if token == self.token:
            self.token = self._next()


class Rig:
    """What the sources of some settings publish."""

    def __init__(self, settings: IngestSettings, clock: Clock | None = None) -> None:
        self.outlet = FakeOutlet()
        self.tokens = Tokens()
        around = replace(surroundings(self.outlet, clock), rules=PauseRules(publish_when_unknown=True))
        sources = [make(settings) for make in DIALLED.values()]
        self.dialling = Dialling(sources, around, self.tokens)
        for source in sources:
            for call in source.listed:
                assert self.dialling.follow(source.name, call) is None

    @asynccontextmanager
    async def running(self, limit_s: float = 20) -> AsyncIterator[None]:
        async with asyncio.timeout(limit_s), asyncio.TaskGroup() as tasks:
            tasks.create_task(self.dialling.run())
            yield
            self.dialling.drain()

    @property
    def frames(self) -> Frames:
        return decode([record.value for record in self.outlet.records if record.topic == topics.AUDIO.name], STORE)

    @property
    def audio(self) -> bytes:
        frames = self.frames
        return b"".join(
            bytes(frames.payload(row)) for row, kind in enumerate(frames.kind) if kind == FrameKind.AUDIO.code
        )

    def events(self, kind: CallEventKind) -> list[CallEvent]:
        found = [STORE.decode(r.value, CallEvent) for r in self.outlet.records if r.topic == topics.EVENTS.name]
        return [event for event in found if event.kind is kind]

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            await asyncio.sleep(0.01)


def call(*actions: Action, backlog_ms: int = 0) -> LivePlayer:
    return LivePlayer(Script(audio=AUDIO, actions=actions, backlog_ms=backlog_ms).plan(), speed=SPEED)


def media(server: MediaWebSocketServer, connection: str = "media-1", **own) -> IngestSettings:
    given = {"url": server.url + PATH, "connections": {connection: "call-1"}, **FAST, **own}
    return IngestSettings(oauth=OAUTH, media_websocket=MediaWebSocketSettings(**given))


def conversation(server: ConversationAudioServer, **own) -> IngestSettings:
    given = {"url": server.url + server.path("{conversation_id}"), "conversations": ("call-1",), **FAST, **own}
    return IngestSettings(conversation_audio=ConversationAudioSettings(**given))


def sent(player: LivePlayer) -> bytes:
    return b"".join(chunk.payload for chunk in player.report.sent)


@pytest.mark.parametrize("field", ["data", "payload", "audio"])
async def test_a_media_websocket_is_heard_to_its_end_whatever_its_field_is_called(field):
    player = call()
    server = MediaWebSocketServer({"media-1": player}, is_valid=lambda token: token == "token-1", audio_field=field)
    async with server.serving():
        rig = Rig(media(server, user_id="u-1"))
        async with rig.running():
            await rig.until(lambda: len(rig.audio) == len(AUDIO))
        assert rig.audio == AUDIO
        assert [one.user_id for one in server.authentications] == ["u-1"]
        assert [one.connection_id for one in server.subscriptions] == ["media-1"]
        assert server.oddities == 0
    (closed,) = rig.events(CallEventKind.CLOSED)
    assert closed.reason is Reason.DRAIN


async def test_a_media_websocket_authenticates_and_subscribes_on_each_connection_and_nothing_held_up_is_lost():
    player = call(Cut(700), Close(1400, 1001), backlog_ms=60_000)
    server = MediaWebSocketServer({"media-1": player}, is_valid=lambda _: True)
    async with server.serving():
        rig = Rig(media(server))
        async with rig.running():
            await rig.until(lambda: player.report.ended and len(rig.audio) >= len(sent(player)) - 2000)
        assert len(server.authentications) == len(server.subscriptions) == 3
        assert max(server.most_at_once.values()) == 1
    assert [event.code for event in rig.events(CallEventKind.RECONNECT)] == [1006, 1001]
    assert len(rig.events(CallEventKind.OPENED)) == len(rig.events(CallEventKind.CLOSED)) == 1


async def test_a_media_websocket_that_does_not_answer_the_token_is_given_up_and_tried_again_with_another():
    server = MediaWebSocketServer({"media-1": call()}, is_valid=lambda token: token == "token-2")
    server.fail_auth_next(1, AuthFault.SILENT)
    async with server.serving():
        rig = Rig(media(server, auth_timeout_s=0.05))
        async with rig.running():
            await rig.until(lambda: rig.audio)
    (told,) = rig.events(CallEventKind.RECONNECT_EXHAUSTED)
    assert "media:websocket:write" in (told.message or "")
    assert "token-" not in (told.message or "")
    assert [one.valid for one in server.authentications] == [False, True]
    assert rig.events(CallEventKind.CLOSED)[0].reason is Reason.BUDGET_SPENT


async def test_a_token_that_a_media_websocket_refuses_is_not_used_again():
    server = MediaWebSocketServer({"media-1": call()}, is_valid=lambda token: token == "token-2")
    async with server.serving():
        rig = Rig(media(server))
        async with rig.running():
            await rig.until(lambda: rig.audio)
    assert "the token is not valid" in (rig.events(CallEventKind.RECONNECT_EXHAUSTED)[0].message or "")
    assert [one.valid for one in server.authentications] == [False, True]


@pytest.mark.parametrize("tells_unknown", [False, True])
async def test_a_media_connection_that_is_not_known_is_named(tells_unknown):
    server = MediaWebSocketServer({}, is_valid=lambda _: True, tells_unknown=tells_unknown)
    async with server.serving():
        rig = Rig(media(server, "media-7", subscribe_timeout_s=60 if tells_unknown else 0.05))
        async with rig.running():
            await rig.until(lambda: rig.events(CallEventKind.RECONNECT_EXHAUSTED))
    assert "media-7" in (rig.events(CallEventKind.RECONNECT_EXHAUSTED)[0].message or "")
    assert rig.tokens.token == "token-1"


@pytest.mark.parametrize(
    ("heartbeat", "framing"),
    [(Heartbeat.CONTROL, Framing.BINARY), (Heartbeat.CONTROL, Framing.TEXT), (Heartbeat.BINARY, Framing.TEXT)],
)
async def test_a_conversation_is_heard_however_it_is_sent_and_its_pings_are_answered(heartbeat, framing):
    player = call()
    server = ConversationAudioServer({"call-1": player}, heartbeat=heartbeat, framing=framing, ping_s=0.02)
    async with server.serving():
        rig = Rig(conversation(server, heartbeat=heartbeat.value))
        async with rig.running():
            await rig.until(lambda: len(rig.audio) == len(AUDIO))
        assert rig.audio == AUDIO
        assert server.pings[0].answered_after_s is not None
        assert server.unexpected == 0


@pytest.mark.parametrize("code", [1000, 1001])
async def test_a_conversation_whose_server_closes_is_dialled_again(code):
    player = call(Close(1000, code))
    server = ConversationAudioServer({"call-1": player})
    async with server.serving():
        rig = Rig(conversation(server))
        async with rig.running():
            await rig.until(lambda: rig.events(CallEventKind.RECONNECT) and player.report.ended)
        assert len(server.handshakes) == 2
    assert [event.code for event in rig.events(CallEventKind.RECONNECT)] == [code]
    assert len(rig.events(CallEventKind.OPENED)) == 1


async def test_a_conversation_that_is_unfollowed_is_closed_and_forgotten():
    player = call()
    server = ConversationAudioServer({"call-1": player})
    async with server.serving():
        rig = Rig(conversation(server))
        async with rig.running():
            await rig.until(lambda: rig.audio)
            rig.dialling.unfollow("conversation-audio", "call-1", Ended(Reason.END))
            await rig.until(lambda: rig.events(CallEventKind.CLOSED))
            assert not rig.dialling.followed
            await server.until(lambda: server.endings)
        assert [(ending.code, ending.by_client) for ending in server.endings] == [(1000, True)]
    assert [event.reason for event in rig.events(CallEventKind.CLOSED)] == [Reason.END]


async def test_the_audio_of_appfoundry_is_heard_beside_its_texts():
    player = call()
    server = AppFoundryServer("app", {"ws-1": Timeline()}, is_valid=lambda _: True, calls={"ws-1": player})
    async with server.serving():
        url = server.url + "/v2/appfoundry/apps/{app_id}/websockets/{websocket_id}"
        own = AppFoundrySettings(url=url, app_id="app", sockets={"ws-1": "call-1"}, codec="pcmu", **FAST)
        rig = Rig(IngestSettings(oauth=OAUTH, appfoundry=own))
        async with rig.running():
            await server.connected("ws-1")
            await server.send("ws-1", {"type": "transcript", "text": "hello"})
            await server.send("ws-1", {"type": "telemetry"})
            await rig.until(lambda: len(rig.audio) == len(AUDIO) and rig.events(CallEventKind.TRANSCRIPT))
    assert rig.audio == AUDIO
