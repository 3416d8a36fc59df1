"""The platforms the components call, inside of the demo's process: login, texts, media, conversations, the bot."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from callstream.demo.live_stand_ins import LiveStandIn, stand_in_of
from callstream.demo.services import DemoError
from callstream.demo.source import DemoSource
from simulators.appfoundry.script import Timeline, transcript
from simulators.appfoundry.server import AppFoundryServer
from simulators.audiohook.call import Call
from simulators.audiohook.demo_call import RESUME_GUARD_MS
from simulators.cognigy.server import CognigyServer
from simulators.media_streams.server import PATH, Interaction, MediaStreamsServer
from simulators.oauth.server import OAuthServer
from simulators.platform.conversation import Conversation
from simulators.platform.server import PATH as CONVERSATIONS
from simulators.platform.server import PlatformServer
from simulators.websocket_server.server import Server

_APP_ID = "demo"
_CLIENT_ID = "callstream-demo"
_CONNECT_BUDGET_S = 20.0
_ASKED = 2
"""Once the platform was asked so often about a call, the first answer has been taken: it is not paused."""
_LAST_WORD_S = 0.5
"""From the end of the calls' audio to the moment from which the platform says that they are over."""


@dataclass(slots=True)
class Placed:
    """What the stand-ins are about: calls that reach us over AudioHook with texts of their own, or calls we dial.

    Those are media streams, or `live` calls without numbers, from the source of that name.
    """

    texts: Sequence[str] = ()
    streams: Sequence[Interaction] = ()
    live: int = 0
    source: DemoSource = DemoSource.AUDIOHOOK
    speed: float = 1.0


