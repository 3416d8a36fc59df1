"""Many AudioHook calls from one process that costs little: frames are masked once and shared, and nothing is awaited.

What is said and checked is the stand-in's protocol machine; only its shell is another. Calls arrive in bursts and leave
in bursts, the first ones a while after the last have come. Lateness is how long after its due time a frame was handed
to the system.
`python -m benchmarks.ingest_load '<JSON of a Plan>'` prints a report as JSON.
"""

import base64
import gc
import heapq
import json
import os
import random
import secrets
import select
import socket
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from runtime.clock import SystemClock
from simulators.audiohook import media, messages
from simulators.audiohook.call import Call
from simulators.audiohook.client import upgrade_headers
from simulators.audiohook.protocol import ClientProtocol, End, Phase
from simulators.audiohook.report import Histogram
from simulators.audiohook.scenario import Scenario
from simulators.audiohook.signature import Credentials

_TEXT, _BINARY, _CLOSE = 0x81, 0x82, 0x88
_MASKED, _TWO_BYTES = 0x80, 126
_STEREO = 2
now_s = SystemClock().monotonic_s
_CONTENTS = 16
_AT_ONCE = 1
_END_S = 15.0
"""Calls that are not over so long after their last frame count as lost."""


@dataclass(frozen=True)
class Plan:
    """How many calls: `burst` at once each second; once all have been there for `seconds` they leave as they came."""

    url: str
    api_key: str
    secret: str
    calls: int
    frame_ms: int
    seconds: float
    burst: int

    @property
    def arrival_s(self) -> float:
        """When the last call arrives."""
        return (self.calls - 1) // self.burst * 1.0


def frame(first: int, payload: bytes, mask: bytes = bytes(4)) -> bytes:
    """Return a masked WebSocket frame; `first` is its first byte. With the mask of zeros the payload stays as it is."""
    size = len(payload)
    length = bytes([_MASKED | size]) if size < _TWO_BYTES else bytes([_MASKED | _TWO_BYTES]) + size.to_bytes(2, "big")
    masked = payload if mask == bytes(4) else bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes([first]) + length + mask + masked


class Connection:
    """One call: its socket and its protocol."""

    def __init__(self, address: tuple[str, int], request: bytes, call: Call) -> None:
        self.call = call
        self.protocol: ClientProtocol | None = None
        self.sent = 0
        self.burst_s = 0.0
        self.over = False
        self.closing = False
        self.answer = "no answer"
        self._inbox = bytearray()
        self._outbox = bytearray()
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.socket.send(request)

    def write(self, data: bytes) -> None:
        """Send, or keep what the system does not take now."""
        if self._outbox:
            self._outbox += data
            return
        try:
            taken = self.socket.send(data)
        except BlockingIOError:
            taken = 0
        except OSError:
            self.end()
            return
        self._outbox += data[taken:]

    def push(self) -> None:
        """Send what was kept."""
        kept, self._outbox = bytes(self._outbox), bytearray()
        if kept:
            self.write(kept)

    def speak(self) -> None:
        """Send what the protocol says; close when it is over, as the platform does, without a status."""
        protocol = self.protocol
        if protocol is None:
            return
        while protocol.outgoing:
            self.write(frame(_TEXT, protocol.outgoing.popleft().encode(), b"\x01\x02\x03\x04"))
        if protocol.phase is Phase.ENDED and not self.closing:
            self.closing = True
            self.write(frame(_CLOSE, b""))

    def read(self) -> None:
        """Take what came."""
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.end()
            return
        self._inbox += data
        if self.protocol is None:
            self._upgraded()
        while self.protocol is not None and self._message(self.protocol):
            pass
        self.speak()

    def end(self) -> None:
        """Take the end of the socket."""
        self.over = True
        self.socket.close()
        if self.protocol is not None:
            self.protocol.connection_lost()

    def _upgraded(self) -> None:
        head, found, rest = bytes(self._inbox).partition(b"\r\n\r\n")
        if not found:
            return
        self.answer = head[:12].decode()
        if self.answer != "HTTP/1.1 101":
            self.end()
            return
        self._inbox = bytearray(rest)
        call = self.call
        self.protocol = ClientProtocol(str(call.session_id), call.open_parameters(), call.media_offers(), now_s())

    def _message(self, protocol: ClientProtocol) -> bool:
        """Take one whole frame of the server; False where there is none."""
        inbox = self._inbox
        if len(inbox) < 2:
            return False
        start, size = 2, inbox[1]
        if size == _TWO_BYTES:
            start, size = 4, int.from_bytes(inbox[2:4], "big")
        if len(inbox) < start + size:
            return False
        if inbox[0] == _TEXT:
            protocol.receive_text(inbox[start : start + size].decode(), now_s())
        elif inbox[0] == _BINARY:
            protocol.receive_binary(now_s())
        del inbox[: start + size]
        return True


