"""A TCP proxy between Kafka's clients and one broker that knows requests and places faults at them exactly.

It reads whole frames. A request says its kind, its client and its bytes; a connection's answers come in the order of
its requests. Answers that name the broker's address (Metadata, FindCoordinator) are rewritten to name the proxy's:
both are on 127.0.0.1 and a port has four bytes, so no length changes, and any broker on loopback will do as it is,
beside clients that talk to it without the proxy.
"""

import asyncio
import struct
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, IntEnum

HOST = "127.0.0.1"
CHUNK_BYTES = 16 * 1024
LONGEST_ANSWER_S = 0.25
"""As long as a broker on loopback takes, a fetch that waits for records included; more is this machine's doing."""
_LOOK_S = 0.05


class Api(IntEnum):
    """Kinds of requests."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    JOIN_GROUP = 11
    HEARTBEAT = 12
    LEAVE_GROUP = 13
    SYNC_GROUP = 14
    API_VERSIONS = 18
    INIT_PRODUCER_ID = 22
    ADD_PARTITIONS_TO_TXN = 24
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


class Act(Enum):
    """What happens to a request."""

    CUT_BEFORE = "the connection is cut before the broker has got the request"
    CUT_AFTER = "the connection is cut after the broker has answered, the answer is lost"
    HALF_OPEN = "the connection stays open and carries nothing any more, in both directions"
    SILENCE = "all connections carry nothing for a while, new ones too; then everything arrives"
    DELAY = "the answer takes longer, and all answers behind it"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it stands on the wire, without its length."""

    api: int
    version: int
    correlation: int
    client: str
    frame: bytes

    @classmethod
    def parse(cls, frame: bytes) -> "Request":
        """Read the header, which is the same in all versions."""
        api, version, correlation, size = struct.unpack_from(">hhih", frame)
        return cls(api, version, correlation, frame[10 : 10 + max(0, size)].decode(), frame)


@dataclass
class Fault:
    """One act at the `nth` request of a kind, counted from 1.

    `client` and `part` must occur in its client id and in its bytes. `times` requests in a row are struck; `seconds`
    is for SILENCE and DELAY. `struck` is set when the last one was.
    """

    act: Act
    api: int
    nth: int = 1
    client: str = ""
    part: bytes = b""
    times: int = 1
    seconds: float = 0.0
    struck: asyncio.Event = field(default_factory=asyncio.Event)
    met: int = 0
    """How many requests were of that kind."""

    def strikes(self, request: Request) -> bool:
        """Count a request; True when it is one to strike."""
        if request.api != self.api or self.client not in request.client or self.part not in request.frame:
            return False
        self.met += 1
        if self.met >= self.nth + self.times - 1:
            self.struck.set()
        return self.nth <= self.met < self.nth + self.times


