import asyncio

import pytest
from prometheus_client import REGISTRY

from audio.frames import decode
from ingest import session as shell
from ingest.protocol import Effect
from ingest.sequencer import Encoding, Outgoing
from ingest.session import Session, Surroundings
from ingest.sources.audiohook.protocol import AudioHookProtocol, Limits
from runtime.clock import ManualClock, SystemClock
from runtime.log import get_logger
from runtime.supervision import ConnectionLost
from schemas import topics
from schemas.codec import SchemaStore
from schemas.symbols import ClosedBy, FrameKind, Reason
from tests.ingest.sources.audiohook.words import CORRELATION, ORGANIZATION, SESSION, Client

STORE = SchemaStore()
FRAME = b"\xff" * 3200
LOST = ConnectionLost(1006, "", ClosedBy.NETWORK)


class FakeOutlet:
    """Keeps what is put."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []
        self.has_room = True

    def put(self, records) -> None:
        self.records += records

    def marks(self) -> list[tuple[str, str]]:
        """Kind and reason of what stands on calls.audio."""
        frames = decode([record.value for record in self.records if record.topic == topics.AUDIO.name], STORE)
        return [
            (list(FrameKind)[kind].value, list(Reason)[reason].value)
            for kind, reason in zip(frames.kind, frames.reason, strict=True)
        ]

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.marks()]


class Pipe:
    """A transport in memory. What is scripted arrives in order; an exception ends the connection."""

    def __init__(self, *script: str | bytes | Exception) -> None:
        self.arriving: asyncio.Queue = asyncio.Queue()
        self.sent: list[str | bytes] = []
        self.closed: list[int] = []
        self.send_error: Exception | None = None
        self.blocked = False
        self.release = asyncio.Event()
        self.token: str | None = None
        self.attempt = 1
        for item in script:
            self.arriving.put_nowait(item)

    async def receive(self) -> str | bytes:
        item = await self.arriving.get()
        if isinstance(item, Exception):
            raise item
        return item

    async def send(self, message: str | bytes) -> None:
        if self.blocked:
            await self.release.wait()
        if self.send_error is not None:
            raise self.send_error
        self.sent.append(message)

    async def close(self, code: int, reason: str) -> None:
        self.closed.append(code)


class Served:
    """A session and the connection it is to serve."""

    def __init__(self, pipe: Pipe, shell: Session) -> None:
        self.pipe = pipe
        self.shell = shell

    async def run(self) -> None:
        await self.shell.run(self.pipe)


def surroundings(outlet: FakeOutlet, clock=None) -> Surroundings:
    return Surroundings(outlet, clock or SystemClock(), get_logger("ingest"), Encoding(STORE))


def session(pipe: Pipe, outlet: FakeOutlet, protocol=None, clock=None) -> Served:
    machine = protocol or AudioHookProtocol(ORGANIZATION, SESSION, CORRELATION, Limits())
    return Served(pipe, Session("audiohook", machine, surroundings(outlet, clock)))


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_a_normal_session_is_answered_and_stored_in_order():
    client, outlet = Client(), FakeOutlet()
    pipe = Pipe(client.open(), FRAME, FRAME, client.say("ping", "PT0.4S"), FRAME, client.close("PT0.6S"), LOST)
    await session(pipe, outlet).run()
    assert [message.split('"type":"')[1].split('"')[0] for message in pipe.sent] == ["opened", "pong", "closed"]
    assert outlet.marks() == [
        ("OPENED", "UNKNOWN"),
        ("AUDIO", "UNKNOWN"),
        ("AUDIO", "UNKNOWN"),
        ("ALIVE", "UNKNOWN"),
        ("AUDIO", "UNKNOWN"),
        ("CLOSED", "END"),
    ]


async def test_a_lost_connection_leaves_a_closed_mark():
    outlet = FakeOutlet()
    await session(Pipe(Client().open(), FRAME, LOST), outlet).run()
    assert outlet.marks()[-1] == ("CLOSED", "SOCKET_LOST")


@pytest.mark.parametrize("cut", range(5))
async def test_wherever_the_connection_is_cut_what_arrived_is_stored_and_closed(cut):
    client, outlet = Client(), FakeOutlet()
    script = [client.open(), FRAME, client.say("paused", "PT0.2S"), FRAME, client.say("ping", "PT1S")]
    await session(Pipe(*script[: cut + 1], LOST), outlet).run()
    wanted = ["OPENED", "AUDIO", "PAUSED", None, "ALIVE"][: cut + 1]
    assert outlet.kinds() == [kind for kind in wanted if kind] + ["CLOSED"]


@pytest.mark.parametrize("steps", range(1, 9))
async def test_cancelled_at_any_await_the_session_is_closed_on_the_topics(steps):
    client, outlet = Client(), FakeOutlet()
    pipe = Pipe(client.open(), FRAME, client.say("ping", "PT0.2S"))
    running = asyncio.get_running_loop().create_task(session(pipe, outlet).run())
    for _ in range(steps):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert outlet.kinds() == [] or (outlet.kinds()[0], outlet.kinds()[-1]) == ("OPENED", "CLOSED")


async def test_an_answer_that_cannot_be_sent_loses_no_fact():
    outlet = FakeOutlet()
    pipe = Pipe(Client().open())
    pipe.send_error = LOST
    await session(pipe, outlet).run()
    assert outlet.marks() == [("OPENED", "UNKNOWN"), ("CLOSED", "SOCKET_LOST")]


async def test_a_peer_that_reads_no_answer_is_given_up(monkeypatch):
    monkeypatch.setattr(shell, "SEND_DEADLINE_S", 0.01)
    outlet = FakeOutlet()
    pipe = Pipe(Client().open())
    pipe.blocked = True
    await session(pipe, outlet).run()
    assert outlet.kinds() == ["OPENED", "CLOSED"]


async def test_a_deadline_of_the_protocol_is_kept():
    outlet = FakeOutlet()
    limits = Limits(idle_s=0.02, close_deadline_s=0.02)
    pipe = Pipe(Client().open())
    await session(pipe, outlet, AudioHookProtocol(ORGANIZATION, SESSION, CORRELATION, limits)).run()
    assert '"disconnect"' in pipe.sent[-1]
    assert pipe.closed == [1000]
    assert outlet.marks()[-1] == ("CLOSED", "SOCKET_LOST")


async def test_a_drain_may_come_in_the_moment_a_deadline_passes():
    outlet = FakeOutlet()
    limits = Limits(idle_s=0.05, close_deadline_s=0.02)
    served = session(Pipe(Client().open()), outlet, AudioHookProtocol(ORGANIZATION, SESSION, CORRELATION, limits))
    loop, drained = asyncio.get_running_loop(), asyncio.Event()

    def drain() -> None:
        assert served.shell._scope is not None
        assert served.shell._scope.expired()
        served.shell.drain()
        drained.set()

    def drain_after_the_deadline() -> None:
        # both timers are due when the loop looks again, the deadline's first
        at_s = served.shell._scope.when()
        loop.call_at(at_s, drain)
        while loop.time() <= at_s:
            pass

    loop.call_later(0.03, drain_after_the_deadline)
    await served.run()
    assert drained.is_set()
    assert outlet.marks()[-1][0] == "CLOSED"


async def test_a_drain_interrupts_the_wait_and_keeps_what_still_comes():
    client, outlet = Client(), FakeOutlet()
    pipe = Pipe(client.open())
    served = session(pipe, outlet)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(served.run())
        while not pipe.sent:
            await asyncio.sleep(0)
        served.shell.drain()
        while len(pipe.sent) < 2:
            await asyncio.sleep(0)
        for item in (FRAME, client.close("PT0.2S", "disconnect"), LOST):
            pipe.arriving.put_nowait(item)
        await running
    assert outlet.marks() == [("OPENED", "UNKNOWN"), ("AUDIO", "UNKNOWN"), ("CLOSED", "DRAIN")]


async def test_without_room_audio_is_dropped_and_counted_and_the_gap_is_announced():
    client, outlet = Client(), FakeOutlet()
    before = metric("callstream_ingest_frames_dropped_total", reason="overflow")
    outlet.has_room = False
    await session(Pipe(client.open(), FRAME, FRAME, client.close("PT0.4S"), LOST), outlet).run()
    assert outlet.marks() == [("OPENED", "UNKNOWN"), ("GAP", "OVERFLOW"), ("CLOSED", "END")]
    assert metric("callstream_ingest_frames_dropped_total", reason="overflow") == before + 2


async def test_a_quiet_session_writes_alive_when_asked():
    clock, outlet = ManualClock(), FakeOutlet()
    pipe = Pipe(Client().open())
    served = session(pipe, outlet, AudioHookProtocol(ORGANIZATION, SESSION, CORRELATION, Limits(idle_s=600)), clock)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(served.run())
        while not pipe.sent:
            await asyncio.sleep(0)
        clock.advance(60)
        served.shell.keep_alive()
        pipe.arriving.put_nowait(LOST)
    assert outlet.kinds() == ["OPENED", "ALIVE", "CLOSED"]


class Faulty(AudioHookProtocol):
    """A machine with a bug."""

    def receive_binary(self, data: bytes, now_s: float) -> list[Effect]:
        message = "a bug"
        raise ZeroDivisionError(message)


async def test_a_fault_of_ours_ends_that_session_with_1011_and_a_closed_mark():
    outlet = FakeOutlet()
    pipe = Pipe(Client().open(), FRAME)
    await session(pipe, outlet, Faulty(ORGANIZATION, SESSION, CORRELATION, Limits())).run()
    assert pipe.closed == [1011]
    assert outlet.kinds() == ["OPENED", "CLOSED"]


async def test_a_probe_counts_as_no_session_and_puts_nothing():
    client, outlet = Client(), FakeOutlet()
    nobody = "00000000-0000-0000-0000-000000000000"
    before = metric("callstream_ingest_sessions_ended_total", source="audiohook", reason="end")
    probes = metric("callstream_ingest_observations_total", source="audiohook", what="connection_probe")
    probe = client.open(conversationId=nobody, participant={"id": nobody})
    await session(Pipe(probe, FRAME, client.close("PT0.2S"), LOST), outlet).run()
    assert outlet.records == []
    assert metric("callstream_ingest_sessions_ended_total", source="audiohook", reason="end") == before
    assert metric("callstream_ingest_observations_total", source="audiohook", what="connection_probe") == probes + 1


async def test_what_moves_positions_apart_is_counted():
    client = Client()
    before = metric("callstream_ingest_drift_samples_total", source="audiohook")
    script = [client.open(), FRAME, client.say("ping", "PT0.3S"), client.say("ping", "PT0.2S"), LOST]
    await session(Pipe(*script), FakeOutlet()).run()
    assert metric("callstream_ingest_drift_samples_total", source="audiohook") == before + 1600


class Told(AudioHookProtocol):
    """A machine whose next answer to audio, and its deadline, a test may choose."""

    answer: list[Effect] | Exception | None = None
    moved_s: float | None = None

    def receive_binary(self, data, now_s):
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.moved_s is not None:
            self._deadline_s = self.moved_s
        return super().receive_binary(data, now_s) if self.answer is None else self.answer


async def heard(machine: AudioHookProtocol, outlet: FakeOutlet, *before: str | bytes):
    """A session that waits for its next message, the pipe it waits at, and the task that runs it."""
    pipe = Pipe(Client().open(), *before)
    served = session(pipe, outlet, machine)
    running = asyncio.get_running_loop().create_task(served.run())
    while not pipe.arriving.empty() or served.shell._scope is None:
        await asyncio.sleep(0)
    return served.shell, pipe, running


def told() -> Told:
    return Told(ORGANIZATION, SESSION, CORRELATION, Limits())


async def test_audio_that_is_heard_is_stored_at_once_and_wakes_nobody():
    outlet = FakeOutlet()
    shell, pipe, running = await heard(told(), outlet)
    scope = shell._scope
    assert shell.hear(FRAME)
    assert shell.hear(FRAME)
    assert outlet.kinds() == ["OPENED", "AUDIO", "AUDIO"]
    await asyncio.sleep(0.01)
    assert shell._scope is scope
    pipe.arriving.put_nowait(LOST)
    await running
    assert outlet.kinds() == ["OPENED", "AUDIO", "AUDIO", "CLOSED"]


async def test_a_session_that_does_not_wait_for_a_message_hears_nothing():
    outlet = FakeOutlet()
    shell, pipe, running = await heard(told(), outlet)
    shell.command(lambda _: [])
    assert not shell.hear(FRAME)
    pipe.arriving.put_nowait(LOST)
    await running
    assert not shell.hear(FRAME)
    assert outlet.kinds() == ["OPENED", "CLOSED"]


async def test_what_the_machine_answers_to_heard_audio_is_sent():
    machine, outlet = told(), FakeOutlet()
    shell, pipe, running = await heard(machine, outlet)
    assert shell.hear(FRAME + b"\xff")
    pipe.arriving.put_nowait(LOST)
    await running
    assert "disconnect" in pipe.sent[-1]


async def test_a_fault_in_heard_audio_ends_the_session_alone():
    machine, outlet = told(), FakeOutlet()
    shell, pipe, running = await heard(machine, outlet)
    machine.answer = RuntimeError()
    assert shell.hear(FRAME)
    await running
    assert pipe.closed == [1011]
    assert outlet.marks()[-1][0] == "CLOSED"


async def test_a_deadline_that_heard_audio_brings_nearer_is_kept():
    machine, outlet = told(), FakeOutlet()
    shell, pipe, running = await heard(machine, outlet)
    machine.moved_s = 0.0
    assert shell.hear(FRAME)
    machine.moved_s = None
    async with asyncio.timeout(30):
        while not any("disconnect" in message for message in pipe.sent):
            await asyncio.sleep(0.001)
    pipe.arriving.put_nowait(LOST)
    await running
    assert outlet.marks()[-1] == ("CLOSED", "SOCKET_LOST")
