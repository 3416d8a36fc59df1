"""The questions over real HTTP to a small stand-in: what is taken down, who is over, what a failure changes."""

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from ingest.pausing import PauseBook, PauseState
from ingest.platform import Platform
from ingest.polling import Limits
from ingest.protocol import Ended
from ingest.withheld import Witness
from runtime.clock import ManualClock, SystemClock
from runtime.http import HttpClient
from runtime.oauth import TokenSource
from schemas.symbols import Reason
from simulators.http_server.server import Fault, serving
from simulators.oauth.server import OAuthServer
from simulators.platform.conversation import Conversation
from simulators.platform.server import PlatformServer

LIMITS = Limits(interval_s=0.02, per_minute=60_000, stale_s=60)
ACTIVE, PAUSED = b'{"securePause": false}', b'{"recordingState": "paused"}'
ENDED = b'{"endTime": "2020-01-01T00:00:00Z"}'
METRIC = "callstream_ingest_platform_"


@dataclass
class FakePlatform:
    """Answers each conversation with its body; what its script says next comes first.

    That is a status with headers, or an event to wait for before the answer.
    """

    oauth: OAuthServer
    bodies: dict[str, bytes] = field(default_factory=dict)
    script: dict[str, deque[tuple[int, dict[str, str]] | asyncio.Event]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0

    def application(self) -> Starlette:
        return Starlette(routes=[Route("/api/v2/conversations/{name}", self.answer)])

    async def answer(self, request):
        name = request.path_params["name"]
        self.asked.append(name)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self._answer(request, name)
        finally:
            self.under_way -= 1

    async def _answer(self, request, name):
        if not self.oauth.is_valid(request.headers.get("authorization", "").removeprefix("Bearer ")):
            return Response(status_code=401)
        turn = self.script[name].popleft() if self.script.get(name) else None
        if isinstance(turn, asyncio.Event):
            await turn.wait()
        elif turn is not None:
            return Response(b"{}", turn[0], turn[1])
        body = self.bodies.get(name)
        return Response(body, 200) if body is not None else Response(b"{}", 404)

    async def times(self, name: str, number: int) -> None:
        """Wait until so many more questions about one came."""
        wanted = self.asked.count(name) + number
        while self.asked.count(name) < wanted:
            await asyncio.sleep(0.002)


class FixedWall(SystemClock):
    """Real time, but for the wall clock: that stands still."""

    def wall_s(self) -> float:
        return 1_700_000_000.0


class Rig:
    """A platform, who asks it, and who was told to be over."""

    def __init__(self, http, url, oauth, fake):
        self.clock = FixedWall()
        self.fake = fake
        self.oauth = oauth
        self.http = http
        self.book = PauseBook()
        self.witness = Witness()
        self.over: list[tuple[str, Ended]] = []
        self.url = url
        self.token = TokenSource(http, oauth.url, "client", SecretStr("secret"), self.clock)

    @contextlib.asynccontextmanager
    async def asking(self, *conversations: str, limits: Limits = LIMITS):
        platform = Platform(
            self.http,
            lambda name: f"{self.url}/api/v2/conversations/{name}",
            self.token,
            self.book,
            self.clock,
            limits=limits,
            over=lambda name, ended: self.over.append((name, ended)),
            witness=self.witness,
        )
        for name in conversations:
            platform.watch(name)
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(platform.run())
            yield platform
            running.cancel()

    async def until(self, name: str, state: PauseState) -> None:
        while self.book.state(name) is not state:
            await asyncio.sleep(0.002)


class OAuth(OAuthServer):
    """Knows its own URL."""

    url: str = ""


@pytest.fixture
async def rig():
    oauth = OAuth()
    fake = FakePlatform(oauth)
    async with (
        oauth.serving() as oauth.url,
        serving(fake.application()) as url,
        HttpClient("platform-test", timeout_s=5, connections=16) as http,
    ):
        yield Rig(http, url, oauth, fake)


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(METRIC + name, labels) or 0.0


async def test_a_conversation_is_known_as_active_or_paused_as_the_platform_says(rig):
    rig.fake.bodies = {"a": ACTIVE, "b": PAUSED, "c": b"{}"}
    async with rig.asking("a", "b", "c"):
        await rig.until("a", PauseState.ACTIVE)
        await rig.until("b", PauseState.PAUSED)
        await rig.fake.times("c", 2)
        assert rig.book.state("c") is PauseState.UNKNOWN
        rig.fake.bodies |= {"a": PAUSED, "b": ACTIVE, "c": ACTIVE}
        await rig.until("a", PauseState.PAUSED)
        await rig.until("b", PauseState.ACTIVE)
        await rig.until("c", PauseState.ACTIVE)
    assert rig.over == []


async def test_what_the_platform_no_longer_says_is_unknown_again_but_a_pause_stays(rig):
    rig.fake.bodies = {"a": ACTIVE, "b": PAUSED}
    async with rig.asking("a", "b"):
        await rig.until("a", PauseState.ACTIVE)
        await rig.until("b", PauseState.PAUSED)
        rig.fake.bodies = {"a": b"{}", "b": b"{}"}
        await rig.until("a", PauseState.UNKNOWN)
        await rig.fake.times("b", 3)
        assert rig.book.state("b") is PauseState.PAUSED
        rig.fake.bodies["b"] = ACTIVE
        await rig.until("b", PauseState.ACTIVE)


async def test_a_conversation_that_does_not_exist_is_over_and_no_other_is(rig):
    before = metric("questions_total", outcome="missing")
    rig.fake.bodies = {str(number): ACTIVE for number in range(49)}
    async with rig.asking("missing", *rig.fake.bodies):
        for name in rig.fake.bodies:
            await rig.until(name, PauseState.ACTIVE)
        await rig.fake.times("0", 3)
    assert rig.over == [("missing", Ended(Reason.OTHER, not_available=True, code=404))]
    assert rig.fake.asked.count("missing") == 1
    assert metric("questions_total", outcome="missing") == before + 1


@pytest.mark.parametrize(("ago_s", "over"), [(60.001, True), (60.0, True), (59.999, False), (-3600.0, False)])
async def test_a_conversation_is_over_when_its_end_is_longer_ago_than_the_window(rig, ago_s, over):
    body = b'{"endTime": "%s"}' % iso(rig.clock.wall_s() - ago_s).encode()
    rig.fake.bodies = {"a": body, "b": ACTIVE}
    async with rig.asking("a", "b"):
        await rig.fake.times("b", 3)
    assert rig.over == ([("a", Ended(Reason.END, not_available=True))] if over else [])
    assert (rig.fake.asked.count("a") == 1) is over


@pytest.mark.parametrize(("window_s", "over"), [(0.0, True), (1e9, False)])
async def test_how_long_after_its_end_a_conversation_has_media_is_a_setting(rig, window_s, over):
    rig.fake.bodies = {"a": ENDED, "b": ACTIVE}
    limits = Limits(interval_s=0.02, per_minute=60_000, window_s=window_s)
    async with rig.asking("a", "b", limits=limits):
        await rig.fake.times("b", 3)
    assert bool(rig.over) is over


async def test_what_was_known_of_a_conversation_holds_while_its_last_audio_comes(rig):
    rig.fake.bodies = {"a": ACTIVE}
    async with rig.asking("a"):
        await rig.until("a", PauseState.ACTIVE)
        rig.fake.bodies["a"] = b'{"endTime": "%s"}' % iso(rig.clock.wall_s()).encode()
        await rig.fake.times("a", 3)
        assert rig.book.state("a") is PauseState.ACTIVE


@pytest.mark.parametrize("status", [500, 401])
async def test_without_a_token_one_conversation_asks_for_it_in_an_interval_and_not_each(rig, status):
    rig.oauth.script.extend([Fault(status=status)] * 1_000)
    names = [f"c{number}" for number in range(20)]
    async with rig.asking(*names, limits=Limits(interval_s=0.5, per_minute=60_000, stale_s=60)):
        began_s = rig.clock.monotonic_s()
        while rig.oauth.requests < 3:
            await asyncio.sleep(0.002)
        assert rig.clock.monotonic_s() - began_s > 0.4
        rig.oauth.script.clear()
        rig.fake.bodies = dict.fromkeys(names, ACTIVE)
        for name in names:
            await rig.until(name, PauseState.ACTIVE)
    assert rig.over == []


async def test_an_end_that_lies_far_ahead_lets_nothing_go_on_holding(rig):
    rig.fake.bodies = {"a": ACTIVE}
    async with rig.asking("a"):
        await rig.until("a", PauseState.ACTIVE)
        rig.fake.bodies["a"] = b'{"endTime": "%s"}' % iso(rig.clock.wall_s() + 3600).encode()
        await rig.until("a", PauseState.UNKNOWN)
    assert rig.over == []


async def test_a_token_that_is_refused_is_replaced_and_the_question_put_again(rig):
    rig.fake.bodies = {"a": ACTIVE}
    await rig.token.get()
    rig.oauth.revoke_all()
    async with rig.asking("a", limits=Limits(interval_s=3600, per_minute=60_000)):
        await rig.until("a", PauseState.ACTIVE)
    assert rig.fake.asked == ["a", "a"]
    assert rig.oauth.issued == 2


async def test_tokens_that_are_refused_again_and_again_make_no_hot_loop(rig):
    rig.oauth.lifetime_s = 0
    limits = Limits(interval_s=0.2, per_minute=60_000)
    async with rig.asking("a", limits=limits):
        await rig.fake.times("a", 6)
        began_s = rig.clock.monotonic_s()
        await rig.fake.times("a", 4)
        assert rig.clock.monotonic_s() - began_s > 0.2
    assert rig.over == []


async def test_a_platform_that_refuses_every_token_takes_none_from_those_who_dial_with_it(rig):
    rig.oauth.is_valid = lambda _: False
    async with rig.asking("a", "b", "c"):
        await rig.fake.times("a", 20)
        held = await rig.token.get()
        await rig.fake.times("a", 20)
        assert rig.token.current() == held
    assert rig.oauth.issued == 2


async def test_a_token_that_is_refused_after_others_were_taken_is_replaced_at_once(rig):
    rig.fake.bodies = {"a": ACTIVE}
    async with rig.asking("a"):
        for number in range(3):
            await rig.until("a", PauseState.ACTIVE)
            await rig.fake.times("a", 2)
            assert rig.oauth.issued == number + 1
            rig.oauth.revoke_all()
            await rig.fake.times("a", 3)


@pytest.mark.parametrize("status", [400, 403, 500, 503, 302])
async def test_an_error_changes_nothing(rig, status):
    rig.fake.bodies = {"a": ACTIVE, "b": PAUSED}
    async with rig.asking("a", "b"):
        await rig.until("a", PauseState.ACTIVE)
        await rig.until("b", PauseState.PAUSED)
        rig.fake.script = {name: deque([(status, {})] * 3) for name in "ab"}
        while any(rig.fake.script.values()):
            await asyncio.sleep(0.002)
        assert (rig.book.state("a"), rig.book.state("b")) == (PauseState.ACTIVE, PauseState.PAUSED)
    assert rig.over == []


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"null", b"\xff", b'{"endTime": [], "participants": {"calls": 1}}'])
async def test_an_answer_that_makes_no_sense_changes_nothing_and_ends_nobody(rig, body):
    rig.fake.bodies = {"a": body, "b": ACTIVE}
    async with rig.asking("a", "b"):
        await rig.until("b", PauseState.ACTIVE)
        await rig.fake.times("a", 3)
        assert rig.book.state("a") is PauseState.UNKNOWN
    assert rig.over == []