class _Link:
    """One client's connection and the proxy's own to the broker."""

    def __init__(self, client: "_Streams", broker: "_Streams") -> None:
        self.client_in, self.client_out = client
        self.broker_in, self.broker_out = broker
        self.pending: deque[tuple[Request, Fault | None, float]] = deque()
        self.flowing = asyncio.Event()
        self.flowing.set()

    def cut(self) -> None:
        for stream in (self.client_out, self.broker_out):
            stream.transport.abort()


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Proxy:
    """Use `async with proxy_to(bootstrap) as proxy:`; clients connect to `proxy.bootstrap`.

    `slowness` makes each answer take that many times as long as the broker took (LONGEST_ANSWER_S at most).
    `bytes_per_s` limits each connection in each direction; None: no limit. Both may be changed at any time.
    """

    broker_port: int
    port: int = 0
    slowness: float = 1.0
    bytes_per_s: float | None = None
    requests: list[tuple[int, str]] = field(default_factory=list)
    """Kind and client id of every request that came."""
    broken: list[str] = field(default_factory=list)
    """What the proxy itself could not do; must stay empty."""
    _faults: list[Fault] = field(default_factory=list)
    _links: set[_Link] = field(default_factory=set)
    _flowing: asyncio.Event = field(default_factory=asyncio.Event)
    _heal_at: asyncio.TimerHandle | None = None

    @property
    def bootstrap(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def carrying(self) -> int:
        """How many connections are up, those that became half-open left out."""
        return sum(link.flowing.is_set() for link in self._links)

    def place(self, fault: Fault) -> Fault:
        """Place a fault; return it."""
        self._faults.append(fault)
        return fault

    def silence(self, seconds: float) -> None:
        """Carry nothing for a while, on any connection."""
        self._flowing.clear()
        self._heal_at = asyncio.get_running_loop().call_later(seconds, self._flowing.set)

    def heal(self) -> None:
        """Take all faults and limits away. A half-open connection stays half-open, as it would in a network."""
        self._faults.clear()
        self.slowness, self.bytes_per_s = 1.0, None
        self._flowing.set()

    def cut_all(self) -> None:
        """Cut every connection."""
        for link in list(self._links):
            link.cut()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        try:
            broker = await asyncio.open_connection(HOST, self.broker_port)
        except OSError:
            writer.transport.abort()
            return
        link = _Link((reader, writer), broker)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._carry_requests(link))
                tasks.create_task(self._carry_answers(link))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        except* Exception as errors:  # noqa: BLE001 - asyncio would only log it
            self.broken.extend(repr(error) for error in errors.exceptions)
        finally:
            self._links.discard(link)
            link.cut()

    async def _carry_requests(self, link: _Link) -> None:
        loop = asyncio.get_running_loop()
        while True:
            request = Request.parse(await _frame(link.client_in))
            self.requests.append((request.api, request.client))
            fault = next((fault for fault in self._faults if fault.strikes(request)), None)
            act = None if fault is None else fault.act
            if act is Act.CUT_BEFORE:
                link.cut()
            elif act is Act.HALF_OPEN:
                link.flowing.clear()
            elif act is Act.SILENCE and fault is not None:
                self.silence(fault.seconds)
            await self._open_way(link)
            link.pending.append((request, fault, loop.time()))
            await self._write(link.broker_out, request.frame)

    async def _carry_answers(self, link: _Link) -> None:
        loop = asyncio.get_running_loop()
        while True:
            frame = await _frame(link.broker_in)
            request, fault, sent_s = link.pending.popleft()
            if int.from_bytes(frame[:4], "big", signed=True) != request.correlation:
                message = f"an answer of {request.client} came out of order"
                raise ValueError(message)
            if fault is not None and fault.act is Act.CUT_AFTER:
                link.cut()
            await self._take_longer(loop.time() - sent_s)
            if fault is not None and fault.act is Act.DELAY:
                await asyncio.sleep(fault.seconds)
            await self._open_way(link)
            await self._write(link.client_out, self._as_ours(request, frame))

    async def _take_longer(self, took_s: float) -> None:
        """Wait as many times as long as the broker took; looked at as it goes on, so that healing heals at once."""
        loop = asyncio.get_running_loop()
        began_s, took_s = loop.time(), min(took_s, LONGEST_ANSWER_S)
        while (left_s := began_s + (self.slowness - 1) * took_s - loop.time()) > 0:
            await asyncio.sleep(min(left_s, _LOOK_S))

    async def _open_way(self, link: _Link) -> None:
        await link.flowing.wait()
        await self._flowing.wait()

    async def _write(self, out: asyncio.StreamWriter, frame: bytes) -> None:
        loop = asyncio.get_running_loop()
        whole = len(frame).to_bytes(4, "big") + frame
        due_s = loop.time()
        for start in range(0, len(whole), CHUNK_BYTES):
            chunk = whole[start : start + CHUNK_BYTES]
            if self.bytes_per_s is not None:
                # what one wait took too long the next makes good
                due_s += len(chunk) / self.bytes_per_s
                await asyncio.sleep(max(0.0, due_s - loop.time()))
            out.write(chunk)
            await out.drain()

    def _as_ours(self, request: Request, frame: bytes) -> bytes:
        if request.api not in {Api.METADATA, Api.FIND_COORDINATOR}:
            return frame
        host = HOST.encode()
        return frame.replace(host + self.broker_port.to_bytes(4, "big"), host + self.port.to_bytes(4, "big"))


async def _frame(reader: asyncio.StreamReader) -> bytes:
    size = int.from_bytes(await reader.readexactly(4), "big")
    return await reader.readexactly(size)


@asynccontextmanager
async def proxy_to(bootstrap: str) -> AsyncIterator[Proxy]:
    """A proxy to a broker on loopback, on a port of its own, until the block ends."""
    host, _, port = bootstrap.rpartition(":")
    if host != HOST:
        message = f"the proxy stands before a broker on {HOST} only, not {bootstrap}"
        raise ValueError(message)
    proxy = Proxy(int(port))
    proxy.heal()
    server = await asyncio.start_server(proxy.serve, HOST, 0, limit=2**20)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        if proxy._heal_at is not None:
            proxy._heal_at.cancel()
        proxy.heal()
        while proxy._links:
            proxy.cut_all()
            for link in list(proxy._links):
                link.flowing.set()
            await asyncio.sleep(0.01)
        with suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), 1)
    assert not proxy.broken, proxy.broken
