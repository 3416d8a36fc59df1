"""A1, A4, A5, A6: tokens. What is wrong with each defect: tests/data/defects/README.md."""

import asyncio
import contextlib

import pytest
import trustme
from pydantic import SecretStr

from ingest.config import OAuthSettings
from ingest.connecting import Place
from runtime.clock import ManualClock
from runtime.http import HttpClient
from runtime.oauth import TokenSource
from simulators.oauth.server import OAuthServer
from tests.data.defects import tokens
from tests.ingest.showing import shows


def ours(http, url, clock):
    return TokenSource(http, url, tokens.ID, SecretStr(tokens.SECRET), clock)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def server(clock):
    return OAuthServer({tokens.ID: tokens.SECRET}, clock=clock)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A file of one authority, which is read faster than all of the system's."""
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(file)
    return str(file)


@pytest.fixture
async def place(server, clock, authority):
    """What a token source is made of: the client, the URL and the clock."""
    async with server.serving() as url, HttpClient("oauth", timeout_s=5, clock=clock, cafile=authority) as http:
        yield http, url, clock


@shows(ours, tokens.Tokens, A1=tokens.RefusedButKept)
async def test_a_refused_token_is_not_given_again(make, server, place):
    source = make(*place)
    first = await source.get()
    server.revoke(first)
    source.invalidate(first)
    assert server.is_valid(await source.get())


@pytest.mark.parametrize("lifetime_s", [600, 86_400])
@shows(ours, tokens.Tokens, A4=tokens.FixedHour)
async def test_a_token_is_kept_for_most_of_its_stated_life_and_never_longer(make, server, place, clock, lifetime_s):
    server.lifetime_s = lifetime_s
    source = make(*place)
    for _ in range(20):
        assert server.is_valid(await source.get())
        clock.advance(lifetime_s / 10)
    assert server.requests <= 4


@shows(ours, tokens.Tokens, A4=tokens.FixedMargin)
async def test_a_short_token_serves_more_than_one_connection(make, server, place):
    server.lifetime_s = 50
    source = make(*place)
    assert await source.get() == await source.get()


@shows(ours, tokens.Tokens, A4=tokens.FixedHour)
async def test_a_step_of_the_wall_clock_changes_nothing(make, server, place, clock):
    source = make(*place)
    await source.get()
    clock._wall_s += 86_400
    await source.get()
    assert server.requests == 1


@shows(ours, tokens.Tokens, A5_body=tokens.SecretInBody, A5_query=tokens.SecretInQuery)
async def test_secrets_stand_in_no_url_and_no_body(make, server, place):
    with contextlib.suppress(RuntimeError):
        await make(*place).get()
    assert (server.leaks, server.issued) == (0, 1)


def our_url(domain, region):
    return Place(domain, region).fill(OAuthSettings().token_url)


@shows(our_url, A5_api=tokens.on_the_api_host, A5_region=tokens.on_the_regions_name)
def test_tokens_come_from_the_login_host_of_the_domain(make):
    assert make("mypurecloud.de", "eu-central-1") == "https://login.mypurecloud.de/oauth/token"


@shows(ours, A6=tokens.EveryoneAsks)
async def test_all_who_need_a_token_at_once_share_one_request(make, server, place):
    source = make(*place)
    given = await asyncio.gather(*(source.get() for _ in range(20)))
    assert len(set(given)) == 1
    assert server.requests == 1


@shows(ours, tokens.Tokens, A6=tokens.FetchedOnce)
async def test_a_reconnect_after_the_token_has_expired_gets_another(make, server, place, clock):
    source = make(*place)
    await source.get()
    clock.advance(server.lifetime_s + 1)
    assert server.is_valid(await source.get())