async def test_a_state_for_which_no_answer_comes_any_more_is_unknown_and_a_pause_stays(rig):
    before = metric("stale_total")
    rig.fake.bodies = {"a": ACTIVE, "b": PAUSED}
    async with rig.asking("a", "b", limits=Limits(interval_s=0.02, per_minute=60_000, stale_s=0.3)):
        await rig.until("a", PauseState.ACTIVE)
        await rig.until("b", PauseState.PAUSED)
        rig.fake.script = {name: deque([(500, {})] * 10_000) for name in "ab"}
        await rig.until("a", PauseState.UNKNOWN)
        while metric("stale_total") < before + 2:
            await asyncio.sleep(0.002)
        assert rig.book.state("b") is PauseState.PAUSED
        rig.fake.script.clear()
        await rig.until("a", PauseState.ACTIVE)


async def test_all_questions_wait_when_the_platform_asks_for_it(rig):
    rig.fake.bodies = {"a": ACTIVE, "b": ACTIVE}
    rig.fake.script = {"a": deque([(429, {"retry-after": "1"})])}
    async with rig.asking("a", limits=Limits(interval_s=0.01, per_minute=60_000)) as platform:
        await rig.fake.times("a", 1)
        began_s = rig.clock.monotonic_s()
        await asyncio.sleep(0.05)
        platform.watch("b")
        await rig.until("b", PauseState.ACTIVE)
        assert rig.clock.monotonic_s() - began_s > 0.9


