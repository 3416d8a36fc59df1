"""A heartbeat the peer asks for, while our event loop stands still: in real time, for the socket is what matters."""

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from runtime.supervision import ConnectionLost
from tests.runtime.websocket_peers import dialer, url_of

BLOCKED_S = 3.0
ALLOWED_S = 5.0
"""What a platform waits. What is left of it is for reading what came meanwhile, on a machine that does other things."""
FRAME = '{"type":"audio","payload":"' + "A" * 216 + '"}'


class Peer:
    """A peer in a thread of its own. It sends frames all the time; told so, it asks for a heartbeat and measures.

    `control`: a ping of the protocol. `binary`: a message that is to come back.
    """

    def __init__(self, form):
        self.form = form
        self.url = ""
        self.listening = threading.Event()
        self.answered_s = []
        self._loop = self._over = self._asked = None

    def run(self):
        asyncio.run(self._serve())

    def ask(self):
        self._loop.call_soon_threadsafe(self._asked.set)

    def stop(self):
        self._loop.call_soon_threadsafe(self._over.set)

    async def _serve(self):
        self._loop, self._over, self._asked = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        async with serve(self._talk, "127.0.0.1", 0, ping_interval=None, close_timeout=1) as server:
            self.url = url_of(server)
            self.listening.set()
            await self._over.wait()

    async def _talk(self, connection):
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(self._send(connection))
                await self._asked.wait()
                asked_s = self._loop.time()
                if self.form == "control":
                    await (await connection.ping(b"beat"))
                else:
                    await connection.send(b"beat")
                    assert await connection.recv() == b"beat"
                self.answered_s.append(self._loop.time() - asked_s)
                sending.cancel()
            await connection.close()

    async def _send(self, connection):
        while True:
            await connection.send(FRAME)
            await asyncio.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["control", "binary"])
async def test_a_heartbeat_is_answered_in_time_though_the_loop_was_blocked(form):
    peer, sockets = Peer(form), 20

    async def echo(connection):
        with contextlib.suppress(ConnectionLost):
            while True:
                message = await connection.receive()
                if isinstance(message, bytes):
                    await connection.send(message)

    with ThreadPoolExecutor(1) as threads:
        serving = threads.submit(peer.run)
        try:
            assert peer.listening.wait(30)
            connections = [await dialer(peer.url).connect() for _ in range(sockets)]
            for connection in connections:
                await connection.receive()
            peer.ask()
            threading.Event().wait(BLOCKED_S)
            await asyncio.gather(*map(echo, connections))
        finally:
            peer.stop()
        serving.result(30)
    assert len(peer.answered_s) == sockets
    assert min(peer.answered_s) > BLOCKED_S / 2
    assert max(peer.answered_s) < ALLOWED_S
    assert all(connection.messages > BLOCKED_S / 0.02 / 2 for connection in connections)
