"""The REST API over plain HTTP: what it tells, what it refuses, what it counts."""

import asyncio
import contextlib
import json

import pytest

from runtime.clock import ManualClock
from runtime.http import HttpClient
from simulators.http_server.server import Fault
from simulators.platform.conversation import Conversation
from simulators.platform.server import Asked, PlatformServer

GOOD = {"authorization": "Bearer good"}


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def platform(clock):
    server = PlatformServer(lambda token: token == "good", clock)
    server.add(Conversation("c-1", pauses=((10, 20),), ends_after_s=60, known_until_s=120))
    return server


@contextlib.asynccontextmanager
async def asking(server):
    """A function that asks for a conversation."""
    async with server.serving() as url, HttpClient("platform", timeout_s=5, any_status=True) as http:

        async def ask(conversation_id="c-1", headers=GOOD, query=""):
            place = f"{url}/api/v2/conversations/{conversation_id}{query}"
            return await http.request("GET", place, headers=headers)

        yield ask


async def test_a_conversation_is_told_as_it_is_at_that_time(platform, clock):
    told = []
    async with asking(platform) as ask:
        for step_s in (0, 10, 10, 40, 60):
            clock.advance(step_s)
            answer = await ask()
            body = answer.json()
            told.append((answer.status, body.get("securePause"), "endTime" in body))
    assert told == [
        (200, False, False),
        (200, True, False),
        (200, False, False),
        (200, False, True),
        (404, None, False),
    ]
    assert (platform.counts(), platform.most_at_once) == ({"c-1": 5}, 1)


async def test_only_a_valid_bearer_token_is_answered(platform):
    async with asking(platform) as ask:
        for headers in ({}, {"authorization": "Bearer bad"}, {"authorization": "Basic good"}):
            answer = await ask(headers=headers)
            assert (answer.status, answer.json()["code"]) == (401, "unauthorized")
        assert (await ask(query="?access_token=good", headers={})).status == 401
    assert platform.leaks == 1
    assert [one.authorized for one in platform.asked] == [False] * 4


async def test_a_conversation_nobody_knows_is_not_found(platform):
    async with asking(platform) as ask:
        answer = await ask("c-9")
        assert (answer.status, answer.json()["status"]) == (404, 404)
        platform.remove("c-1")
        assert (await ask()).status == 404
    assert platform.asked == [Asked("c-9", authorized=True, status=404), Asked("c-1", authorized=True, status=404)]


async def test_requests_meet_what_the_script_says_and_are_then_served(platform):
    platform.add(Conversation("c-2"))
    platform.script += [Fault(429, retry_after="7"), Fault(503), Fault(body=b"<html>")]
    platform.fail("c-2", Fault(401))
    async with asking(platform) as ask:
        answers = [await ask() for _ in range(4)]
        other = [await ask("c-2") for _ in range(2)]
    assert [answer.status for answer in answers] == [429, 503, 200, 200]
    assert (answers[0].headers["retry-after"], answers[0].json()["status"]) == ("7", 429)
    assert answers[2].body == b"<html>"
    assert answers[3].json()["id"] == "c-1"
    assert [answer.status for answer in other] == [401, 200]


async def test_the_most_requests_at_once_are_counted(platform):
    platform.script += [Fault(delay_s=0.1)] * 3
    async with asking(platform) as ask, asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(ask())
    assert platform.most_at_once == 3
    async with asking(platform) as ask:
        await ask()
    assert platform.as_json() == {
        "requests": 4,
        "statuses": {"200": 4},
        "conversations": {"c-1": 4},
        "most_at_once": 3,
        "leaks": 0,
    }


async def test_a_conversation_that_is_added_again_begins_anew(platform, clock):
    clock.advance(61)
    platform.add(Conversation("c-1", ends_after_s=60))
    async with asking(platform) as ask:
        assert "endTime" not in (await ask()).json()


async def test_its_state_is_shown_without_tokens(platform):
    async with asking(platform) as ask:
        await ask()
    assert "good" not in repr(platform) + json.dumps(platform.as_json())
