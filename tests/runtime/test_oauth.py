import asyncio
import logging

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from runtime.clock import ManualClock
from runtime.errors import ConfigError, Unavailable
from runtime.http import HttpClient
from runtime.oauth import LONGEST_WAIT_S, LOOK_S, SHORTEST_WAIT_S, TokenSource
from simulators.oauth.server import Fault, OAuthServer

ID, SECRET = "client", "s3cret-of-the-client"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def server(clock):
    return OAuthServer({ID: SECRET}, lifetime_s=86_400, clock=clock)


@pytest.fixture
async def source(server, clock):
    async with server.serving() as url, HttpClient("oauth", timeout_s=5, clock=clock) as http:
        yield TokenSource(http, url, ID, SecretStr(SECRET), clock, settings=("X_CLIENT_ID", "X_CLIENT_SECRET"))


def counted(outcome):
    return REGISTRY.get_sample_value("callstream_oauth_requests_total", {"outcome": outcome}) or 0.0


async def outcomes(source, number):
    """Ask so many times at once; return tokens and errors."""
    return await asyncio.gather(*(source.get() for _ in range(number)), return_exceptions=True)


async def test_a_token_is_kept_while_it_is_fresh(source, server):
    token = await source.get()
    assert await source.get() == token
    assert server.is_valid(token)
    assert (server.requests, server.leaks) == (1, 0)


@pytest.mark.parametrize(
    ("lifetime_s", "kept_s"),
    [(86_400, 86_100), (3_600, 3_300), (3_000, 2_700), (600, 540), (300, 270), (10, 9), (300 * 3600, 48 * 3600 - 300)],
)
async def test_a_token_is_renewed_shortly_before_it_expires(source, server, clock, lifetime_s, kept_s):
    server.lifetime_s = lifetime_s
    first = await source.get()
    clock.advance(kept_s - 0.5)
    assert await source.get() == first
    clock.advance(0.5)
    assert server.is_valid(first)
    assert await source.get() != first
    assert server.requests == 2


@pytest.mark.parametrize("stated", [None, 0, -5, "soon", "", True, [], float("nan")])
async def test_a_life_that_makes_no_sense_counts_as_short(source, server, clock, stated):
    body = '{"access_token": "abc", "token_type": "bearer", "expires_in": %s}'
    text = "NaN" if stated != stated else None  # noqa: PLR0124 - only NaN differs from itself
    server.script.append(Fault(body=(body % text).encode()) if text else Fault(changes={"expires_in": stated}))
    first = await source.get()
    clock.advance(53.5)
    assert await source.get() == first
    clock.advance(1)
    assert await source.get() != first


async def test_a_life_given_as_text_is_read(source, server, clock):
    server.script.append(Fault(changes={"expires_in": "600"}))
    first = await source.get()
    clock.advance(539)
    assert await source.get() == first


async def test_a_step_of_the_wall_clock_changes_nothing(source, server, clock):
    first = await source.get()
    clock._wall_s += 10 * 86_400
    assert await source.get() == first
    assert server.requests == 1


async def test_all_who_ask_at_once_share_one_request(source, server):
    tokens = await outcomes(source, 50)
    assert len(set(tokens)) == 1
    assert server.requests == 1


async def test_all_who_ask_at_once_share_its_failure(source, server):
    server.script.append(Fault(500))
    errors = await outcomes(source, 50)
    assert {type(error) for error in errors} == {Unavailable}
    assert server.requests == 1


async def asking(source, server, number):
    """Start so many tasks that ask, and return them when the request is on its way."""
    server.script.append(Fault(delay_s=0.05))
    tasks = [asyncio.get_running_loop().create_task(source.get()) for _ in range(number)]
    async with asyncio.timeout(30):
        while not server.requests:
            await asyncio.sleep(0.001)
    return tasks


async def test_one_who_waits_and_is_cancelled_does_not_cancel_the_request(source, server):
    leader, waiter, other = await asking(source, server, 3)
    waiter.cancel()
    assert await leader == await other
    assert waiter.cancelled()
    assert server.requests == 1


