"""The service without a broker: how it ends. With one: tests/integration/test_ingest.py."""

import asyncio
import json
import socket

import pytest
from websockets.asyncio.client import connect

from ingest.__main__ import asking, platform_of, start, token_source
from ingest.config import IngestSettings, OAuthSettings
from ingest.platform_settings import PlatformSettings
from ingest.sources.audiohook.config import AudioHookSettings
from runtime.config import KafkaSettings, ServiceSettings
from runtime.service import DRAINED, FAULT, Service, run
from tests.ingest.sources.audiohook.test_auth import headers
from tests.ingest.sources.audiohook.words import Client
from tests.ingest.test_session import FakeOutlet, surroundings

HEADERS = [(name, value) for name, value in headers(X_API_KEY="open") if name != "Host"]


@pytest.fixture
def settings(tmp_path):
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"open": ""}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    found = IngestSettings(
        kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"),
        audiohook=AudioHookSettings(port=port, keys_file=keys),
        drain_sessions_s=0,
    )
    # less than is needed where peers do not close; these do
    return found.model_copy(update={"service": ServiceSettings(drain_budget_s=1.5)})


async def call(settings: IngestSettings) -> None:
    """Go through a session without audio."""
    client = Client()
    url = f"ws://127.0.0.1:{settings.audiohook.port}/audiohook"
    async with connect(url, additional_headers=HEADERS, proxy=None, ping_interval=None) as connection:
        for text in (client.open(), client.close()):
            await connection.send(text)
            await connection.recv()


@pytest.mark.parametrize(("calls", "code"), [(0, DRAINED), (1, FAULT)])
async def test_a_stop_succeeds_only_where_nothing_is_left_to_write(settings, calls, code):
    async def begin(service: Service[IngestSettings]) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(start(service))
            # it listens before it first gives the loop away for long
            while "sources" not in service.health._holding:
                await asyncio.sleep(0)
            for _ in range(calls):
                await call(settings)
            service.stopping.set()

    assert await run("ingest", settings, begin, signals=False) == code


class Endless:
    """Stands for a source of tokens and for who asks the platform."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    async def keep_fresh(self) -> None:
        self.begun.append("keep_fresh")

    async def run(self) -> None:
        self.begun.append("run")


@pytest.mark.parametrize(
    ("has_token", "has_platform", "begun"),
    [(False, False, []), (True, False, ["keep_fresh"]), (True, True, ["keep_fresh", "run"])],
)
async def test_tokens_are_renewed_and_calls_asked_about_in_the_background(has_token, has_platform, begun):
    endless = Endless()
    for one in asking(endless if has_token else None, endless if has_platform else None):
        await one
    assert endless.begun == begun


@pytest.mark.parametrize(
    ("client", "poll", "asks"), [("client", True, True), ("client", False, False), (None, True, False)]
)
async def test_the_platform_is_asked_only_with_a_token_and_where_it_is_wanted(settings, client, poll, asks):
    oauth = OAuthSettings(client_id=client, client_secret=client)
    wanted = settings.model_copy(update={"oauth": oauth, "platform": PlatformSettings(poll=poll)})

    async def begin(service: Service[IngestSettings]) -> None:
        around = surroundings(FakeOutlet())
        async with token_source(service) as token, platform_of(service, around, token, lambda *_: None) as platform:
            found.append(platform is not None)

    found: list[bool] = []
    assert await run("ingest", wanted, begin, signals=False) == DRAINED
    assert found == [asks]