async def test_one_that_is_slow_holds_nobody_up_and_the_limit_at_once_is_kept(rig):
    rig.fake.bodies = {str(number): ACTIVE for number in range(20)}
    gate = asyncio.Event()
    rig.fake.script = {str(number): deque([gate]) for number in range(3)}
    async with rig.asking(*rig.fake.bodies, limits=Limits(interval_s=0.01, per_minute=60_000, concurrency=4)):
        await rig.fake.times("19", 3)
        assert rig.book.state("0") is PauseState.UNKNOWN
        gate.set()
        await rig.until("0", PauseState.ACTIVE)
    assert rig.fake.most_under_way == 4


async def test_a_server_that_is_gone_ends_nobody(rig):
    gone = Platform(
        rig.http,
        lambda _: "http://127.0.0.1:1/",
        rig.token,
        rig.book,
        rig.clock,
        limits=LIMITS,
        over=lambda name, ended: rig.over.append((name, ended)),
    )
    gone.watch("a")
    before = metric("questions_total", outcome="unavailable")
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(gone.run())
        while metric("questions_total", outcome="unavailable") < before + 3:
            await asyncio.sleep(0.002)
        running.cancel()
    assert rig.over == []


async def test_credentials_that_are_refused_end_nobody(rig):
    rig.oauth.clients = {}
    rig.fake.bodies = {"a": ACTIVE}
    before = metric("questions_total", outcome="credentials")
    async with rig.asking("a"):
        while metric("questions_total", outcome="credentials") < before + 2:
            await asyncio.sleep(0.002)
    assert (rig.over, rig.fake.asked) == ([], [])


