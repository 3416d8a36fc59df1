"""The stand-ins listen, say what the components need to reach them, and send a call's texts where they belong."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect

from callstream.demo import stand_ins as module
from callstream.demo.services import DemoError
from callstream.demo.stand_ins import Placed, stand_ins
from ingest.config import IngestSettings
from processors.cognigy.config import CognigySettings
from runtime.config import load
from simulators.audiohook import media
from simulators.audiohook.call import Call
from simulators.audiohook.scenario import Scenario
from simulators.media_streams.script import Script
from simulators.media_streams.server import Interaction

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


async def test_without_calls_there_is_nobody_to_wait_for() -> None:
    async with stand_ins(Placed()) as running:
        await running.connected()
        await running.stream()
        assert running.appfoundry.connections == 0
