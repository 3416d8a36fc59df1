"""Lines over fake connections: one after the other, given up, at fault, drained. The real ones: tests/integration."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from audio.frames import decode
from ingest.config import IngestSettings
from ingest.dialling import Dial, Dialling, Line, policy_of
from ingest.protocol import CloseConnection, Effect, EventReceived, SendText, SessionClosed, SessionOpened
from ingest.session import Surroundings
from ingest.sources.appfoundry.config import AppFoundrySettings
from ingest.sources.media_streams.config import MediaStreamsSettings
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

    async def connect(self) -> Pipe:
        if not self.script:
            self.idle.set()
            await asyncio.Event().wait()
        item = self.script.pop(0)
        if isinstance(item, Exception):
            raise item
        return item


class Machine:
    """One session that lives on over connections. "end" ends it, "fault" is a bug, other texts become events."""

    def __init__(self, *, closes_on_drain: bool = True) -> None:
        self.finished = False
        self.connections = 0
        self.lost: list[int] = []
        self._live = False
        self._closes_on_drain = closes_on_drain

    def connected(self, now_s: float) -> list[Effect]:
        self.connections += 1
        if self._live:
            return [SendText("subscribe")]
        self._live = True
        info = SessionInfo(conversation_id="call-1")
        return [SessionOpened("k", info, Source.OTHER, 8000, states_pauses=False), SendText("subscribe")]

    def receive_text(self, text: str, now_s: float) -> list[Effect]:
        if text == "fault":
            raise ZeroDivisionError
        if text == "end":
            self.finished = True
            return self._ended(Reason.END)
        event = CallEvent(kind=CallEventKind.RECONNECT, conversation_id="", session_id="", message=text)
        return [EventReceived("k", event)]

    def receive_binary(self, data: bytes, now_s: float) -> list[Effect]:
        return []

    def disconnected(self, now_s: float, code: int, reason: str, closed_by: ClosedBy) -> list[Effect]:
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
        return [*self._ended(Reason.DRAIN), CloseConnection(1000)]

    def gave_up(self, now_s: float) -> list[Effect]:
        return self._ended(Reason.BUDGET_SPENT)

    def _ended(self, reason: Reason) -> list[Effect]:
        live, self._live = self._live, False
        return [SessionClosed("k", reason)] if live else []


class Rig:
    """A line whose machines are kept."""

    def __init__(
        self,
        *script: Pipe | Exception,
        around: Surroundings | None = None,
        policy: Policy = POLICY,
        rest_s: float = 0,
        **machine: bool,
    ) -> None:
        self.outlet = FakeOutlet()
        self.dialer = FakeDialer(*script)
        self.machines: list[Machine] = []
        self._machine = machine
        dial = Dial(SOURCE, "1 of 1", "ws://localhost", policy, self.make, rest_s)
        self.line = Line(dial, self.dialer, around or surroundings(self.outlet))

    def make(self) -> Machine:
        self.machines.append(Machine(**self._machine))
        return self.machines[-1]

    @property
    def infos(self) -> list[SessionInfo]:
        values = [record.value for record in self.outlet.records if record.topic == topics.AUDIO.name]
        return list(decode(values, STORE).infos.values())


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"callstream_ingest_{name}", {"source": SOURCE, **labels}) or 0.0


def test_the_settings_say_how_a_connection_is_kept():
    policy = policy_of(MediaStreamsSettings(attempts=7, first_delay_s=3, ping_interval_s=0, inactivity_s=0))
    assert (policy.attempts, policy.first_delay_s, policy.ping_interval_s, policy.inactivity_s) == (7, 3, None, None)
    policy = policy_of(AppFoundrySettings())
    assert (policy.attempts, policy.first_delay_s, policy.ping_interval_s, policy.inactivity_s) == (10, 2, 20, 30)


def test_a_url_gets_domain_and_region_and_its_ids_cannot_leave_their_place():
    settings = IngestSettings(genesys_region="mypurecloud.de")
    template = "wss://api.{domain}/{region}/apps/{app_id}/{websocket_id}"
    assert settings.place.fill(template, app_id="a b", websocket_id="../x?y#z") == (
        "wss://api.mypurecloud.de/eu-central-1/apps/a%20b/..%2Fx%3Fy%23z"
    )


async def test_a_session_lives_on_over_connections_and_each_is_closed():
    first, second = Pipe("a", LOST), Pipe("b", "end")
    rig = Rig(first, second)
    await rig.line.run()
    assert rig.outlet.marks() == [("OPENED", "UNKNOWN"), ("CLOSED", "END")]
    assert (first.sent, second.sent) == (["subscribe"], ["subscribe"])
    assert (first.closed, second.closed) == ([1000], [1000])
    assert rig.machines[0].lost == [1006, 1006]


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
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(rig.line.run())
        await rig.dialer.idle.wait()
        rig.line.drain()
    assert rig.outlet.marks() == [("OPENED", "UNKNOWN"), ("CLOSED", "DRAIN")]
    assert (rig.machines[0].connections, rig.machines[0].finished) == (1, True)


async def test_a_drain_ends_a_rest():
    rig = Rig(SPENT, policy=PATIENT, rest_s=3600)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
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


async def test_a_url_that_cannot_be_dialled_is_a_mistake_of_the_configuration():
    dial = Dial(SOURCE, "1 of 1", "ftp://localhost", POLICY, Machine)
    with pytest.raises(ConfigError):
        Dialling([dial], surroundings(FakeOutlet()), None)


async def test_without_dials_there_is_nothing_to_do():
    dialling = Dialling([], surroundings(FakeOutlet()), None)
    dialling.keep_alive()
    await dialling.run()
    dialling.drain()
    assert metric("connections_owned") == 0
