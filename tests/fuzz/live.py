"""One honest call beside the fuzzers: `python -m tests.fuzz.live <port> <seconds>`, in a process of its own.

Audio every 20 ms, and a ping with every second message of it. A line on standard output has, for each ping, when it was
sent and how long its pong took, in seconds; and the samples sent.
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect

from runtime.clock import SystemClock
from tests.fuzz import wire
from tests.ingest.sources.audiohook.words import CONVERSATION, CORRELATION, ORGANIZATION, SESSION, Client

FRAME_SAMPLES = 160
IDS = {
    "Audiohook-Organization-Id": ORGANIZATION,
    "Audiohook-Session-Id": SESSION,
    "Audiohook-Correlation-Id": CORRELATION,
    "X-API-KEY": wire.KEY,
}
CONVERSATION_ID = CONVERSATION[:-1] + "f"


async def main(port: int, seconds: float) -> None:
    """Talk for so long, then close; any answer but the expected one raises."""
    now_s, client, pongs = SystemClock().monotonic_s, Client(), []
    url = f"ws://127.0.0.1:{port}{wire.PATH}"
    async with connect(url, additional_headers=IDS, proxy=None, ping_interval=None, compression=None) as socket:

        async def said(kind: str) -> None:
            message = json.loads(await socket.recv())
            assert (message["type"], message["clientseq"]) == (kind, client.seq), message

        def position() -> str:
            return f"PT{samples / 8000:.6f}S"

        samples = 0
        await socket.send(client.open(conversationId=CONVERSATION_ID))
        await said("opened")
        begun_s = now_s()
        while (passed_s := now_s() - begun_s) < seconds:
            for _ in range(2):
                await socket.send(b"\x7f" * FRAME_SAMPLES * 2)
                samples += FRAME_SAMPLES
                await asyncio.sleep(0.02)
            sent_s = now_s()
            await socket.send(client.say("ping", position()))
            await said("pong")
            pongs.append((passed_s, now_s() - sent_s))
        await socket.send(client.close(position()))
        await said("closed")
    sys.stdout.write(json.dumps({"pongs": pongs, "samples": samples}) + "\n")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
