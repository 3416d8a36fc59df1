"""A line over fake connections: one after the other, given up, at fault, drained. Real ones: tests/integration."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from audio.frames import decode
from ingest.dial import Dial, DialledSource
from ingest.line import Line
from ingest.link import exhausted
from ingest.pausing import PauseRules
from ingest.protocol import (
    Call,
    CloseConnection,
    Effect,
    Ended,
    EventReceived,
    GiveUp,
    SendText,
    SessionClosed,
    SessionOpened,
)
from ingest.session import Surroundings
from runtime.clock import ManualClock
from runtime.errors import ConfigError, Unavailable
from runtime.supervision import ConnectionLost, GivenUp, Policy
from schemas import topics
from schemas.records import CallEvent, SessionInfo
from schemas.symbols import CallEventKind, ClosedBy, Reason, Source
from tests.ingest.test_session import STORE, FakeOutlet, Pipe, surroundings

SOURCE = "fake"
LOST = ConnectionLost(1006, "", ClosedBy.NETWORK)
SPENT = GivenUp("attempts", 5, None)
POLICY = Policy(close_timeout_s=0.05)
PATIENT = Policy(close_timeout_s=3600)


class FakeDialer:
    """Gives what is scripted, then nothing: a connection, or an error to raise."""

    def __init__(self, *script: Pipe | Exception) -> None:
        self.script = list(script)
        self.attempt = 1
        self.idle = asyncio.Event()
        self.invalidated: list[str] = []
        self.begun_anew = 0

    async def connect(self) -> Pipe:
        if not self.script:
            self.idle.set()
            await asyncio.Event().wait()
        item = self.script.pop(0)
        if isinstance(item, Exception):
            raise item
        return item

    def invalidate(self, token: str) -> None:
        self.invalidated.append(token)

    def begin_anew(self) -> None:
        self.begun_anew += 1


class Machine:
    """Sessions that live on over connections. "end" ends all, "fault" is a bug, "refuse" gives up; the rest are events.

    With `closes_on_drain` False it ignores being told to stop.
    """

    def __init__(self, calls: Sequence[Call], *, closes_on_drain: bool = True) -> None:
        self.finished = False
        self.connections = 0
        self.lost: list[int] = []
        self.tokens: list[str | None] = []
        self._up = False
        self._wanted = {call.conversation_id for call in calls}
        self._open: set[str] = set()
        self._closes_on_drain = closes_on_drain

    def use_token(self, token: str | None) -> None:
        self.tokens.append(token)

    def connected(self, now_s: float) -> list[Effect]:
        self.connections += 1
        self._up = True
        again = [_reconnected(key, None) for key in sorted(self._open)]
        return [*again, *self._opened(self._wanted - self._open), SendText("subscribe")]

    def follow(self, call: Call, now_s: float) -> list[Effect]:
        if call.conversation_id == "fault":
            raise ZeroDivisionError
        self._wanted.add(call.conversation_id)
        return [*self._opened({call.conversation_id}), SendText(f"+{call.conversation_id}")] if self._up else []

    def unfollow(self, conversation_id: str, ended: Ended, now_s: float) -> list[Effect]:
        self._wanted.discard(conversation_id)
        self.finished = not self._wanted
        return self._ended({conversation_id} & self._open, ended.reason) + [CloseConnection(1000)] * self.finished

    def receive_text(self, text: str, now_s: float) -> list[Effect]:
        if text == "fault":
            raise ZeroDivisionError
        if text == "refuse":
            return [GiveUp("the scope is missing", token_refused=True)]
        if text == "expired":
            return [CloseConnection(3000, token_refused=True)]
        if text == "end":
            self.finished = True
            return self._ended(self._open, Reason.END)
        if text.startswith("-"):
            self._wanted.discard(text[1:])
            return self._ended({text[1:]}, Reason.END)
        return [_reconnected(key, text) for key in sorted(self._open)]

    def receive_binary(self, data: bytes, now_s: float) -> list[Effect]:
        return []

    def disconnected(self, now_s: float, code: int, reason: str, closed_by: ClosedBy) -> list[Effect]:
        self._up = False
        self.lost.append(code)
        return []

    def timeout(self, now_s: float) -> list[Effect]:
        return []

    def deadline_s(self) -> float | None:
        return None

    def drain(self, now_s: float) -> list[Effect]:
        if not self._closes_on_drain:
            return []
        self.finished = True
        return [*self._ended(self._open, Reason.DRAIN), CloseConnection(1000)]

    def gave_up(self, now_s: float) -> list[Effect]:
        return [*map(exhausted, sorted(self._open)), *self._ended(self._open, Reason.BUDGET_SPENT)]

    def _opened(self, keys: set[str]) -> list[Effect]:
        self._open |= keys
        return [
            SessionOpened(key, SessionInfo(conversation_id=key), Source.OTHER, 8000, states_pauses=False)
            for key in sorted(keys)
        ]

    def _ended(self, keys: set[str], reason: Reason) -> list[Effect]:
        keys = set(keys)
        self._open -= keys
        return [SessionClosed(key, reason) for key in sorted(keys)]


def _reconnected(key: str, message: str | None) -> EventReceived:
    event = CallEvent(kind=CallEventKind.RECONNECT, conversation_id="", session_id="", message=message)
    return EventReceived(key, event)


class Rig:
    """A line whose machines are kept. It begins with `call-1`."""

    def __init__(
        self,
        *script: Pipe | Exception,
        around: Surroundings | None = None,
        policy: Policy = POLICY,
        rest_s: float = 0,
        wants_token: bool = False,
        words_pass: bool = False,
        **machine: bool,
    ) -> None:
        self.outlet = FakeOutlet()
        around = around or replace(surroundings(self.outlet), rules=PauseRules(publish_when_unknown=words_pass))
        self.dialer = FakeDialer(*script)
        self.machines: list[Machine] = []
        self.over: list[str] = []
        self._machine = machine

        def dial(name: str, calls: Sequence[Call]) -> Dial:
            def make() -> Machine:
                self.machines.append(Machine(calls, **self._machine))
                return self.machines[-1]

            return Dial(SOURCE, name, "ws://localhost", policy, make, rest_s, wants_token=wants_token)

        source = DialledSource(SOURCE, 3, dial, (), lambda _: None)
        self.line = Line(
            source,
            "1",
            Call("call-1"),
            around,
            make_dialer=lambda _: self.dialer,
            over=self.over.append,
        )

    @asynccontextmanager
    async def running(self, pipe: Pipe | None = None) -> AsyncIterator[None]:
        """Run the line, and drain it at the end; begin as soon as it serves `pipe`, or has dialled in vain."""
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            tasks.create_task(self.line.run())
            while not (pipe.sent if pipe is not None else self.dialer.idle.is_set()):
                await asyncio.sleep(0)
            yield
            self.line.drain()

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            await asyncio.sleep(0)

    def events(self, kind: CallEventKind) -> list[CallEvent]:
        found = [STORE.decode(r.value, CallEvent) for r in self.outlet.records if r.topic == topics.EVENTS.name]
        return [event for event in found if event.kind is kind]

    def opened(self) -> list[str]:
        """The conversations of the sessions, in the order in which those were opened."""
        return [event.conversation_id for event in self.events(CallEventKind.OPENED)]

    @property
    def infos(self) -> list[SessionInfo]:
        values = [record.value for record in self.outlet.records if record.topic == topics.AUDIO.name]
        return list(decode(values, STORE).infos.values())


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"callstream_ingest_{name}", {"source": SOURCE, **labels}) or 0.0


async def test_a_session_lives_on_over_connections_and_each_is_closed():
    first, second = Pipe("a", LOST), Pipe("b", "end")
    rig = Rig(first, second)
    await rig.line.run()
    assert rig.outlet.marks() == [("OPENED", "UNKNOWN"), ("CLOSED", "END")]
    assert (first.sent, second.sent) == (["subscribe"], ["subscribe"])
    assert (first.closed, second.closed) == ([1000], [1000])
    assert rig.machines[0].lost == [1006, 1006]


async def test_a_session_is_told_how_many_tries_its_next_connection_took():
    first, second = Pipe(LOST), Pipe("end")
    first.attempt, second.attempt = 1, 4
    rig = Rig(first, second, words_pass=True)
    await rig.line.run()
    (told,) = rig.events(CallEventKind.RECONNECT)
    assert told.attempt == 4


async def test_a_line_is_counted_as_owned_and_while_it_is_up_as_open():
    pipe = Pipe()
    rig = Rig(pipe)
    assert metric("connections_owned") == 0
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(rig.line.run())
        while not pipe.sent:
            await asyncio.sleep(0)
        assert (metric("connections_open"), metric("connections_owned")) == (1, 1)
        pipe.arriving.put_nowait(LOST)
        await rig.dialer.idle.wait()
        assert (metric("connections_open"), metric("connections_owned")) == (0, 1)
        rig.line.drain()
    assert (metric("connections_open"), metric("connections_owned")) == (0, 0)


async def test_after_a_spent_budget_the_session_is_over_and_the_next_goes_on_from_it():
    rig = Rig(Pipe(LOST), SPENT, SPENT, Pipe("end"))
    await rig.line.run()
    assert rig.outlet.marks() == [
        ("OPENED", "UNKNOWN"),
        ("CLOSED", "BUDGET_SPENT"),
        ("OPENED", "UNKNOWN"),
        ("CLOSED", "END"),
    ]
    before, after = rig.infos
    assert before.continued_from is None
    assert after.continued_from is not None
    assert len(rig.machines) == 1


async def test_refused_credentials_rest_like_a_spent_budget_and_end_no_process():
    rig = Rig(Pipe(LOST), ConfigError(["INGEST_OAUTH_CLIENT_ID: refused"]), Pipe("end"))
    await rig.line.run()
    assert [reason for kind, reason in rig.outlet.marks() if kind == "CLOSED"] == ["BUDGET_SPENT", "END"]


async def test_a_fault_of_ours_ends_its_connection_alone():
    rig = Rig(Pipe("fault"), Pipe("end"))
    await rig.line.run()
    assert rig.outlet.marks() == [("OPENED", "UNKNOWN"), ("CLOSED", "END")]


async def test_a_dialer_at_fault_gets_a_new_machine_after_the_rest():
    rig = Rig(Pipe(LOST), Unavailable("not a word a dialer may say"), Pipe("end"))
    await rig.line.run()
    assert [reason for kind, reason in rig.outlet.marks() if kind == "CLOSED"] == ["OTHER", "END"]
    assert len(rig.machines) == 2


async def test_a_drain_ends_a_connection_the_way_of_its_protocol():
    pipe = Pipe()
    rig = Rig(pipe)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(rig.line.run())
        while not pipe.sent:
            await asyncio.sleep(0)
        rig.line.drain()
        rig.line.drain()
    assert rig.outlet.marks() == [("OPENED", "UNKNOWN"), ("CLOSED", "DRAIN")]
    assert pipe.closed == [1000, 1001]


async def test_a_drain_between_two_connections_waits_for_none():
    rig = Rig(Pipe(LOST), policy=PATIENT)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(rig.line.run())
        await rig.dialer.idle.wait()
        rig.line.drain()
    assert rig.outlet.marks() == [("OPENED", "UNKNOWN"), ("CLOSED", "DRAIN")]
    assert (rig.machines[0].connections, rig.machines[0].finished) == (1, True)


async def test_a_drain_ends_a_rest():
    rig = Rig(SPENT, policy=PATIENT, rest_s=3600)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(rig.line.run())
        while rig.dialer.script:
            await asyncio.sleep(0)
        rig.line.drain()
    assert rig.outlet.records == []


async def test_a_line_drained_before_it_began_dials_nobody():
    rig = Rig(Pipe("end"))
    rig.line.drain()
    await rig.line.run()
    assert rig.machines[0].connections == 0


async def test_a_line_over_which_nothing_more_comes_may_be_drained_afterwards():
    rig = Rig(Pipe("end"))
    await rig.line.run()
    rig.line.drain()
    assert rig.outlet.marks() == [("OPENED", "UNKNOWN"), ("CLOSED", "END")]


async def test_a_peer_that_ignores_the_drain_is_left_after_the_close_timeout():
    pipe = Pipe()
    rig = Rig(pipe, closes_on_drain=False)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(rig.line.run())
        while not pipe.sent:
            await asyncio.sleep(0)
        rig.line.drain()
    assert rig.outlet.marks() == [("OPENED", "UNKNOWN"), ("CLOSED", "DRAIN")]
    assert pipe.closed == [1001]


async def test_cancelled_a_line_closes_its_session():
    pipe = Pipe()
    rig = Rig(pipe)
    running = asyncio.get_running_loop().create_task(rig.line.run())
    while not pipe.sent:
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert rig.outlet.kinds() == ["OPENED", "CLOSED"]


async def test_a_quiet_session_writes_alive_also_while_there_is_no_connection():
    outlet, clock = FakeOutlet(), ManualClock()
    rig = Rig(Pipe(LOST), around=surroundings(outlet, clock))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(rig.line.run())
        await rig.dialer.idle.wait()
        clock.advance(60)
        rig.line.keep_alive()
        rig.line.drain()
    assert outlet.kinds() == ["OPENED", "ALIVE", "CLOSED"]


# --- calls that come and go ------------------------------------------------------------------------------------------


async def test_a_call_that_comes_while_the_line_waits_for_a_message_is_asked_for_at_once():
    pipe = Pipe()
    rig = Rig(pipe)
    async with rig.running(pipe):
        rig.line.follow(Call("call-2"))
        assert rig.outlet.kinds() == ["OPENED", "OPENED"]
        await rig.until(lambda: len(pipe.sent) == 2)
        assert set(rig.line.calls) == {"call-1", "call-2"}
    assert pipe.sent == ["subscribe", "+call-2"]
    assert rig.opened() == ["call-1", "call-2"]


async def test_what_calls_have_to_say_keeps_its_order_behind_a_message_that_is_being_sent():
    pipe = Pipe()
    pipe.blocked = True
    rig = Rig(pipe)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(rig.line.run())
        await rig.until(lambda: rig.machines[0].connections)
        for number in (2, 3):
            rig.line.follow(Call(f"call-{number}"))
        await asyncio.sleep(0)
        assert pipe.sent == []
        pipe.release.set()
        await rig.until(lambda: len(pipe.sent) == 3)
        rig.line.drain()
    assert pipe.sent == ["subscribe", "+call-2", "+call-3"]


async def test_a_call_that_comes_between_two_connections_is_in_the_next_ones_subscription():
    rig = Rig(Pipe(LOST))
    async with rig.running():
        rig.line.follow(Call("call-2"))
        assert rig.opened() == ["call-1"]
        second = Pipe()
        rig.dialer.script.append(second)
        assert rig.line.room("call-3")
    assert rig.outlet.marks() == [("OPENED", "UNKNOWN"), ("CLOSED", "DRAIN")]


async def test_a_call_that_goes_ends_at_once_and_the_line_stays_for_the_others():
    pipe = Pipe()
    rig = Rig(pipe)
    async with rig.running(pipe):
        rig.line.follow(Call("call-2"))
        rig.line.unfollow("call-1", Ended(Reason.END))
        assert rig.outlet.marks()[-1] == ("CLOSED", "END")
        assert set(rig.line.calls) == {"call-2"}
        assert rig.over == []
    assert rig.outlet.marks()[-1] == ("CLOSED", "DRAIN")


async def test_the_last_call_that_goes_ends_the_line():
    pipe = Pipe()
    rig = Rig(pipe)
    async with rig.running(pipe):
        rig.line.unfollow("call-1", Ended(Reason.END))
        await rig.until(lambda: pipe.closed)
        assert not rig.line.room("call-2")
    assert pipe.closed == [1000, 1000]
    assert rig.outlet.marks() == [("OPENED", "UNKNOWN"), ("CLOSED", "END")]


@pytest.mark.parametrize("script", [(), (SPENT,)], ids=["while it dials", "while it rests"])
async def test_the_last_call_that_goes_ends_the_wait_for_a_connection(script):
    rig = Rig(*script, policy=PATIENT, rest_s=3600)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(rig.line.run())
        await rig.until(lambda: not rig.dialer.script and (script or rig.dialer.idle.is_set()))
        await asyncio.sleep(0)
        rig.line.unfollow("call-1", Ended(Reason.END))
        await running
    assert rig.outlet.records == []


async def test_a_call_that_the_peer_ended_leaves_room_and_is_told():
    pipe = Pipe()
    rig = Rig(pipe)
    async with rig.running(pipe):
        for name in ("call-2", "call-3"):
            rig.line.follow(Call(name))
        assert not rig.line.room("call-4")
        pipe.arriving.put_nowait("-call-2")
        await rig.until(lambda: rig.over)
        assert rig.over == ["call-2"]
        assert rig.line.room("call-4")


async def test_a_call_that_went_takes_its_place_on_the_connection_until_the_next_one():
    pipe = Pipe()
    rig = Rig(pipe)
    async with rig.running(pipe):
        for name in ("call-2", "call-3"):
            rig.line.follow(Call(name))
        rig.line.unfollow("call-3", Ended(Reason.END))
        assert (rig.line.room("call-4"), rig.line.room("call-3")) == (False, True)
        second = Pipe()
        rig.dialer.script.append(second)
        pipe.arriving.put_nowait(LOST)
        await rig.until(lambda: second.sent)
        assert rig.line.room("call-4")


async def test_a_fault_in_taking_a_call_ends_the_connection_alone():
    pipe, second = Pipe(), Pipe()
    rig = Rig(pipe, second)
    async with rig.running(pipe):
        rig.line.follow(Call("fault"))
        await rig.until(lambda: second.sent)
    assert pipe.closed == [1011, 1000]
    assert rig.outlet.marks() == [("OPENED", "UNKNOWN"), ("CLOSED", "DRAIN")]


async def test_a_fault_in_taking_a_call_without_a_connection_ends_nothing():
    rig = Rig(Pipe(LOST))
    async with rig.running():
        rig.line.follow(Call("fault"))
    assert rig.outlet.marks() == [("OPENED", "UNKNOWN"), ("CLOSED", "DRAIN")]


async def test_another_machine_is_made_for_the_calls_that_are_left():
    rig = Rig(Pipe("-call-2", LOST), Unavailable("not a word a dialer may say"), Pipe("end"))
    rig.line.follow(Call("call-2"))
    rig.line.follow(Call("call-3"))
    await rig.line.run()
    assert rig.opened() == ["call-1", "call-2", "call-3", "call-1", "call-3"]
    assert sorted(rig.over) == ["call-1", "call-2", "call-3"]


# --- a peer that refuses in a message --------------------------------------------------------------------------------


async def test_a_peer_that_refuses_in_a_message_ends_the_sessions_and_is_tried_again_after_the_rest():
    first, second = Pipe("refuse"), Pipe("end")
    first.attempt, closed = 3, first.close

    async def close(code: int, reason: str) -> None:
        # a connection that we close ourselves is no failed attempt: the dialler forgets it
        rig.dialer.attempt = 2
        await closed(code, reason)

    first.close = close
    rig = Rig(first, second, words_pass=True)
    await rig.line.run()
    assert [reason for kind, reason in rig.outlet.marks() if kind == "CLOSED"] == ["BUDGET_SPENT", "END"]
    assert first.closed == [1000]
    (told,) = rig.events(CallEventKind.RECONNECT_EXHAUSTED)
    assert (told.message, told.code, told.attempt) == ("the scope is missing", -1, 3)
    assert rig.over == ["call-1"]


async def test_the_last_call_that_goes_while_a_refusing_peer_is_closed_ends_the_line_without_a_rest():
    pipe = Pipe("refuse")

    async def close(code: int, reason: str) -> None:
        rig.line.unfollow("call-1", Ended(Reason.END))

    pipe.close = close
    rig = Rig(pipe, policy=PATIENT, rest_s=3600)
    async with asyncio.timeout(30):
        await rig.line.run()
    assert rig.outlet.marks() == [("OPENED", "UNKNOWN"), ("CLOSED", "END")]


async def test_a_token_that_was_refused_in_a_message_is_not_used_again():
    first, second = Pipe("refuse"), Pipe("end")
    first.token, second.token = "stale", "fresh"
    rig = Rig(first, second, wants_token=True)
    await rig.line.run()
    assert rig.dialer.invalidated == ["stale"]
    assert rig.dialer.begun_anew == 1
    assert rig.machines[0].tokens == ["stale", "fresh"]


async def test_a_token_that_was_refused_in_mid_session_is_not_used_again_and_the_session_goes_on():
    first, second = Pipe("expired", LOST), Pipe("end")
    first.token, second.token = "stale", "fresh"
    rig = Rig(first, second, wants_token=True)
    await rig.line.run()
    assert first.closed[0] == 3000
    assert rig.dialer.invalidated == ["stale"]
    assert rig.machines[0].tokens == ["stale", "fresh"]
    assert rig.outlet.marks() == [("OPENED", "UNKNOWN"), ("CLOSED", "END")]


async def test_a_machine_that_needs_no_token_is_given_none():
    pipe = Pipe("end")
    pipe.token = "in the header"
    rig = Rig(pipe)
    await rig.line.run()
    assert rig.machines[0].tokens == [None]


async def test_a_spent_budget_is_told_with_the_last_answer():
    refused = GivenUp("forbidden", 1, 403, "the client lacks a scope")
    rig = Rig(Pipe(LOST), refused, Pipe("end"), words_pass=True)
    await rig.line.run()
    (told,) = rig.events(CallEventKind.RECONNECT_EXHAUSTED)
    assert (told.code, told.attempt) == (403, rig.dialer.attempt)
    assert "the client lacks a scope" in told.message
