"""Everything a peer can send that it should not, from a seed: `python -m tests.fuzz.attack <port> <seed> <seconds>`.

An input is a request, a frame or a message that was mutated or made up; one connection carries many, one after the
other, and reads what comes back. In bouts with rests between them: `ON_S` and `OFF_S`. A line on standard output says
how many inputs there were of each kind.
"""

import asyncio
import json
import random
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from runtime.clock import SystemClock
from tests.fuzz import corpus, wire
from tests.ingest.sources.audiohook.words import Client, open_parameters

ON_S, OFF_S = 8.0, 2.0
AT_ONCE = 8
BATCH = 150
LONGEST_S = 0.4
FIELDS = ("version", "id", "type", "seq", "serverseq", "position", "parameters")
KINDS = ("open", "ping", "paused", "resumed", "discarded", "update", "error", "dtmf", "playback_started", "x", "pong")
VALUES = (None, True, -1, 0, 2**63, 1.5, 1e308, "", "PT1S", "PT-1S", "é" * 40, "\ud800", [], {}, [[]], {"a": {}}, "2")
JUNK = (b"\x00", b"\xff", b"\r\n\r\n", b"GET / HTTP/1.1\r\n", b"Content-Length: 99999\r\n", b"\x81", b"\x89\xfe", b"%n")

Inputs = tuple[str, bytes, int]
"""Kind, what is sent, and how many inputs it counts."""


