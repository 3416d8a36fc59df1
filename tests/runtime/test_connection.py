from websockets.asyncio.server import serve

from runtime.clock import ManualClock
from runtime.supervision import Policy
from runtime.websocket import Dialer


async def test_text_and_binary_messages_come_as_what_they_are():
    async def talk(connection):
        await connection.send("text")
        await connection.send(b"\xff\xfe1\x00")
        await connection.wait_closed()

    async with serve(talk, "127.0.0.1", 0) as server:
        dialer = Dialer("peer", f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", Policy(), ManualClock())
        connection = await dialer.connect()
        assert [await connection.receive(), await connection.receive()] == ["text", b"\xff\xfe1\x00"]
        await connection.close()
