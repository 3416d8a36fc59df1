"""The WebSockets we dial: how many sessions one core sustains, and how a herd comes back.

Load: sessions of 50 packets a second, JSON with base64, sent by a process on the other core; they go through the real
line, machine, gate, sequencer and outlet up to the batches for Kafka, which a stand-in acknowledges at once. A round
counts as sustained when every packet came and lateness did not grow: its median in the last quarter is at most a packet
(20 ms) above that in the first. Rounds grow until one fails, once for ours and once for a loop that only receives with
the same library: the ratio is what our work costs. Where others share the core they take from both; the CPU time a
packet costs does not depend on them.

Herd: 500 sockets, one token; the peer is killed, and comes back with that token refused. Counted are all dials, also
those that nobody answered, in the worst second; then the same without a pace.
`./dev bench websocket [seconds] [calls a socket] [rate]`.
"""

import asyncio
import gc
import json
import logging
import os
import signal
import sys
from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import numpy as np
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from benchmarks.rig import PARTITIONS, result
from benchmarks.websocket_peer import PACKETS_PER_S
from callstream.demo.services import free_port
from ingest.connecting import Place
from ingest.dialling import Dialling
from ingest.outlet import Connection, Outlet, OutletLimits
from ingest.pausing import PauseRules
from ingest.protocol import Call
from ingest.sequencer import Encoding, Outgoing
from ingest.session import Surroundings
from ingest.sources.media_streams import source as media_streams
from ingest.sources.media_streams.config import MediaStreamsSettings
from runtime.clock import SystemClock
from runtime.http import HttpClient
from runtime.log import configure, get_logger
from runtime.metrics import INGEST_CONNECTIONS
from runtime.oauth import TokenSource
from runtime.pace import Pace
from runtime.websocket import Dialer
from schemas import topics
from schemas.codec import SchemaStore
from simulators.oauth.server import OAuthServer

PEER_CORE, OUR_CORE = 0, 1
SOCKETS = 500
DOWN_S = 2.0
LIMIT_MS = 1000 / PACKETS_PER_S
PLACE = Place("mypurecloud.com", "us-east-1")
ROUNDS = {"bare": (200, 400, 600, 800, 1000, 1300, 1600), "ours": (50, 100, 150, 200, 250, 300, 400, 500)}
_clock = SystemClock()


class Acknowledged:
    """Takes batches in Kafka's place and acknowledges them at once."""

    def __init__(self) -> None:
        self._size = 0

    def create_batch(self) -> "Acknowledged":
        """Return an empty batch."""
        return Acknowledged()

    def append(self, *, timestamp: None, key: bytes | None, value: bytes) -> object:
        """Take a record, up to the size of a batch."""
        del timestamp
        self._size += len(value) + len(key or b"")
        return self if self._size <= OutletLimits().max_batch_bytes else None

    async def send_batch(self, batch: object, topic: str, *, partition: int) -> "asyncio.Future[object]":
        """Acknowledge it."""
        del batch, topic, partition
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def stop(self) -> None:
        """End."""


class TimedOutlet(Outlet):
    """Notes when each record of audio was put, by key; the first is OPENED."""

    def __init__(self) -> None:
        counts = {topics.AUDIO.name: PARTITIONS, topics.EVENTS.name: PARTITIONS}

        async def connected() -> Connection:
            return Connection(Acknowledged(), counts)

        super().__init__(connected, lambda *_: None, _clock, limits=OutletLimits())
        self.put_s: dict[str, list[float]] = defaultdict(list)

    def put(self, records: Iterable[Outgoing]) -> None:
        """Queue records."""
        records = list(records)
        super().put(records)
        now_s = _clock.monotonic_s()
        for record in records:
            if record.topic == topics.AUDIO.name and record.key is not None:
                self.put_s[record.key.decode()].append(now_s)


@dataclass(frozen=True)
class Round:
    """What a number of sessions came to.

    `late_ms` are percentiles 50 and 99 from when a packet was due to be sent, `growth_ms` what the median grew by.
    """

    sessions: int
    complete: bool
    late_ms: tuple[float, float]
    growth_ms: float
    sender_ms: float
    cpu_us: float
    core_ratio: float

    @property
    def sustained(self) -> bool:
        """Whether all came, and not later and later."""
        return self.complete and self.growth_ms <= LIMIT_MS

    def line(self, name: str) -> str:
        """Return the round in one line."""
        p50, p99 = self.late_ms
        missing = "" if self.complete else ", packets missing"
        return (
            f"{name}, {self.sessions} sessions: {'sustained' if self.sustained else 'NOT sustained'}; "
            f"late p50 {p50:.1f} p99 {p99:.1f} grown {self.growth_ms:.1f} ms (the sender p99 {self.sender_ms:.1f}), "
            f"{self.cpu_us:.0f} us of CPU a packet, {self.core_ratio:.0%} of a core{missing}"
        )


