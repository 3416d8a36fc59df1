"""Why httpx2 stands for httpx (docs/decisions/0001): what a storm of timed-out requests leaves behind."""

import asyncio
import random

import httpx  # noqa: TID251 - the client that the decision is against
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from runtime.errors import Unavailable
from runtime.http import HttpClient
from tests.runtime.loopback import serving

CONNECTIONS = 16
WIDTH = 64
STORM = 640
CALM = 32
DEADLINE_S = 0.1
CALM_DEADLINE_S = 2.0


def slow_server() -> Starlette:
    """Answers after 20 to 150 ms: about every third request in time, had it a connection."""
    delays = random.Random(1)

    async def answer(_: Request) -> PlainTextResponse:
        await asyncio.sleep(delays.uniform(0.020, 0.150))
        return PlainTextResponse("ok")

    return Starlette(routes=[Route("/", answer)])


async def answered(count, width, get):
    """Send `count` requests, at most `width` at a time, and return how many were answered."""
    places = asyncio.Semaphore(width)
    answers = []

    async def one():
        async with places:
            if await get():
                answers.append(1)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(one())
    return len(answers)


async def calm_after_storm_with_ours(url):
    async with HttpClient("slow", timeout_s=CALM_DEADLINE_S, connections=CONNECTIONS) as client:

        async def get(deadline_s):
            try:
                return (await client.request("GET", url, timeout_s=deadline_s)).ok
            except Unavailable:
                return False

        await answered(STORM, WIDTH, lambda: get(DEADLINE_S))
        return await answered(CALM, CONNECTIONS, lambda: get(CALM_DEADLINE_S))


async def calm_after_storm_with_httpx(url):
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with httpx.AsyncClient(limits=limits, timeout=CALM_DEADLINE_S, trust_env=False) as client:

        async def get(deadline_s):
            try:
                async with asyncio.timeout(deadline_s):
                    return (await client.get(url)).is_success
            except (httpx.TransportError, TimeoutError):
                return False

        await answered(STORM, WIDTH, lambda: get(DEADLINE_S))
        return await answered(CALM, CONNECTIONS, lambda: get(CALM_DEADLINE_S))


async def test_our_client_answers_every_calm_request_after_a_storm():
    async with serving(slow_server()) as url:
        assert await calm_after_storm_with_ours(url) == CALM


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the connections httpx lost are closed by nobody
async def test_httpx_does_not():
    async with serving(slow_server()) as url:
        assert await calm_after_storm_with_httpx(url) < CALM