@dataclass(slots=True)
class StandIns:
    """The running stand-ins. `texts` are the conversations whose texts come over WebSockets of their own."""

    bot: CognigyServer
    appfoundry: AppFoundryServer
    media: MediaStreamsServer
    oauth: OAuthServer
    platform: PlatformServer
    live: LiveStandIn | None
    sockets: Mapping[str, str]
    variables: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    client_secret: str = field(default="", repr=False)
    bot_token: str = field(default="", repr=False)
    _texts: "asyncio.Queue[tuple[str, str]]" = field(default_factory=asyncio.Queue)

    def say(self, call: Call, text: str) -> None:
        """Let the platform send a text of a call now."""
        self._texts.put_nowait((str(call.conversation_id), text))

    async def send_texts(self) -> None:
        """Send what `say` was given, until cancelled."""
        while True:
            conversation, text = await self._texts.get()
            await self.appfoundry.send(self.sockets[conversation], transcript(0, text).content)

    @property
    def url(self) -> str:
        """Where the calls come from that we dial."""
        return self.media.url if self.live is None else self.live.server.url

    def secrets(self) -> Mapping[str, str]:
        """Return, by a name, what must stand nowhere: every token that was given, and what they were given for."""
        tokens = {f"token {number}": token for number, token in enumerate(self.oauth.tokens, 1)}
        return {**tokens, "the client's secret": self.client_secret, "the bot's token": self.bot_token}

    async def stream(self) -> None:
        """Stream every call from its begin to its end. Raises `DemoError` when nobody listens."""
        reports = self.media.reports
        await self._heard(self.media, lambda: all(report.subscriptions for report in reports.values()))
        for interaction in reports:
            self.media.begin(interaction)
        await self.media.until(lambda: all(report.ended for report in reports.values()))
        if self.live is not None:
            await self._play(self.live)

    async def _play(self, live: LiveStandIn) -> None:
        """Play the calls once the platform has said that they are not paused; then let it say that they are over."""
        calls, counts = live.calls, self.platform.counts
        await self._heard(live.server, lambda: all(call.report.listeners for call in calls.values()))
        await self._heard(live.server, lambda: all(counts()[call] >= _ASKED for call in calls))
        for call in calls.values():
            call.begin()
        await live.beside()
        await live.server.until(lambda: all(call.report.ended for call in calls.values()))
        await asyncio.sleep(_LAST_WORD_S)
        for conversation in calls:
            self.platform.add(Conversation(conversation, ends_after_s=0))

    async def _heard(self, server: Server, condition: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(_CONNECT_BUDGET_S):
                await server.until(condition)
        except TimeoutError:
            message = "ingest did not subscribe to the calls; its log says why"
            raise DemoError(message) from None

    async def connected(self) -> None:
        """Return when every WebSocket of a call's texts is connected. Raises `DemoError`."""
        try:
            async with asyncio.timeout(_CONNECT_BUDGET_S):
                for socket in self.sockets.values():
                    await self.appfoundry.connected(socket)
        except TimeoutError:
            message = "ingest did not connect to the WebSockets of the calls' texts; its log says why"
            raise DemoError(message) from None


@asynccontextmanager
async def stand_ins(placed: Placed) -> AsyncIterator[StandIns]:
    """Yield the platforms, listening on loopback, and what the components must be told to reach them."""
    token, secret = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    oauth = OAuthServer({_CLIENT_ID: secret})
    sockets = {conversation: f"texts-{number}" for number, conversation in enumerate(placed.texts, 1)}
    timelines = {socket: Timeline() for socket in sockets.values()}
    async with AsyncExitStack() as stack:
        running = StandIns(
            bot=await stack.enter_async_context(CognigyServer(token)),
            appfoundry=AppFoundryServer(_APP_ID, timelines, is_valid=oauth.is_valid, idle_limit_s=None),
            media=MediaStreamsServer(placed.streams, is_valid=oauth.is_valid, speed=placed.speed),
            oauth=oauth,
            platform=PlatformServer(oauth.is_valid),
            live=stand_in_of(placed.source, placed.live, oauth.is_valid) if placed.live else None,
            sockets=sockets,
            client_secret=secret,
            bot_token=token,
        )
        ingest = {
            "INGEST_OAUTH_TOKEN_URL": await stack.enter_async_context(oauth.serving()),
            "INGEST_OAUTH_CLIENT_ID": _CLIENT_ID,
            "INGEST_OAUTH_CLIENT_SECRET": secret,
            "INGEST_PLATFORM_POLL": "false",
        }
        if sockets:
            ingest |= _texts(placed, sockets, await stack.enter_async_context(running.appfoundry.serving()))
        if placed.streams:
            ingest |= _streams(placed, await stack.enter_async_context(running.media.serving()))
        if running.live is not None:
            ingest |= running.live.variables(await stack.enter_async_context(running.live.server.serving()))
            for call in running.live.calls:
                running.platform.add(Conversation(call))
            ingest |= _asking(await stack.enter_async_context(running.platform.serving()))
        running.variables = {
            "ingest": ingest,
            "processors.cognigy": {
                "COGNIGY_ENDPOINT_URL": running.bot.url,
                "COGNIGY_URL_TOKEN": token,
                "COGNIGY_RATE_PER_S": "1000",
            },
        }
        yield running


def _texts(placed: Placed, sockets: Mapping[str, str], url: str) -> dict[str, str]:
    """Return the settings for the texts of calls that come over AudioHook."""
    return {
        "INGEST_APPFOUNDRY_URL": f"{url}/v2/appfoundry/apps/{{app_id}}/websockets/{{websocket_id}}",
        "INGEST_APPFOUNDRY_APP_ID": _APP_ID,
        "INGEST_APPFOUNDRY_SOCKETS": json.dumps({socket: call for call, socket in sockets.items()}),
        "INGEST_APPFOUNDRY_INACTIVITY_S": "0",
        "INGEST_RESUME_GUARD_S": f"{RESUME_GUARD_MS / 1000 / placed.speed:g}",
    }


def _streams(placed: Placed, url: str) -> dict[str, str]:
    """Return the settings for media streams; nobody says whether those are paused."""
    return {
        "INGEST_MEDIA_STREAMS_URL": f"{url}{PATH}",
        "INGEST_MEDIA_STREAMS_INTERACTIONS": json.dumps([one.interaction_id for one in placed.streams]),
        "INGEST_MEDIA_STREAMS_CHANNELS": "external",
        "INGEST_PUBLISH_WHEN_PAUSE_UNKNOWN": "true",
    }


def _asking(url: str) -> dict[str, str]:
    """Return the settings for asking the platform whether a call is paused and whether it is over."""
    return {
        "INGEST_PLATFORM_POLL": "true",
        "INGEST_PLATFORM_URL": f"{url}{CONVERSATIONS}/{{conversation_id}}",
        "INGEST_PLATFORM_INTERVAL_S": "0.5",
        "INGEST_PLATFORM_PER_MINUTE": "6000",
        "INGEST_PLATFORM_STALE_S": "5",
        "INGEST_PLATFORM_WINDOW_S": "0",
    }