class PeerProcess:
    """The other side; `lines` are what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, *words: str) -> "PeerProcess":
        """Return it once it listens."""
        command = [sys.executable, "-m", "benchmarks.websocket_peer", *words]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        os.sched_setaffinity(process.pid, {PEER_CORE})
        started = cls(process)
        await started.line()
        return started

    async def line(self) -> dict[str, float]:
        """Return what it says next."""
        assert self._process.stdout is not None
        found: dict[str, float] = json.loads(await self._process.stdout.readline())
        return found

    async def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        self._process.send_signal(number)
        await self._process.wait()


def names(sessions: int) -> list[str]:
    """Return the ids of calls."""
    return [f"call-{number:05}" for number in range(sessions)]


def surroundings(outlet: Outlet) -> Surroundings:
    """Return what a process of ingest has around its lines."""
    rules = PauseRules(publish_when_unknown=True)
    return Surroundings(outlet, _clock, get_logger("bench"), Encoding(SchemaStore()), rules=rules)


def used_s() -> float:
    """Return the CPU seconds this process has used."""
    times = os.times()
    return times.user + times.system


@asynccontextmanager
async def ours(url: str, sessions: int, a_socket: int) -> AsyncIterator[dict[str, list[float]]]:
    """Follow calls for as long as the context lasts; gives when the packets of each were put."""
    outlet = TimedOutlet()
    settings = MediaStreamsSettings(url=url, interactions_per_socket=a_socket, start_spread_s=0)
    dialling = Dialling([media_streams.dialled(settings, PLACE)], surroundings(outlet), None)
    for name in names(sessions):
        dialling.follow(media_streams.NAME, Call(name))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(outlet.run())
        tasks.create_task(dialling.run())
        yield outlet.put_s
        dialling.drain()
        outlet.close(5.0)


@asynccontextmanager
async def bare(url: str, sessions: int, a_socket: int) -> AsyncIterator[dict[str, list[float]]]:
    """Receive the same and do nothing with it."""
    put_s: dict[str, list[float]] = {name: [0.0] for name in names(sessions)}

    async def receive(mine: list[str]) -> None:
        asked = json.dumps({"interactions": [{"interactionId": name} for name in mine]})
        with suppress(ConnectionClosed):
            async with connect(url, compression=None, ping_interval=None, proxy=None, close_timeout=1) as socket:
                await socket.send(asked)
                at = 0
                async for _ in socket:
                    put_s[mine[at]].append(_clock.monotonic_s())
                    at = (at + 1) % len(mine)

    async with asyncio.TaskGroup() as tasks:
        every = names(sessions)
        running = [tasks.create_task(receive(every[at : at + a_socket])) for at in range(0, len(every), a_socket)]
        yield put_s
        for task in running:
            task.cancel()


@dataclass(frozen=True)
class Load:
    """Who sends, for how long, and how many sessions share a socket."""

    peer: PeerProcess
    port: int
    seconds: float
    a_socket: int


async def one_round(load: Load, way: str, sessions: int) -> Round:
    """Receive one load. What it takes to connect is not counted: half a second lies before the first packet."""
    url = f"ws://127.0.0.1:{load.port}/run/{sessions}/{load.seconds:g}/{way}"
    gc.collect()
    async with (ours if way == "ours" else bare)(url, sessions, load.a_socket) as put_s:
        await load.peer.line()
        began_s, spent_s = _clock.monotonic_s(), used_s()
        report = await load.peer.line()
        cpu_s, lasted_s = used_s() - spent_s, _clock.monotonic_s() - began_s
        await asyncio.sleep(0.5)
    wanted = round(load.seconds * PACKETS_PER_S)
    complete = all(len(put_s[name]) >= wanted + 1 for name in names(sessions))
    steps = np.arange(wanted) / PACKETS_PER_S
    due_s = report["began_s"] + steps + np.arange(sessions)[:, None] / sessions / PACKETS_PER_S
    came_s = np.full((sessions, wanted), _clock.monotonic_s())
    for place, name in enumerate(names(sessions)):
        times = put_s[name][1 : wanted + 1]
        came_s[place, : len(times)] = times
    late_ms = (came_s - due_s) * 1000
    p50, p99 = np.percentile(late_ms, (50, 99))
    quarter = max(1, wanted // 4)
    growth_ms = float(np.median(late_ms[:, -quarter:]) - np.median(late_ms[:, :quarter]))
    cpu_us = cpu_s * 1e6 / (sessions * wanted)
    return Round(
        sessions, complete, (float(p50), float(p99)), growth_ms, report["late_p99_ms"], cpu_us, cpu_s / lasted_s
    )


async def most(load: Load, way: str) -> tuple[int, Round]:
    """Return the largest number of sessions that is sustained, with its round; a failed round is tried once more."""
    best: Round | None = None
    for sessions in ROUNDS[way]:
        for _ in range(2):
            done = await one_round(load, way, sessions)
            print(done.line(way), flush=True)
            if done.sustained:
                break
        if not done.sustained:
            return (best.sessions if best else 0), best or done
        best = done
    assert best is not None
    return best.sessions, best


def most_in_a_second(times_s: list[float]) -> int:
    """Return the largest number of times in any second."""
    times_s = sorted(times_s)
    return max(bisect_left(times_s, start_s + 1.0) - number for number, start_s in enumerate(times_s))


class CountedDialer:
    """Notes every dial of every dialler, answered or not."""

    def __init__(self) -> None:
        self.at_s: list[float] = []
        opening = Dialer._open  # noqa: SLF001 - where a dial begins

        async def noted(dialer: Dialer, token: str | None) -> object:
            self.at_s.append(_clock.monotonic_s())
            return await opening(dialer, token)

        Dialer._open = noted  # noqa: SLF001


@dataclass(frozen=True)
class Herd:
    """What became of a herd: dials in the worst second, from the kill until all are back, token requests, dials."""

    worst: int
    back_s: float
    tokens: int
    dials: int

    def line(self, name: str) -> str:
        """Return it in one line."""
        return (
            f"herd of {SOCKETS}, {name}: at most {self.worst} dials in a second, {self.dials} dials, all back "
            f"{self.back_s:.1f} s after the kill ({DOWN_S:g} s of it without a peer), {self.tokens} token requests"
        )


async def herd(rate: float | None, dials: CountedDialer) -> Herd:
    """Keep 500 sockets up, kill their peer, and wait until all are back."""
    oauth, port = OAuthServer(), free_port()
    up = INGEST_CONNECTIONS.labels(media_streams.NAME)._value  # noqa: SLF001 - the gauge's own number

    async def until(count: int) -> None:
        while up.get() != count:  # noqa: ASYNC110 - a gauge tells nobody
            await asyncio.sleep(0.01)

    peer = await PeerProcess.start("silent", str(port))
    settings = MediaStreamsSettings(url=f"ws://127.0.0.1:{port}/", interactions_per_socket=1, attempts=50)
    outlet = TimedOutlet()
    async with oauth.serving() as url, HttpClient("oauth", timeout_s=10) as http:
        token = TokenSource(http, url, "client", SecretStr("secret"), _clock)
        pace = Pace(rate) if rate is not None else None
        dialling = Dialling([media_streams.dialled(settings, PLACE)], surroundings(outlet), token, pace)
        for name in names(SOCKETS):
            dialling.follow(media_streams.NAME, Call(name))
        dials.at_s.clear()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(outlet.run())
            tasks.create_task(dialling.run())
            await until(SOCKETS)
            killed_s = _clock.monotonic_s()
            await peer.end(signal.SIGKILL)
            await until(0)
            await asyncio.sleep(DOWN_S)
            peer = await PeerProcess.start("silent", str(port), oauth.tokens[-1])
            await until(SOCKETS)
            back_s = _clock.monotonic_s() - killed_s
            dialling.drain()
            outlet.close(5.0)
        await peer.end()
    return Herd(most_in_a_second(dials.at_s), back_s, oauth.requests, len(dials.at_s))


async def measure(seconds: float, a_socket: int, rate: float) -> None:
    """Measure both, and print."""
    os.sched_setaffinity(0, {OUR_CORE})
    configure("error", "console")
    logging.disable(logging.WARNING)
    port = free_port()
    peer = await PeerProcess.start("load", str(port))
    load = Load(peer, port, seconds, a_socket)
    limit, at_limit = await most(load, "bare")
    sessions, at_most = await most(load, "ours")
    await peer.end()
    dials = CountedDialer()
    paced = await herd(rate, dials)
    print(paced.line(f"{rate:g} a second"), flush=True)
    free = await herd(None, dials)
    print(free.line("without a pace"), flush=True)
    result(
        "websocket",
        sessions=sessions,
        bare_sessions=limit,
        ratio=round(sessions / limit, 2) if limit else 0.0,
        sessions_by_cpu=round(1e6 / PACKETS_PER_S / at_most.cpu_us),
        cpu_us=round(at_most.cpu_us),
        bare_cpu_us=round(at_limit.cpu_us),
        late_p99_ms=at_most.late_ms[1],
        core_ratio=round(at_most.core_ratio, 2),
        calls_a_socket=a_socket,
        herd=SOCKETS,
        rate=rate,
        herd_dials_in_worst_second=paced.worst,
        herd_back_s=paced.back_s,
        herd_token_requests=paced.tokens,
        unpaced_dials_in_worst_second=free.worst,
    )


if __name__ == "__main__":
    given = [float(value) for value in sys.argv[1:]]
    asyncio.run(
        measure(
            given[0] if given else 4.0,
            int(given[1]) if len(given) > 1 else 1,
            given[2] if len(given) > 2 else 50.0,
        )
    )
