"""F4, F5: which calls there is media of, and how many over a connection. The defects: tests/data/defects/README.md."""

import json

import pytest
from pydantic import SecretStr

from ingest.connecting import Place
from ingest.dialling import Dialling
from ingest.pausing import PauseBook
from ingest.platform import Platform
from ingest.polling import Limits
from ingest.protocol import Call
from ingest.sources.media_streams.config import MediaStreamsSettings
from ingest.sources.media_streams.source import dialled
from runtime.clock import ManualClock, SystemClock
from runtime.http import HttpClient
from runtime.oauth import TokenSource
from simulators.http_server.server import Fault
from simulators.oauth.server import OAuthServer
from simulators.platform.conversation import Conversation
from simulators.platform.server import PATH, PlatformServer
from tests.data.defects import platform
from tests.data.defects.platform import AT_ONCE
from tests.ingest.defect_peer import Peer
from tests.ingest.showing import eventually, running, shows
from tests.ingest.test_session import FakeOutlet, surroundings

LIMITS = Limits(interval_s=3600, per_minute=600_000, concurrency=AT_ONCE, stale_s=7200)
AGO_S = 600.0


@pytest.fixture
async def stand_in():
    """The platform's side, on whose clock calls that are added began ten minutes ago, and who asks it."""
    clock = ManualClock(wall_s=SystemClock().wall_s() - AGO_S)
    oauth = OAuthServer({"client": "secret"})
    server = PlatformServer(oauth.is_valid, clock=clock)
    async with oauth.serving() as token_url, server.serving() as url, HttpClient("platform", timeout_s=5) as http:
        token = TokenSource(http, token_url, "client", SecretStr("secret"), SystemClock())

        async def make(kind, ids):
            headers = {"authorization": f"Bearer {await token.get()}"}
            where = (http, lambda name: f"{url}{PATH}/{name}")
            return Ours(*where, token, ids) if kind is Ours else kind(*where, headers, SystemClock(), ids)

        yield server, make


class Ours:
    def __init__(self, http, url, token, ids):
        self.over = set()
        self._platform = Platform(
            http, url, token, PauseBook(), SystemClock(), limits=LIMITS, over=lambda name, _ended: self.over.add(name)
        )
        for name in ids:
            self._platform.watch(name)

    async def run(self):
        await self._platform.run()


@shows(Ours, platform.Asker, F5=platform.ReadsAFieldThatIsNotThere)
async def test_a_call_without_media_is_told_by_its_end_and_by_nothing_else(make, stand_in):
    server, made = stand_in
    server.add(Conversation("goes on"))
    server.add(Conversation("ended half a minute ago", ends_after_s=AGO_S - 30))
    server.add(Conversation("ended long ago", ends_after_s=AGO_S - 90))
    server.clock.advance(AGO_S)
    names = ["goes on", "ended half a minute ago", "ended long ago", "never was"]
    asker = await made(make, names)
    async with running(asker.run()):
        await eventually(lambda: len(server.asked) == len(names) and len(asker.over) > 1)
    assert asker.over == {"ended long ago", "never was"}


@shows(Ours, platform.Asker, F4=platform.AllAtOnce)
async def test_never_more_questions_at_once_than_the_limit(make, stand_in):
    server, made = stand_in
    names = [f"call-{number}" for number in range(40)]
    for name in names:
        server.add(Conversation(name))
    server.script.extend(Fault(delay_s=0.005) for _ in names)
    asker = await made(make, names)
    async with running(asker.run()):
        await eventually(lambda: len(server.asked) == len(names), factor=4)
    assert 1 < server.most_at_once <= AT_ONCE


class OurDialling:
    def __init__(self, url, ids):
        source = dialled(MediaStreamsSettings(url=url), Place("mypurecloud.com", "us-east-1"))
        self._dialling = Dialling([source], surroundings(FakeOutlet()), None)
        for name in ids:
            assert self._dialling.follow(source.name, Call(name)) is None

    async def run(self):
        await self._dialling.run()


def asked_for(peer):
    """The ids that were subscribed to over each connection."""
    return [
        {each["interactionId"] for message in messages for each in json.loads(message)["interactions"]}
        for messages in peer.got
    ]


@shows(OurDialling, F4=platform.OneConnection)
async def test_the_call_that_is_one_too_many_goes_over_another_connection(make):
    names = {f"call-{number}" for number in range(51)}
    async with Peer().serving() as peer:
        client = make(peer.url, sorted(names))
        async with running(client.run()):
            await eventually(lambda: set().union(*asked_for(peer)) == names)
        assert sorted(map(len, asked_for(peer))) == [1, 50]
