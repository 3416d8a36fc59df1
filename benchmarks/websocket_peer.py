"""The other side of the WebSocket benchmark, in a process of its own: `python -m benchmarks.websocket_peer`.

`load PORT`: whoever dials `/run/<sessions>/<seconds>` and asks for interactions gets 50 packets a second of each, from
the moment on at which all sessions of the run are asked for. Two JSON lines on standard output a run: when it begins,
and how late packets left. `silent PORT [TOKEN]`: accepts whoever has a token, but not that one, and says nothing.
Either ends with its standard input.
"""

import asyncio
import base64
import json
import random
import sys
from contextlib import suppress
from dataclasses import dataclass, field

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from runtime.clock import SystemClock
from simulators.websocket_server.server import Peer, Server, Spawn, path_of

PACKETS_PER_S = 50
PACKET_BYTES = 160
_SLICE_S = 0.001
"""Packets that are due within so long leave together."""
_AHEAD_S = 0.5
_EXTENDED_LENGTH = 126
_clock = SystemClock()


@dataclass(slots=True)
class Run:
    """One load: who asked for what. The number at the end of an interaction's id says when in 20 ms it is due."""

    sessions: int
    seconds: float
    streams: list[tuple[int, str, ServerConnection]] = field(default_factory=list)
    full: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, connection: ServerConnection, subscription: str) -> None:
        """Take a subscription."""
        for interaction in json.loads(subscription)["interactions"]:
            name = interaction["interactionId"]
            self.streams.append((int(name.rpartition("-")[2]), name, connection))
        if len(self.streams) == self.sessions:
            self.full.set()

    async def play(self) -> None:
        """Send all packets when they are due, then say how that went."""
        await self.full.wait()
        self.streams.sort(key=lambda stream: stream[0])
        chance = random.Random(1)
        payloads = [base64.b64encode(chance.randbytes(PACKET_BYTES)).decode() for _ in range(64)]
        interval_s, late_s = 1 / PACKETS_PER_S, []
        began_s = _clock.monotonic_s() + _AHEAD_S
        print(json.dumps({"began_s": began_s}), flush=True)
        for number in range(round(self.seconds * PACKETS_PER_S)):
            for place, name, connection in self.streams:
                due_s = began_s + (number + place / self.sessions) * interval_s
                now_s = _clock.monotonic_s()
                if due_s > now_s + _SLICE_S:
                    await asyncio.sleep(due_s - now_s)
                    now_s = _clock.monotonic_s()
                connection.transport.write(_packet(name, number, payloads[(place + number) % len(payloads)]))
                late_s.append(max(0.0, now_s - due_s))
        late_s.sort()
        late_ms = late_s[len(late_s) * 99 // 100] * 1000
        print(json.dumps({"began_s": began_s, "late_p99_ms": round(late_ms, 2)}), flush=True)


def _packet(name: str, number: int, payload: str) -> bytes:
    """Return a packet's frame as a server sends it (RFC 6455, 5.2), in the words of the media streams."""
    text = (
        f'{{"interactionId": "{name}", "sequenceNumber": {number}, '
        f'"timestamp": {number * PACKET_BYTES}, "payload": "{payload}"}}'
    ).encode()
    return b"\x81" + bytes([_EXTENDED_LENGTH]) + len(text).to_bytes(2, "big") + text


async def until_left() -> None:
    """Return when whoever started this process is gone: nothing is ever said on standard input."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def load(port: int) -> None:
    """Serve runs until left."""
    runs: dict[str, Run] = {}
    async with asyncio.TaskGroup() as tasks:

        async def talk(connection: ServerConnection) -> None:
            path = path_of(connection.request)
            if path not in runs or runs[path].full.is_set():
                _, _, sessions, seconds, *_ = path.split("/")
                runs[path] = Run(int(sessions), float(seconds))
                tasks.create_task(runs[path].play())
            run = runs[path]
            with suppress(ConnectionClosed):
                async for message in connection:
                    run.add(connection, str(message))

        server = serve(talk, "127.0.0.1", port, compression=None, ping_interval=None, close_timeout=1)
        async with server:
            print(json.dumps({"ready": True}), flush=True)
            await until_left()


class Silent(Server):
    """Accepts, and says nothing."""

    def status_of(self, path: str) -> int:
        """Know every path."""
        del path
        return 101

    async def neglected(self, peer: Peer) -> None:
        """Cut it."""
        peer.abort()

    async def converse(self, peer: Peer, spawn: Spawn) -> None:
        """Listen for ever."""
        del spawn
        async for _ in peer:
            pass


async def silent(port: int, refused: str) -> None:
    """Serve until left, or killed."""
    async with Silent(is_valid=lambda token: token != refused).serving(port):
        print(json.dumps({"ready": True}), flush=True)
        await until_left()


if __name__ == "__main__":
    mode, at, *rest = sys.argv[1:]
    asyncio.run(load(int(at)) if mode == "load" else silent(int(at), rest[0] if rest else ""))
