"""The transports by name, and what a process needs around each. Another transport is another entry here."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from processors.cognigy.bridge.client import BridgeClient, dialling
from processors.cognigy.client import BotClient
from processors.cognigy.config import CognigySettings, endpoint
from processors.cognigy.rest import http_client, rest_client
from runtime.errors import ConfigError
from runtime.http import HttpClient
from runtime.oauth import TokenSource
from runtime.pace import Pace
from runtime.service import Service

_TOKEN_S = 10.0
_DIALS_PER_S = 20.0
_DIALS_AT_ONCE = 20


@asynccontextmanager
async def transport(service: Service[CognigySettings], group: asyncio.TaskGroup) -> AsyncIterator[BotClient]:
    """Yield the way to the bot that the settings name. `group` runs what it needs beside."""
    async with (_bridge if service.settings.transport == "bridge" else _rest)(service, group) as client:
        yield client


@asynccontextmanager
async def _rest(service: Service[CognigySettings], _: asyncio.TaskGroup) -> AsyncIterator[BotClient]:
    settings, clock = service.settings, service.clock
    if endpoint(settings)[0].startswith("http://"):
        service.log.warning("the bot is reached without TLS: whoever is on the way reads the token")
    async with http_client(settings, clock, settings.forwarder.max_in_flight) as http:
        yield rest_client(settings, http, clock)


@asynccontextmanager
async def _bridge(service: Service[CognigySettings], group: asyncio.TaskGroup) -> AsyncIterator[BotClient]:
    settings, clock = service.settings, service.clock
    async with _tokens(service, group) as token:
        dial = dialling(settings.bridge, clock, token, Pace(_DIALS_PER_S, _DIALS_AT_ONCE))
        client = BridgeClient(settings.bridge, dial, group, clock, service.log, answer_s=settings.read_timeout_s)
        try:
            yield client
        finally:
            client.stop()


@asynccontextmanager
async def _tokens(service: Service[CognigySettings], group: asyncio.TaskGroup) -> AsyncIterator[TokenSource | None]:
    """Yield where the tokens of the sockets come from; None where they need none."""
    own = service.settings.bridge
    if own.auth == "none":
        yield None
        return
    if own.client_id is None or own.client_secret is None:
        raise ConfigError(["COGNIGY_BRIDGE_CLIENT_ID and COGNIGY_BRIDGE_CLIENT_SECRET are needed"])
    async with HttpClient("oauth", timeout_s=_TOKEN_S, connections=1, clock=service.clock) as http:
        url = own.token_url.format(domain=own.domain)
        names = ("COGNIGY_BRIDGE_CLIENT_ID", "COGNIGY_BRIDGE_CLIENT_SECRET")
        source = TokenSource(http, url, own.client_id, own.client_secret, service.clock, settings=names)
        renewing = group.create_task(source.keep_fresh())
        try:
            yield source
        finally:
            renewing.cancel()
