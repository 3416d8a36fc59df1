"""The platforms the components call, inside of the demo's process: login, texts, media streams, and the bot."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from callstream.demo.services import DemoError
from simulators.appfoundry.script import Timeline, transcript
from simulators.appfoundry.server import AppFoundryServer
from simulators.audiohook.call import Call
from simulators.audiohook.demo_call import RESUME_GUARD_MS
from simulators.cognigy.server import CognigyServer
from simulators.media_streams.server import PATH, Interaction, MediaStreamsServer
from simulators.oauth.server import OAuthServer

_APP_ID = "demo"
_CLIENT_ID = "callstream-demo"
_CONNECT_BUDGET_S = 20.0


@dataclass(slots=True)
class Placed:
    """What the stand-ins are about: calls that reach us over AudioHook with texts of their own, and media streams."""

    texts: Sequence[str] = ()
    streams: Sequence[Interaction] = ()
    speed: float = 1.0


@dataclass(slots=True)
class StandIns:
    """The running stand-ins. `texts` are the conversations whose texts come over WebSockets of their own."""

    bot: CognigyServer
    appfoundry: AppFoundryServer
    media: MediaStreamsServer
    sockets: Mapping[str, str]
    variables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    _texts: "asyncio.Queue[tuple[str, str]]" = field(default_factory=asyncio.Queue)

    def say(self, call: Call, text: str) -> None:
        """Let the platform send a text of a call now."""
        self._texts.put_nowait((str(call.conversation_id), text))

    async def send_texts(self) -> None:
        """Send what `say` was given, until cancelled."""
        while True:
            conversation, text = await self._texts.get()
            await self.appfoundry.send(self.sockets[conversation], transcript(0, text).content)

    async def stream(self) -> None:
        """Stream every call from its begin to its end. Raises `DemoError` when nobody subscribes."""
        reports = self.media.reports
        try:
            async with asyncio.timeout(_CONNECT_BUDGET_S):
                await self.media.until(lambda: all(report.subscriptions for report in reports.values()))
        except TimeoutError:
            message = "ingest did not subscribe to the media streams; its log says why"
            raise DemoError(message) from None
        for interaction in reports:
            self.media.begin(interaction)
        await self.media.until(lambda: all(report.ended for report in reports.values()))

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
            sockets=sockets,
        )
        ingest = {
            "INGEST_OAUTH_TOKEN_URL": await stack.enter_async_context(oauth.serving()),
            "INGEST_OAUTH_CLIENT_ID": _CLIENT_ID,
            "INGEST_OAUTH_CLIENT_SECRET": secret,
        }
        if sockets:
            url = await stack.enter_async_context(running.appfoundry.serving())
            ingest |= {
                "INGEST_APPFOUNDRY_URL": f"{url}/v2/appfoundry/apps/{{app_id}}/websockets/{{websocket_id}}",
                "INGEST_APPFOUNDRY_APP_ID": _APP_ID,
                "INGEST_APPFOUNDRY_SOCKETS": json.dumps({socket: call for call, socket in sockets.items()}),
                "INGEST_APPFOUNDRY_INACTIVITY_S": "0",
                "INGEST_RESUME_GUARD_S": f"{RESUME_GUARD_MS / 1000 / placed.speed:g}",
            }
        if placed.streams:
            url = await stack.enter_async_context(running.media.serving())
            ingest |= {
                "INGEST_MEDIA_STREAMS_URL": f"{url}{PATH}",
                "INGEST_MEDIA_STREAMS_INTERACTIONS": json.dumps([one.interaction_id for one in placed.streams]),
                "INGEST_MEDIA_STREAMS_CHANNELS": "external",
                "INGEST_PUBLISH_WHEN_PAUSE_UNKNOWN": "true",
            }
        running.variables = {
            "ingest": ingest,
            "processors.cognigy": {
                "COGNIGY_ENDPOINT_URL": running.bot.url,
                "COGNIGY_URL_TOKEN": token,
                "COGNIGY_RATE_PER_S": "1000",
            },
        }
        yield running
