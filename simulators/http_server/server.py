"""Serves an application inside of a test or a demo, and says what single requests may meet."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response


@dataclass(frozen=True, slots=True)
class Fault:
    """What one request meets. Without any field set it is served.

    `status` other than 200 is answered with an error of that status; `retry_after` stands in its header; `delay_s`
    stands before the answer; `body` is sent in place of the answer.
    """

    status: int = HTTPStatus.OK
    retry_after: str | None = None
    delay_s: float = 0.0
    body: bytes | None = None

    async def answer(self, error: dict[str, Any]) -> Response | None:
        """Wait, and return what is answered in place of the right answer; `error` is the body of an error."""
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        headers = {"retry-after": self.retry_after} if self.retry_after is not None else None
        if self.body is not None:
            return Response(self.body, self.status, headers)
        return None if self.status == HTTPStatus.OK else JSONResponse(error, self.status, headers)


class _Server(uvicorn.Server):
    """Leaves signals to the process it runs in, and stops at once when told to."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.told = asyncio.Event()

    async def main_loop(self) -> None:
        """Serve until told to stop."""
        await self.told.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(application: Starlette, port: int = 0) -> AsyncIterator[str]:
    """Serve on loopback inside this process while the context lasts (port 0: any free one); give the base URL."""
    config = uvicorn.Config(
        application, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=1
    )
    running = _Server(config)
    with socket.create_server(("127.0.0.1", port)) as listener:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(running.serve(sockets=[listener]))
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                running.told.set()