def spoil(data: bytes, chance: random.Random) -> bytes:
    """Return data with a few bytes changed, added, removed or repeated."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(found) + 1)
        what = chance.randrange(5)
        if what == 0 and at < len(found):
            found[at] ^= 1 << chance.randrange(8)
        elif what == 1:
            found[at:at] = chance.choice(JUNK)
        elif what == 2:
            del found[at : at + chance.choice((1, 4, 30))]
        elif what == 3:
            found[at:at] = found[at : at + 20]
        else:
            del found[at:]
    return bytes(found)


def text(client: Client, chance: random.Random) -> str:
    """Return a message that numbers right, of any kind, with any parameters."""
    names = chance.sample(("start", "discarded", "reason", "digit", "language", "message", "code", "media"), 2)
    parameters = {name: chance.choice(VALUES) for name in names}
    if chance.random() < 0.5:
        parameters |= {"start": "PT0S", "discarded": f"PT{chance.random():.9f}S"}
    return client.say(chance.choice(KINDS), f"PT{chance.random():.6f}S", parameters)


def bad_text(client: Client, chance: random.Random) -> bytes:
    """Return a text that is no message, or a broken one."""
    message = json.loads(text(client, chance))
    message[chance.choice(FIELDS)] = chance.choice(VALUES)
    written = json.dumps(message).encode()
    return spoil(written, chance) if chance.random() < 0.5 else written


class Attacker:
    """One source of connections."""

    def __init__(self, port: int, seed: int) -> None:
        self.chance = random.Random(seed)
        self.port = port
        self.count: Counter[str] = Counter()
        self.recordings = corpus.recordings()
        self.broken = list(corpus.broken().values())
        self.ways: tuple[Callable[[], Inputs], ...] = (
            self.request,
            self.frames,
            self.broken_texts,
            *[self.session] * 6,
            *[self.recording] * 3,
            self.kept,
        )

    def hello(self) -> bytes:
        """Return a request that is accepted."""
        return wire.request(session_id=self.session_id)

    def opened(self) -> tuple[Client, bytes]:
        """Return a client that has said `open`, and that."""
        client = Client()
        message = client.say("open", parameters=open_parameters(), id=self.session_id)
        return client, self.hello() + wire.message(message)

    def request(self) -> Inputs:
        """Spoil a request, or send none at all."""
        chance = self.chance
        return "request", chance.choice((spoil(self.hello(), chance), chance.randbytes(chance.randrange(300)))), 1

    def frames(self) -> Inputs:
        """Send frames that are none: no mask, reserved bits, wrong lengths, half ones, control frames that are long."""
        chance, (_, data) = self.chance, self.opened()
        for _ in range(chance.choice((0, 3, 20))):
            data += wire.frame(chance.choice((wire.PING, wire.PONG)), chance.randbytes(chance.randrange(126)))
        first = chance.randrange(256)
        payload = chance.randbytes(chance.choice((0, 1, 125, 126, 300)))
        bad = chance.choice(
            (
                bytes([first]) + wire.frame(0, payload)[1:],
                bytes([first, len(payload) & 0x7F]) + payload,
                bytes([first, 0xFF]) + chance.randbytes(8),
                wire.frame(wire.CLOSE, chance.randbytes(chance.choice((1, 2, 60)))),
                wire.frame(wire.CONTINUATION, payload),
                wire.frame(wire.TEXT, payload, fin=False) + wire.frame(wire.TEXT, payload),
                wire.frame(0xC1, payload),
                wire.frame(wire.BINARY, bytes(chance.choice((65_537, 70_000, 270_000)))),
                spoil(wire.frame(wire.TEXT, payload), chance),
            )
        )
        return "frame", data + bad, 2

    def broken_texts(self) -> Inputs:
        """Break one text after the other; only the first one ends the session, the rest must be borne."""
        client, data = self.opened()
        parts = [wire.frame(wire.TEXT, bad_text(client, self.chance)) for _ in range(BATCH)]
        return "text", data + b"".join(parts), BATCH

    def session(self) -> Inputs:
        """Say what may be said at the wrong time, with audio of every size and control frames between."""
        chance, (client, data) = self.chance, self.opened()
        mask = chance.randbytes(4)
        parts = []
        for _ in range(BATCH):
            way = chance.randrange(6)
            if way == 0:
                parts.append(wire.frame(wire.PING, b"x" * chance.randrange(126)))
            elif way == 1:
                message = json.loads(text(client, chance)) | {"id": self.session_id}
                parts.append(wire.message(json.dumps(message), mask, [chance.randrange(200)]))
            elif way == 2:
                parts.append(wire.message(bytes(2 * chance.randrange(800)), mask, [chance.randrange(900)]))
            else:
                parts.append(wire.frame(wire.BINARY, b"\x7f" * (2 * chance.randrange(200))))
        return "session", data + b"".join(parts), BATCH

    def recording(self) -> Inputs:
        """Send a recorded session with its bytes spoilt, or its messages in another order."""
        chance, recording = self.chance, self.chance.choice(self.recordings)
        ids = (recording.session_id, recording.organization_id, recording.correlation_id)
        messages = list(recording.messages)
        if chance.random() < 0.5:
            a, b = chance.randrange(len(messages)), chance.randrange(len(messages))
            messages[a], messages[b] = messages[b], messages[a]
        stream = b"".join(map(wire.message, messages))
        if chance.random() < 0.7:
            stream = spoil(stream, chance)
        return "recording", wire.request(*ids) + stream, len(messages)

    def kept(self) -> Inputs:
        """Send what once broke something, and variations of it."""
        if not self.broken:
            return self.frames()
        data = self.chance.choice(self.broken)
        return "kept", self.opened()[1] + (spoil(data, self.chance) if self.chance.random() < 0.5 else data), 1

    async def connect(self) -> None:
        """Make one connection, send its inputs, and leave in one way or another."""
        self.session_id = str(uuid.UUID(int=self.chance.getrandbits(128)))
        kind, data, count = self.chance.choice(self.ways)()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(LONGEST_S):
                half = self.chance.choice((0, 0, self.chance.randrange(len(data) + 1)))
                if half:
                    writer.write(data[:half])
                    await asyncio.sleep(0.001)
                writer.write(data[half:])
                if self.chance.random() < 0.8:
                    writer.write(wire.frame(wire.CLOSE, b"\x03\xe8"))
                while await reader.read(65_536):
                    pass
        if self.chance.random() < 0.5:
            writer.transport.abort()
        else:
            writer.close()
        self.count[kind] += count

    async def run(self, seconds: float, off_s: float = OFF_S) -> None:
        """Attack in bouts until the time is over."""
        now_s = SystemClock().monotonic_s
        begun_s = now_s()
        while (passed_s := now_s() - begun_s) < seconds:
            if passed_s % (ON_S + off_s) < off_s:
                await asyncio.sleep(0.05)
            else:
                await self.connect()


async def main(port: int, seed: int, seconds: float) -> None:
    """Attack over several connections at once; each has its own seed."""
    attackers = [Attacker(port, seed + number) for number in range(AT_ONCE)]
    async with asyncio.TaskGroup() as tasks:
        for attacker in attackers:
            tasks.create_task(attacker.run(seconds))
    sys.stdout.write(json.dumps(sum((attacker.count for attacker in attackers), Counter())) + "\n")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