async def test_when_the_one_who_asked_is_cancelled_one_of_the_others_asks(source, server):
    leader, *others = await asking(source, server, 10)
    leader.cancel()
    tokens = await asyncio.gather(*others)
    assert len(set(tokens)) == 1
    assert server.is_valid(tokens[0])
    assert server.requests == 2


async def test_the_current_token_is_told_without_asking(source, server, clock):
    assert source.current() is None
    token = await source.get()
    assert source.current() == token
    clock.advance(48 * 3600)
    assert source.current() is None
    fresh = await source.get()
    source.invalidate(fresh)
    assert source.current() is None
    assert server.requests == 2


async def test_invalidating_brings_a_new_token(source, server):
    first = await source.get()
    source.invalidate(first)
    second = await source.get()
    assert second != first
    assert server.requests == 2


async def test_invalidating_an_older_token_keeps_the_newer_one(source, server):
    first = await source.get()
    source.invalidate(first)
    second = await source.get()
    source.invalidate(first)
    source.invalidate("never seen")
    assert await source.get() == second
    assert server.requests == 2


async def test_connections_whose_token_expired_at_once_share_the_new_one(source, server):
    old = await source.get()
    for _ in range(20):
        source.invalidate(old)
    assert len(set(await outcomes(source, 20))) == 1
    for _ in range(20):
        source.invalidate(old)
    await source.get()
    assert server.requests == 2


@pytest.mark.parametrize("status", [429, 503])
async def test_the_wait_the_server_asks_for_is_kept_by_all(source, server, clock, status):
    server.script.append(Fault(status, retry_after="30"))
    with pytest.raises(Unavailable) as error:
        await source.get()
    assert error.value.retry_after_s == 30
    clock.advance(10)
    waits = await outcomes(source, 5)
    assert [wait.retry_after_s for wait in waits] == [20] * 5
    assert server.requests == 1
    clock.advance(20)
    assert server.is_valid(await source.get())


async def test_a_failure_without_a_wait_may_be_tried_again_at_once(source, server):
    server.script.append(Fault(500))
    with pytest.raises(Unavailable):
        await source.get()
    assert server.is_valid(await source.get())


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_refused_credentials_are_the_operators_to_mend(source, server, status):
    server.script.append(Fault(status))
    with pytest.raises(ConfigError) as error:
        await source.get()
    assert error.value.mistakes == (
        f"X_CLIENT_ID and X_CLIENT_SECRET: the OAuth server refuses them with status {status}",
    )


async def test_a_wrong_secret_is_refused_by_the_server(server, clock):
    async with server.serving() as url, HttpClient("oauth", timeout_s=5) as http:
        with pytest.raises(ConfigError, match="OAUTH_CLIENT_SECRET") as error:
            await TokenSource(http, url, ID, SecretStr("wrong-secret"), clock).get()
    assert "wrong-secret" not in str(error.value)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault(body=b"<html>"), "not JSON"),
        (Fault(body=b"[]"), "no bearer token"),
        (Fault(body=b'"token"'), "no bearer token"),
        (Fault(changes={"access_token": None}), "no bearer token"),
        (Fault(changes={"access_token": ""}), "no bearer token"),
        (Fault(changes={"access_token": 5}), "no bearer token"),
        (Fault(changes={"access_token": "a\r\nX-Injected: b"}), "no bearer token"),
        (Fault(changes={"token_type": "mac"}), "no bearer token"),
        (Fault(404), "status 404"),
        (Fault(302), "status 302"),
    ],
)
async def test_an_answer_that_is_no_token_is_unavailable(source, server, fault, text):
    server.script.append(fault)
    with pytest.raises(Unavailable, match=text):
        await source.get()
    assert server.is_valid(await source.get())


async def test_a_token_type_may_be_missing_or_in_capitals(source, server):
    server.script += [Fault(changes={"token_type": None}), Fault(changes={"token_type": "Bearer"})]
    first = await source.get()
    source.invalidate(first)
    assert await source.get() != first