async def test_who_is_unwatched_is_asked_about_no_more_and_a_late_answer_is_not_taken(rig):
    gate = asyncio.Event()
    rig.fake.script = {"a": deque([gate])}
    rig.fake.bodies = {"b": ACTIVE}
    before = metric("questions_total", outcome="missing") + metric("questions_total", outcome="unwanted")
    async with rig.asking("a", "b") as platform:
        await rig.fake.times("a", 1)
        platform.unwatch("a")
        platform.unwatch("a")
        platform.unwatch("never watched")
        await rig.until("b", PauseState.ACTIVE)
        gate.set()
        while metric("questions_total", outcome="missing") + metric("questions_total", outcome="unwanted") == before:
            await asyncio.sleep(0.002)
        platform.unwatch("b")
        assert rig.book.state("b") is PauseState.UNKNOWN
    assert rig.over == []
    assert rig.fake.asked.count("a") == 1


async def test_who_waits_for_the_end_of_a_pause_hears_of_it_and_of_no_more_than_that(rig):
    heard: list[float] = []
    rig.fake.bodies = {"a": PAUSED}
    async with rig.asking():
        begun_s = rig.clock.monotonic_s()
        rig.witness.wait("a", heard.append)
        await rig.fake.times("a", 2)
        assert heard == []
        rig.fake.bodies = {"a": ACTIVE}
        while not heard:
            await asyncio.sleep(0.002)
        assert begun_s <= heard[0] <= rig.clock.monotonic_s()
        rig.witness.leave("a", heard.append)
        asked = rig.fake.asked.count("a")
        rig.witness.wait("b", heard.append)
        await rig.fake.times("b", 1)
        assert rig.fake.asked.count("a") <= asked + 1


@pytest.mark.parametrize("first", ["unfollowed", "left"])
async def test_a_call_that_is_followed_and_waited_for_is_asked_about_until_neither_is_so(rig, first):
    rig.fake.bodies = {"a": ACTIVE}

    def hear(as_of_s: float) -> None:
        pass

    async with rig.asking("a") as platform:
        rig.witness.wait("a", hear)
        ends = [lambda: platform.unwatch("a"), lambda: rig.witness.leave("a", hear)]
        one, other = ends if first == "unfollowed" else reversed(ends)
        one()
        await rig.fake.times("a", 2)
        await rig.until("a", PauseState.ACTIVE)
        other()
        assert rig.book.state("a") is PauseState.UNKNOWN


async def test_an_error_in_one_callback_does_not_stop_the_others(rig):
    rig.fake.bodies = {"b": ACTIVE}
    platform = Platform(
        rig.http,
        lambda name: f"{rig.url}/api/v2/conversations/{name}",
        rig.token,
        rig.book,
        rig.clock,
        limits=LIMITS,
        over=lambda name, ended: {}[name],
    )
    platform.watch("missing")
    platform.watch("b")
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(platform.run())
        await rig.fake.times("b", 3)
        running.cancel()
    assert rig.book.state("b") is PauseState.ACTIVE


