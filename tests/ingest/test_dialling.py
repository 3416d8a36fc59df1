"""Which line a call goes to, over fake connections. One line: test_line.py. Real connections: tests/integration."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY

from ingest.config import IngestSettings
from ingest.dial import Dial, DialledSource
from ingest.dialling import LONGEST_ID_CHARACTERS, Dialling
from ingest.protocol import Call, Ended
from schemas.symbols import Reason
from tests.ingest.test_line import LOST, PATIENT, SPENT, FakeDialer, Machine
from tests.ingest.test_session import FakeOutlet, Pipe, surroundings

MANY, ONE = "fake-many", "fake-one"
END = Ended(Reason.END)
UUID = "0b2c3d4e-abcd-4222-8333-94445556667f"


class Rig(Dialling):
    """Two sources, of three calls a connection and of one; every dial leads to a pipe that stays."""

    def __init__(self, url: str = "ws://localhost", policy=PATIENT) -> None:
        self.outlet = FakeOutlet()
        self.machines: list[Machine] = []
        self.names: list[str] = []
        self.pipes: list[Pipe] = []
        self.scripts: list[list[Pipe | Exception]] = []
        self._url, self._policy = url, policy
        sources = [DialledSource(MANY, 3, self._dial, (), self._why), DialledSource(ONE, 1, self._dial, (), self._why)]
        self.watched: list[str] = []
        super().__init__(sources, surroundings(self.outlet), None, watch=self)

    def watch(self, conversation_id: str) -> None:
        assert conversation_id not in self.watched or (ONE, conversation_id) in self.followed
        self.watched = [*dict.fromkeys([*self.watched, conversation_id])]

    def unwatch(self, conversation_id: str) -> None:
        assert conversation_id not in [followed for _, followed in self.followed]
        if conversation_id in self.watched:
            self.watched.remove(conversation_id)

    def _why(self, call: Call) -> str | None:
        return "it is bad" if call.conversation_id == "bad" else None

    def _dial(self, name: str, calls: Sequence[Call]) -> Dial:
        def make() -> Machine:
            self.machines.append(Machine(calls))
            return self.machines[-1]

        self.names.append(name)
        return Dial("fake", name, self._url, self._policy, make, 3600)

    def _dialer(self, dial: Dial) -> FakeDialer:
        if dial.url != "ws://localhost":
            return super()._dialer(dial)
        self.pipes.append(Pipe())
        return FakeDialer(*(self.scripts.pop(0) if self.scripts else [self.pipes[-1]]))

    def ids(self) -> list[list[str]]:
        """The calls of the lines of the first source."""
        return [sorted(line.calls) for line in self._lines[MANY]]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            tasks.create_task(self.run())
            await asyncio.sleep(0)
            yield
            self.drain()

    async def up(self, line: int) -> Pipe:
        while not self.pipes[line].sent:
            await asyncio.sleep(0)
        return self.pipes[line]

    async def lines(self, count: int) -> None:
        while len(self._all()) != count:
            await asyncio.sleep(0)


def follow(rig: Rig, *ids: str, source: str = MANY) -> None:
    for each in ids:
        assert rig.follow(source, Call(each)) is None


def owned() -> float:
    found = [REGISTRY.get_sample_value("callstream_ingest_connections_owned", {"source": name}) for name in (MANY, ONE)]
    return sum(value or 0.0 for value in found)


def test_a_url_gets_domain_and_region_and_its_ids_cannot_leave_their_place():
    settings = IngestSettings(genesys_region="eu-central-1")
    template = "wss://api.{domain}/{region}/apps/{app_id}/{websocket_id}"
    assert settings.place.fill(template, app_id="a b", websocket_id="../x?y#z") == (
        "wss://api.mypurecloud.de/eu-central-1/apps/a%20b/..%2Fx%3Fy%23z"
    )


# --- which line ------------------------------------------------------------------------------------------------------


def test_calls_share_a_line_up_to_the_limit_and_the_next_one_gets_another():
    rig = Rig()
    follow(rig, "a", "b", "c")
    assert rig.ids() == [["a", "b", "c"]]
    follow(rig, "d", "e")
    assert rig.ids() == [["a", "b", "c"], ["d", "e"]]
    assert rig.names == ["1", "2"]


def test_a_call_goes_where_most_calls_are_and_room_is_left():
    rig = Rig()
    follow(rig, "a", "b", "c", "d", "e")
    rig.unfollow(MANY, "a", END)
    rig.unfollow(MANY, "b", END)
    follow(rig, "f")
    assert rig.ids() == [["c"], ["d", "e", "f"]]
    follow(rig, "g")
    assert rig.ids() == [["c", "g"], ["d", "e", "f"]]


def test_where_a_connection_carries_one_call_each_gets_its_own_under_its_id():
    rig = Rig()
    follow(rig, "a", "b", source=ONE)
    assert rig.names == ["a", "b"]
    assert len(rig.machines) == 2


def test_a_call_is_followed_once_however_it_is_spelled_and_once_by_each_source():
    rig = Rig()
    follow(rig, UUID, UUID, UUID.upper())
    assert rig.ids() == [[UUID]]
    follow(rig, UUID, source=ONE)
    assert set(rig.followed) == {(MANY, UUID), (ONE, UUID)}
    rig.unfollow(MANY, UUID.upper(), END)
    assert set(rig.followed) == {(ONE, UUID)}


def test_the_calls_followed_are_those_that_were_asked_for():
    rig = Rig()
    call = Call("a", connection_id="c-1", organisation="org", parameters={"x": "y"})
    assert rig.follow(MANY, call) is None
    assert rig.followed == {(MANY, "a"): call}


@pytest.mark.parametrize(
    ("source", "call", "words"),
    [
        ("nobody", "a", "no such source"),
        (MANY, "bad", "it is bad"),
        (MANY, "", "1 to 200 characters"),
        (MANY, "x" * (LONGEST_ID_CHARACTERS + 1), "1 to 200 characters"),
    ],
)
def test_a_call_that_cannot_be_followed_is_refused_with_the_reason(source, call, words):
    rig = Rig()
    assert words in rig.follow(source, Call(call))
    assert (rig.followed, rig.machines) == ({}, [])


def test_the_longest_id_is_followed():
    rig = Rig()
    follow(rig, "x" * LONGEST_ID_CHARACTERS)
    assert len(rig.followed) == 1


def test_a_url_that_cannot_be_dialled_is_a_reason_too():
    rig = Rig(url="ftp://localhost")
    assert "ws:// or wss://" in rig.follow(MANY, Call("a"))
    assert (rig.followed, rig._all()) == ({}, [])


def test_what_is_not_followed_can_be_unfollowed():
    rig = Rig()
    follow(rig, "a")
    rig.unfollow(MANY, "b", END)
    rig.unfollow("nobody", "a", END)
    assert set(rig.followed) == {(MANY, "a")}


@pytest.mark.parametrize("where", ["conversation_id", "connection_id", "queue", "parameters"])
def test_a_call_with_a_text_that_cannot_be_written_is_refused_and_blocks_no_other(where):
    rig = Rig()
    given = {"conversation_id": "b", where: {"org": "\ud800"} if where == "parameters" else "\ud800"}
    assert "UTF-8" in (rig.follow(MANY, Call(**given)) or "")
    follow(rig, "a")
    assert rig.ids() == [["a"]]


# --- while it runs ---------------------------------------------------------------------------------------------------


def test_a_conversation_is_watched_while_any_source_follows_it():
    rig = Rig()
    follow(rig, "a", "b")
    follow(rig, "a", source=ONE)
    assert rig.follow(ONE, Call("bad")) is not None
    assert rig.watched == ["a", "b"]
    rig.unfollow(MANY, "a", END)
    assert rig.watched == ["a", "b"]
    rig.unfollow(ONE, "a", END)
    assert rig.watched == ["b"]


def test_a_conversation_that_is_over_is_unfollowed_in_every_source():
    rig = Rig()
    follow(rig, UUID, "b")
    follow(rig, UUID, source=ONE)
    rig.end(UUID.upper(), END)
    rig.end("never followed", END)
    assert set(rig.followed) == {(MANY, "b")}
    assert rig.watched == ["b"]


async def test_a_call_that_ended_by_itself_is_watched_no_more():
    rig = Rig()
    follow(rig, "a", "b", "c", "d")
    async with rig.running():
        (await rig.up(0)).arriving.put_nowait("-b")
        while (MANY, "b") in rig.followed:
            await asyncio.sleep(0)
        assert rig.watched == ["a", "c", "d"]


async def test_calls_come_and_go_while_it_runs_and_a_line_without_calls_ends():
    rig = Rig()
    async with rig.running():
        follow(rig, "a", "b")
        pipe = await rig.up(0)
        follow(rig, "c", "d")
        await rig.up(1)
        assert owned() == 2
        for each in "abc":
            rig.unfollow(MANY, each, END)
        await rig.lines(1)
        assert (rig.ids(), owned()) == ([["d"]], 1)
        assert pipe.closed == [1000, 1000]
        assert rig.outlet.kinds().count("OPENED") == 4
    assert owned() == 0
    assert rig.outlet.kinds().count("CLOSED") == 4


async def test_a_call_may_come_back_at_once_and_has_one_session_at_a_time():
    rig = Rig()
    async with rig.running():
        follow(rig, "a")
        await rig.up(0)
        for _ in range(3):
            rig.unfollow(MANY, "a", END)
            follow(rig, "a")
        await rig.lines(1)
        await rig.up(len(rig.pipes) - 1)
    assert rig.outlet.kinds() == ["OPENED", "CLOSED"] * 2


async def test_a_call_that_the_peer_ended_is_no_longer_followed_and_may_be_followed_anew():
    rig = Rig()
    async with rig.running():
        follow(rig, "a", "b")
        pipe = await rig.up(0)
        pipe.arriving.put_nowait("-a")
        while (MANY, "a") in rig.followed:
            await asyncio.sleep(0)
        follow(rig, "a")
        assert rig.ids() == [["a", "b"]]
    assert rig.outlet.kinds().count("OPENED") == 3


async def test_a_call_stays_followed_over_lost_connections_and_spent_budgets():
    rig = Rig()
    rig.scripts = [[Pipe(LOST), SPENT]]
    async with rig.running():
        follow(rig, "a")
        while "CLOSED" not in rig.outlet.kinds():
            await asyncio.sleep(0)
        assert set(rig.followed) == {(MANY, "a")}
        assert rig.outlet.marks()[-1] == ("CLOSED", "BUDGET_SPENT")


async def test_a_line_that_fails_altogether_ends_no_other():
    rig = Rig()
    async with rig.running():
        follow(rig, "a", "b", "c", "d")
        await rig.up(1)
        broken, other = rig._lines[MANY]

        def fail(*_: object) -> None:
            raise ZeroDivisionError

        broken._session.end = fail
        broken._protocol.finished = True
        rig.pipes[0].arriving.put_nowait("-a")
        await rig.lines(1)
        assert rig._all() == [other]
        assert set(rig.followed) == {(MANY, "d")}
        follow(rig, "b")
        assert rig.ids() == [["b", "d"]]


async def test_lines_that_were_wanted_before_it_ran_are_begun_with_it():
    rig = Rig()
    follow(rig, "a", "b", "c", "d")
    assert owned() == 0
    async with rig.running():
        await rig.up(1)
        assert owned() == 2


async def test_a_drain_ends_all_lines_and_nothing_is_followed_after_it():
    rig = Rig()
    async with rig.running():
        follow(rig, "a", source=ONE)
        follow(rig, "b")
        await rig.up(1)
        rig.drain()
        assert "stopping" in rig.follow(MANY, Call("c"))
    assert [pipe.closed for pipe in rig.pipes] == [[1000, 1001], [1000, 1001]]
    assert rig.outlet.marks()[2:] == [("CLOSED", "DRAIN"), ("CLOSED", "DRAIN")]
    assert owned() == 0


async def test_a_drain_before_it_runs_dials_nobody():
    rig = Rig()
    follow(rig, "a")
    rig.drain()
    rig.keep_alive()
    async with asyncio.timeout(30):
        await rig.run()
    assert rig.machines[0].connections == 0


async def test_without_calls_it_runs_until_it_is_drained():
    rig = Rig()
    async with rig.running():
        rig.keep_alive()
        assert rig._all() == []
    assert rig.outlet.records == []