async def test_a_server_that_does_not_answer_in_time_is_unavailable(server, clock):
    server.script.append(Fault(delay_s=0.2))
    async with server.serving() as url, HttpClient("oauth", timeout_s=0.05) as http:
        with pytest.raises(Unavailable, match="no answer within"):
            await TokenSource(http, url, ID, SecretStr(SECRET), clock).get()


async def test_a_server_that_is_not_there_is_unavailable(clock):
    async with HttpClient("oauth", timeout_s=5) as http:
        with pytest.raises(Unavailable):
            await TokenSource(http, "http://127.0.0.1:1/oauth/token", ID, SecretStr(SECRET), clock).get()


async def test_requests_are_counted_by_how_they_ended(source, server):
    before = [counted(outcome) for outcome in ("token", "unavailable", "refused")]
    server.script += [Fault(500), Fault(401)]
    for _ in range(3):
        await outcomes(source, 1)
    assert [counted(outcome) for outcome in ("token", "unavailable", "refused")] == [n + 1 for n in before]


async def test_neither_secret_nor_token_is_shown_anywhere(source, server, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    server.script += [Fault(401), Fault(500), Fault(body=b"<html>")]
    errors = [repr(error) for _ in range(3) for error in await outcomes(source, 1)]
    token = await source.get()
    shown = " ".join([*errors, caplog.text, *capsys.readouterr(), repr(source), repr(source._token)])
    assert server.leaks == 0
    for private in (SECRET, token):
        assert private not in shown


class Sleeper:
    """Sleeps on a manual clock until `until_s`, then for ever. Each sleep ends at once, after `look`, if given."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.slept: list[float] = []
        self.until_s = 0.0
        self.look = None
        self.through = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        left_s = self.until_s - self.clock.monotonic_s()
        self.slept.append(seconds)
        self.clock.advance(min(seconds, left_s))
        if seconds > left_s:
            self.through.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        if self.look is not None:
            await self.look()


class Kept:
    """A token source that is kept fresh in the background, and what is to be seen of it."""

    def __init__(self, http: HttpClient, url: str, clock: ManualClock) -> None:
        self.sleeper = Sleeper(clock)
        self.source = TokenSource(http, url, ID, SecretStr(SECRET), clock, sleep=self.sleeper, draw=lambda: 0.0)

    async def run(self, until_s: float) -> None:
        """Let the background work up to this time of the clock."""
        self.sleeper.until_s = until_s
        running = asyncio.get_running_loop().create_task(self.source.keep_fresh())
        try:
            async with asyncio.timeout(20):
                through = asyncio.get_running_loop().create_task(self.sleeper.through.wait())
                await asyncio.wait({running, through}, return_when=asyncio.FIRST_COMPLETED)
                through.cancel()
        finally:
            assert not running.done(), "the background ended by itself"
            running.cancel()
            await asyncio.wait({running})


@pytest.fixture
async def kept(server, clock):
    async with server.serving() as url, HttpClient("oauth", timeout_s=5, clock=clock) as http:
        yield Kept(http, url, clock)


async def test_in_the_background_nobody_ever_waits_for_a_renewal(kept, server):
    server.lifetime_s = 600
    first = await kept.source.get()
    seen = [first]

    async def ask():
        before = server.requests
        seen.append(await kept.source.get())
        assert server.requests == before
        assert server.is_valid(seen[-1])

    kept.sleeper.look = ask
    await kept.run(until_s=10 * 540 + 10)
    assert len(dict.fromkeys(seen)) == server.requests == 11


async def test_the_background_asks_for_nothing_until_somebody_wanted_a_token(kept, server):
    await kept.run(until_s=100)
    assert server.requests == 0
    assert set(kept.sleeper.slept) == {LOOK_S}


@pytest.mark.parametrize(("lifetime_s", "renewed_s"), [(86_400, 86_100), (600, 540), (10, 9)])
async def test_the_background_renews_at_the_margin_and_not_before(kept, server, clock, lifetime_s, renewed_s):
    server.lifetime_s = lifetime_s
    await kept.source.get()
    clock.advance(renewed_s - 0.5)
    await kept.run(until_s=renewed_s - 0.5)
    assert server.requests == 1
    await kept.run(until_s=renewed_s)
    assert server.requests == 2


async def test_while_the_background_renews_the_old_token_is_handed_out(kept, server, clock):
    server.lifetime_s = 600
    first = await kept.source.get()
    clock.advance(541)
    server.script.append(Fault(delay_s=0.05))
    running = asyncio.get_running_loop().create_task(kept.source.keep_fresh())
    async with asyncio.timeout(30):
        while server.requests < 2:
            await asyncio.sleep(0.001)
    assert await kept.source.get() == first
    running.cancel()
    await asyncio.wait({running})


async def test_a_failing_renewal_backs_off_and_the_old_token_serves_until_it_is_about_to_expire(kept, server, clock):
    server.lifetime_s = 600
    server.script += [Fault(), *[Fault(500)] * 40]
    first = await kept.source.get()
    clock.advance(540)
    await kept.run(until_s=593)
    assert await kept.source.get() == first
    waits = kept.sleeper.slept
    assert waits == sorted(waits)
    assert waits[0] >= SHORTEST_WAIT_S
    assert len(waits) <= 7
    clock.advance(max(0.0, 594 - clock.monotonic_s()))
    with pytest.raises(Unavailable):
        await kept.source.get()


@pytest.mark.parametrize("status", [500, 401])
async def test_the_waits_of_the_background_end_at_the_longest_and_a_success_starts_them_over(kept, server, status):
    server.script += [Fault(status)] * 10
    with pytest.raises((Unavailable, ConfigError)):
        await kept.source.get()
    await kept.run(until_s=1000)
    assert server.is_valid(await kept.source.get())
    assert max(kept.sleeper.slept) <= LONGEST_WAIT_S
    assert kept.sleeper.slept.count(LONGEST_WAIT_S / 2) >= 2
    assert server.requests == 11


async def test_the_background_keeps_to_the_wait_the_server_asks_for(kept, server):
    server.script += [Fault(429, retry_after="120")]
    with pytest.raises(Unavailable):
        await kept.source.get()
    await kept.run(until_s=119)
    assert (server.requests, kept.sleeper.slept) == (1, [120])
    await kept.run(until_s=121)
    assert server.requests == 2
    assert server.is_valid(await kept.source.get())


async def test_tokens_that_expire_at_once_make_no_hot_loop(kept, server):
    server.lifetime_s = 0.0
    server.script += [Fault(changes={"expires_in": 1e-6})] * 100
    await kept.source.get()
    await kept.run(until_s=20)
    assert server.requests <= 22


async def test_a_refused_token_is_replaced_in_the_background_and_only_that_one(kept, server):
    refused = await kept.source.get()
    kept.source.invalidate(refused)
    await kept.run(until_s=1)
    assert server.requests == 2
    second = await kept.source.get()
    kept.source.invalidate(refused)
    assert await kept.source.get() == second
    assert server.requests == 2


async def test_a_background_that_is_cancelled_while_it_asks_leaves_the_question_to_those_who_wait(kept, server, clock):
    await kept.source.get()
    kept.source.invalidate(kept.source._token.value)
    server.script.append(Fault(delay_s=0.05))
    running = asyncio.get_running_loop().create_task(kept.source.keep_fresh())
    async with asyncio.timeout(30):
        while server.requests < 2:
            await asyncio.sleep(0.001)
        waiting = asyncio.get_running_loop().create_task(kept.source.get())
        await asyncio.sleep(0)
        running.cancel()
        token = await waiting
    assert server.is_valid(token)
    assert server.requests == 3
    clock.advance(86_100)
    assert await kept.source.get() != token


async def test_without_a_background_the_old_token_serves_while_the_server_fails(source, server, clock):
    server.lifetime_s = 600
    first = await source.get()
    clock.advance(550)
    server.script += [Fault(500), Fault(401)]
    assert [await source.get(), await source.get()] == [first, first]
    assert await source.get() != first