async def test_how_old_answers_become_is_measured(rig):
    before = metric("answer_age_seconds_count")
    total_s = metric("answer_age_seconds_sum")
    rig.fake.bodies = {"a": ACTIVE}
    await rig.token.get()
    async with rig.asking("a", limits=Limits(interval_s=0.1, per_minute=60_000)):
        await rig.fake.times("a", 4)
        number = metric("answer_age_seconds_count") - before
        assert number >= 2
        assert metric("answer_age_seconds_sum") - total_s >= 0.05 * number


async def test_an_id_is_watched_in_one_spelling(rig):
    name = "0b2c3d4e-abcd-4222-8333-94445556667f"
    rig.fake.bodies = {name: PAUSED}
    async with rig.asking(name.upper(), name):
        await rig.until(name, PauseState.PAUSED)
        await rig.fake.times(name, 2)
        assert metric("conversations_open") == 1
    assert set(rig.fake.asked) == {name}


async def test_too_many_conversations_for_the_rate_are_named_once(rig, capsys):
    limits = Limits(interval_s=5, per_minute=60, stale_s=15)
    platform = Platform(rig.http, str, rig.token, rig.book, rig.clock, limits=limits, over=lambda name, ended: None)
    for number in range(20):
        platform.watch(str(number))
    assert capsys.readouterr().err.count("more conversations are followed") == 1


async def test_no_token_is_shown_anywhere(rig, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    rig.fake.bodies = {"a": ACTIVE}
    rig.fake.script = {"a": deque([(403, {}), (500, {}), (302, {})])}
    async with rig.asking("a", "missing"):
        await rig.until("a", PauseState.ACTIVE)
    token = await rig.token.get()
    assert token not in caplog.text + "".join(capsys.readouterr())


# --- against the stand-in of the platform ---------------------------------------------------------------------------


@pytest.fixture
async def standin(rig):
    """The stand-in on a manual clock, asked by the rig."""
    clock = ManualClock(rig.clock.wall_s())
    server = PlatformServer(rig.oauth.is_valid, clock)
    async with server.serving() as rig.url:
        yield server


async def test_the_pauses_of_a_call_are_seen_as_they_come_and_go(rig, standin):
    standin.add(Conversation("a", pauses=((10, 20), (30, 40))))
    standin.add(Conversation("b", tells_pause=False))
    async with rig.asking("a", "b"):
        for state in (PauseState.ACTIVE, PauseState.PAUSED, PauseState.ACTIVE, PauseState.PAUSED, PauseState.ACTIVE):
            await rig.until("a", state)
            standin.clock.advance(10)
        assert rig.book.state("b") is PauseState.UNKNOWN
    assert (rig.over, standin.leaks) == ([], 0)


async def test_of_many_calls_those_that_ended_or_are_not_known_are_over_and_the_others_go_on(rig, standin):
    standin.clock.advance(-100)
    for number in range(12):
        standin.add(Conversation(str(number), ends_after_s=40 if number < 3 else 41 if number < 6 else None))
    standin.clock.advance(100)
    asked = [*map(str, range(12)), "never known"]
    standin.fail("7", Fault(status=500), Fault(body=b"<html>"), Fault(status=503), Fault(status=403))
    async with rig.asking(*asked, limits=Limits(interval_s=0.02, per_minute=60_000, window_s=60, concurrency=3)):
        await rig.until("7", PauseState.ACTIVE)
        while len(rig.over) < 4:
            await asyncio.sleep(0.002)
        before = standin.counts()["5"]
        while standin.counts()["5"] < before + 2:
            await asyncio.sleep(0.002)
    assert {name: ended.reason for name, ended in rig.over} == {
        "0": Reason.END,
        "1": Reason.END,
        "2": Reason.END,
        "never known": Reason.OTHER,
    }
    assert all(ended.not_available for _, ended in rig.over)
    assert standin.most_at_once <= 3


async def test_a_call_that_the_platform_forgets_is_over(rig, standin):
    standin.add(Conversation("a"))
    async with rig.asking("a"):
        await rig.until("a", PauseState.ACTIVE)
        standin.remove("a")
        while not rig.over:
            await asyncio.sleep(0.002)
    assert rig.over == [("a", Ended(Reason.OTHER, not_available=True, code=404))]
    assert rig.book.state("a") is PauseState.UNKNOWN


def iso(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
