"""The stand-ins listen, say what the components need to reach them, and send a call's texts where they belong."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect

from callstream.demo import stand_ins as module
from callstream.demo.services import DemoError
from callstream.demo.source import DemoSource
from callstream.demo.stand_ins import Placed, stand_ins
from ingest.config import IngestSettings
from processors.cognigy.config import CognigySettings
from runtime.config import load
from simulators.audiohook import media
from simulators.audiohook.call import Call
from simulators.audiohook.scenario import Scenario
from simulators.media_streams.script import Script
from simulators.media_streams.server import Interaction
from simulators.platform.server import Asked

CALL = Call(scenario=Scenario("quiet", media.silence(100)))
CONVERSATION = str(CALL.conversation_id)


async def test_what_the_components_are_told_are_settings_they_know() -> None:
    stream = Interaction("stream", Script(audio=b"\xff" * 1600).plan(), starts_on_subscription=False)
    async with stand_ins(Placed([CONVERSATION], [stream], speed=4)) as running:
        ingest = load(IngestSettings, "INGEST_", running.variables["ingest"], env_file=None)
        bot = load(CognigySettings, "COGNIGY_", running.variables["processors.cognigy"], env_file=None)
    assert ingest.appfoundry.sockets == {"texts-1": CONVERSATION}
    assert ingest.media_streams.interactions == ("stream",)
    assert ingest.publish_when_pause_unknown
    assert ingest.resume_guard_s == 0.45
    assert bot.endpoint_url == running.bot.url


async def test_without_media_streams_nothing_is_published_while_a_pause_is_unknown() -> None:
    async with stand_ins(Placed([CONVERSATION])) as running:
        assert "INGEST_PUBLISH_WHEN_PAUSE_UNKNOWN" not in running.variables["ingest"]
        assert "INGEST_MEDIA_STREAMS_URL" not in running.variables["ingest"]


async def test_a_text_goes_to_the_socket_of_its_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.OAuthServer, "is_valid", lambda _server, _token: True)
    async with stand_ins(Placed(["another", CONVERSATION])) as running:
        url = f"{running.appfoundry.url}{running.appfoundry.path('texts-2')}"
        headers = {"Authorization": "Bearer x"}
        async with connect(url, additional_headers=headers, proxy=None) as socket, asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(running.send_texts())
            running.say(CALL, "hello")
            assert json.loads(await socket.recv()) == {"type": "transcript", "text": "hello"}
            sending.cancel()


async def test_a_socket_nobody_connects_to_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CONNECT_BUDGET_S", 0.05)
    async with stand_ins(Placed([CONVERSATION])) as running:
        with pytest.raises(DemoError, match="did not connect"):
            await running.connected()


async def test_streams_nobody_subscribes_to_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CONNECT_BUDGET_S", 0.05)
    stream = Interaction("stream", Script(audio=b"\xff" * 1600).plan(), starts_on_subscription=False)
    async with stand_ins(Placed(streams=[stream])) as running:
        with pytest.raises(DemoError, match="did not subscribe"):
            await running.stream()


async def test_live_calls_begin_when_the_platform_was_asked_and_are_over_after_their_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_LAST_WORD_S", 0.0)
    async with stand_ins(Placed(live=1, source=DemoSource.CONVERSATION_AUDIO)) as running:
        settings = load(IngestSettings, "INGEST_", running.variables["ingest"], env_file=None)
        (call, player) = next(iter(running.live.calls.items()))
        monkeypatch.setattr(type(running.oauth), "is_valid", lambda _server, _token: True)
        player.report.listeners = 1
        running.platform.asked += [Asked(call, authorized=True, status=200)] * 2
        assert running.url == running.live.server.url
        async with asyncio.TaskGroup() as tasks:
            playing = tasks.create_task(running.stream())
            await asyncio.wait_for(player._begun.wait(), 30)
            player.report.ended = True
            running.live.server.note_change()
        await playing
        (conversation, _, _) = running.platform._conversations[call]
    assert conversation.ends_after_s == 0
    assert settings.platform.url.endswith("/api/v2/conversations/{conversation_id}")
    assert settings.platform.poll


async def test_live_calls_nobody_asks_the_platform_about_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CONNECT_BUDGET_S", 0.05)
    async with stand_ins(Placed(live=1, source=DemoSource.MEDIA_WEBSOCKET)) as running:
        for player in running.live.calls.values():
            player.report.listeners = 1
        with pytest.raises(DemoError, match="did not subscribe"):
            await running.stream()


async def test_every_token_and_secret_is_named_for_the_search() -> None:
    async with stand_ins(Placed()) as running:
        secrets = running.secrets()
        told = {**running.variables["ingest"], **running.variables["processors.cognigy"]}
        assert secrets == {
            "the client's secret": told["INGEST_OAUTH_CLIENT_SECRET"],
            "the bot's token": told["COGNIGY_URL_TOKEN"],
        }
        running.oauth._valid_until_s["issued"] = 1.0
        assert running.secrets()["token 1"] == "issued"
        assert told["INGEST_OAUTH_CLIENT_SECRET"] not in repr(running)


async def test_without_calls_there_is_nobody_to_wait_for() -> None:
    async with stand_ins(Placed()) as running:
        await running.connected()
        await running.stream()
        assert running.appfoundry.connections == 0
