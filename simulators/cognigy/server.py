"""The endpoint over HTTP/1.1, on bare streams: no web framework lets go of a connection as rudely as a network does."""

import asyncio
import json
import socket
import struct
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

from simulators.cognigy.script import MOST_BODY_BYTES, Answer, Fault, Input, Script, defect, documented

_MOST_HEAD_BYTES = 16 * 2**10
_AT_ONCE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    body: bytes


class CognigyServer:
    """The bot. `received` holds every input it took, in order of arrival, whatever became of the answer.

    `requests` counts all requests that were read, refused ones too. Use it as an async context manager, or call
    `start` and `stop`.
    """

    def __init__(self, token: str, script: Script | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.script = script or Script()
        self.received: list[Input] = []
        self.requests = 0
        self._token = token
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None
        self._stopping = asyncio.Event()
        self._changed = asyncio.Condition()
        self._connections: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        return self._port

    @property
    def url(self) -> str:
        """The endpoint's address without the token."""
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        """Listen. Raises `OSError` for a port that is taken."""
        self._stopping.clear()
        self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=_MOST_HEAD_BYTES)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more, and reset what is open. A later `start` takes the same port and remembers all inputs."""
        self._stopping.set()
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._connections.values():
            _reset(writer)
        if self._connections:
            await asyncio.wait(self._connections)

    async def took(self, count: int) -> None:
        """Wait until so many inputs have been taken."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.received) >= count)

    def texts(self, session_id: str) -> list[str | None]:
        """Return the texts a session's inputs had, in order of arrival."""
        return [taken.text for taken in self.received if taken.session_id == session_id]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or self._stopping.is_set():
            _reset(writer)
            return
        self._connections[task] = writer
        try:
            while await self._turn(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            _reset(writer)
        finally:
            del self._connections[task]
            writer.close()

    async def _turn(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request. Return whether the connection stays."""
        line = await reader.readuntil(b"\r\n")
        if self.script.resets_unread():
            _reset(writer)
            return False
        request = await _read(line, reader)
        self.requests += 1
        answer, body = await self._answer(request)
        if answer.delay_s or answer.fault is Fault.SILENCE:
            await self._wait(None if answer.fault is Fault.SILENCE else answer.delay_s)
        if answer.fault in {Fault.RESET_AFTER_READ, Fault.SILENCE} or self._stopping.is_set():
            _reset(writer)
            return False
        head = _head(answer, len(body))
        if answer.fault is Fault.RESET_IN_ANSWER:
            writer.write(head + body[: len(body) // 2])
            await writer.drain()
            _reset(writer)
            return False
        writer.write(head + body)
        await writer.drain()
        return True

    async def _wait(self, seconds: float | None) -> None:
        """Wait so long, or for as long as this server lives."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _answer(self, request: _Request) -> tuple[Answer, bytes]:
        if (request.method, request.path) == ("GET", "/inputs"):
            return Answer(), json.dumps([_plain(taken) for taken in self.received]).encode()
        if request.path not in {f"/{self._token}", f"/test/{self._token}"}:
            return _refusal(HTTPStatus.NOT_FOUND, "no such endpoint")
        if request.method != "POST":
            return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "only POST")
        if len(request.body) > MOST_BODY_BYTES:
            return _refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the payload is too large")
        try:
            content = json.loads(request.body)
        except ValueError:
            content = None
        wrong = defect(content)
        if wrong is not None:
            return _refusal(HTTPStatus.BAD_REQUEST, wrong)
        taken = Input(
            content["sessionId"],
            content["userId"],
            content.get("text"),
            content.get("data"),
            asyncio.get_running_loop().time(),
        )
        return await self._take(taken)

    async def _take(self, taken: Input) -> tuple[Answer, bytes]:
        answer = self.script.answer(taken.text)
        if answer.status == HTTPStatus.OK:
            async with self._changed:
                self.received.append(taken)
                self._changed.notify_all()
        if answer.body is not None:
            return answer, answer.body
        if answer.status != HTTPStatus.OK:
            return answer, json.dumps({"title": "as told", "status": answer.status}).encode()
        trace_id = f"endpoint-httpIncomingMessage-{uuid.uuid4()}"
        return answer, json.dumps(documented(taken, answer.outputs, trace_id)).encode()


async def _read(line: bytes, reader: asyncio.StreamReader) -> _Request:
    """Read a request whose first line is there. Raises `ValueError` for one that is no HTTP."""
    method, path, _ = line.decode("ascii").split(" ", 2)
    length = 0
    while (header := await reader.readuntil(b"\r\n")) != b"\r\n":
        name, _, value = header.decode("latin-1").partition(":")
        if name.lower() == "content-length":
            length = int(value)
    return _Request(method, path, await reader.readexactly(length))


def _head(answer: Answer, length: int) -> bytes:
    lines = [
        f"HTTP/1.1 {answer.status} as told",
        "content-type: application/json",
        f"content-length: {length}",
        *([f"retry-after: {answer.retry_after}"] if answer.retry_after is not None else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _refusal(status: HTTPStatus, detail: str) -> tuple[Answer, bytes]:
    body = {"title": status.phrase, "status": int(status), "detail": detail, "traceId": f"endpoint-{uuid.uuid4()}"}
    return Answer(status=int(status)), json.dumps(body).encode()


def _plain(taken: Input) -> dict[str, Any]:
    return {
        "sessionId": taken.session_id,
        "userId": taken.user_id,
        "text": taken.text,
        "data": taken.data,
        "arrivedS": taken.arrived_s,
    }


def _reset(writer: asyncio.StreamWriter) -> None:
    """Drop a connection with a reset, not with an orderly end."""
    found = writer.get_extra_info("socket")
    if found is not None and found.fileno() >= 0:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    writer.transport.abort()