class Load:
    """All calls of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        target = urlsplit(plan.url)
        self._address = (str(target.hostname), int(target.port or 80))
        self._credentials = Credentials(plan.api_key, plan.secret)
        self._period_s = plan.frame_ms / 1000
        self._samples = messages.RATE_HZ * plan.frame_ms // 1000
        self._frames = [frame(_BINARY, os.urandom(self._samples * _STEREO)) for _ in range(_CONTENTS)]
        self._scenario = Scenario("load", media.tone(plan.frame_ms))
        self._poll = select.epoll()
        self._open: dict[int, Connection] = {}
        self._turns: list[tuple[float, int, Connection]] = []
        self.all: list[Connection] = []
        self.late = Histogram()
        self._end_s = 0.0

    def run(self) -> None:
        """Place the calls and let them end."""
        began_s = now_s()
        last_s = began_s + self._plan.arrival_s
        self._end_s = last_s + self._plan.seconds
        while now_s() < self._end_s + self._plan.arrival_s + _END_S and (not self.all or self._open):
            waiting = self._plan.calls - len(self.all)
            next_burst_s = began_s + len(self.all) // self._plan.burst * 1.0
            if waiting and now_s() >= next_burst_s:
                # a few at a time, so that a burst does not keep this process from sending what is due
                for _ in range(min(waiting, _AT_ONCE)):
                    self._place()
            self._send_due()
            self._listen(next_burst_s if waiting else self._end_s + self._plan.arrival_s + _END_S)

    def _place(self) -> None:
        call = Call(scenario=self._scenario)
        lines = {
            "Host": f"{self._address[0]}:{self._address[1]}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
            **upgrade_headers(self._plan.url, call, self._credentials),
        }
        fields = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        request = f"GET {urlsplit(self._plan.url).path} HTTP/1.1\r\n{fields}\r\n"
        connection = Connection(self._address, request.encode(), call)
        connection.burst_s = len(self.all) // self._plan.burst * 1.0
        self._open[connection.socket.fileno()] = connection
        self._poll.register(connection.socket, select.EPOLLIN)
        self.all.append(connection)

    def _listen(self, until_s: float) -> None:
        if self._turns:
            until_s = min(until_s, self._turns[0][0])
        for number, _ in self._poll.poll(max(0.0, until_s - now_s())):
            connection = self._open[number]
            was_open = connection.protocol is not None and connection.protocol.phase is not Phase.OPENING
            connection.read()
            if connection.over:
                del self._open[number]
            elif not was_open and connection.protocol is not None and connection.protocol.phase is Phase.ACTIVE:
                # the platform's frames keep no step with its calls, nor with each other
                first_s = now_s() + random.uniform(0, self._period_s)
                heapq.heappush(self._turns, (first_s, number, connection))

    def _send_due(self) -> None:
        """Send the frames that are due."""
        turns = self._turns
        while turns and turns[0][0] <= (now := now_s()):
            due_s, number, connection = turns[0]
            protocol = connection.protocol
            if protocol is None or protocol.phase is not Phase.ACTIVE:
                heapq.heappop(turns)
                continue
            connection.push()
            connection.write(self._frames[connection.sent % _CONTENTS])
            self.late.add(now_s() - due_s)
            connection.sent += 1
            protocol.audio_sent(self._samples)
            if protocol.deadline_s is not None and protocol.deadline_s <= now:
                protocol.tick(now)
            if due_s + self._period_s < self._end_s + connection.burst_s:
                heapq.heapreplace(turns, (due_s + self._period_s, number, connection))
            else:
                heapq.heappop(turns)
                protocol.close("end", now)
            if protocol.outgoing:
                connection.speak()

    def report(self) -> dict[str, Any]:
        """Return what was sent and how the calls went."""
        trips = Histogram()
        faults: Counter[str] = Counter()
        ok = 0
        for connection in self.all:
            protocol = connection.protocol
            if protocol is None:
                faults[f"refused: {connection.answer}"] += 1
                continue
            for seconds in protocol.round_trips_s:
                trips.add(seconds)
            faults.update(fault.message for fault in protocol.faults)
            well = protocol.end is End.CLOSED and not protocol.faults and connection.over
            ok += well
            if not well:
                faults[f"ended {protocol.end}, {protocol.disconnect_reason}"] += 1
        return {
            "calls_ok": ok,
            "frames_sent": sum(connection.sent for connection in self.all),
            "samples_each": self._samples,
            "pong": trips.summary(),
            "pong_bins": trips.bins,
            "late": self.late.summary(),
            "late_bins": self.late.bins,
            "faults": faults,
            "cpu_s": sum(os.times()[:2]),
        }


def main() -> None:
    """Run the plan of the command line."""
    load = Load(Plan(**json.loads(sys.argv[1])))
    gc.freeze()
    load.run()
    print(json.dumps(load.report()))


if __name__ == "__main__":
    main()
