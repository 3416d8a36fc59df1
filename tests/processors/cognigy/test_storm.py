"""A storm of deadlines against a slow bot, and what the way to it is worth afterwards: ours, and plain httpx."""

import asyncio

import httpx  # noqa: TID251 - the client that docs/decisions/0001 is against
import pytest
from pydantic import SecretStr

from processors.cognigy.messages import request
from processors.cognigy.replies import Reply
from processors.cognigy.rest import RestClient
from runtime.clock import SystemClock
from runtime.http import HttpClient
from simulators.cognigy.script import Answer, Output
from simulators.cognigy.server import CognigyServer
from tests.processors.cognigy.turns import RULES, utterance

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
TOKEN = "5ec2e7" * 10 + "cafe"
STORM, CALM, WIDTH, CONNECTIONS = 800, 32, 128, 16
DEADLINE_S, CALM_DEADLINE_S = 0.1, 5.0
BODY = request(utterance())


def slow_bot() -> CognigyServer:
    """Answers after 20 to 150 ms."""
    bot = CognigyServer(TOKEN)
    delays = iter(range(10**9))
    bot.script.otherwise = lambda text: Answer((Output(text),), delay_s=0.02 + 0.01 * (next(delays) % 14))
    return bot


async def answered(count, width, ask):
    places, answers = asyncio.Semaphore(width), []

    async def one():
        async with places:
            if await ask():
                answers.append(1)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(one())
    return len(answers)


async def test_after_a_storm_of_deadlines_every_calm_input_is_answered():
    async with slow_bot() as bot, HttpClient("cognigy", timeout_s=5, connections=CONNECTIONS, any_status=True) as http:

        def client(timeout_s):
            return RestClient(http, bot.url, SecretStr(TOKEN), RULES, timeout_s=timeout_s, clock=SystemClock())

        async def ask(timeout_s):
            return isinstance(await client(timeout_s).ask(BODY), Reply)

        assert await answered(STORM, WIDTH, lambda: ask(DEADLINE_S)) < STORM
        assert await answered(CALM, CONNECTIONS, lambda: ask(CALM_DEADLINE_S)) == CALM


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the connections httpx lost are closed by nobody
async def test_plain_httpx_answers_hardly_any():
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with slow_bot() as bot, httpx.AsyncClient(limits=limits, timeout=2.0, trust_env=False) as http:

        async def ask(timeout_s):
            try:
                async with asyncio.timeout(timeout_s):
                    return (await http.post(f"{bot.url}/{TOKEN}", content=BODY)).is_success
            except (httpx.TransportError, TimeoutError):
                return False

        await answered(STORM, WIDTH, lambda: ask(DEADLINE_S))
        assert await answered(CALM, CONNECTIONS, lambda: ask(2.0)) < CALM
