"""Serves an ASGI application on loopback for as long as a test needs it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import uvicorn

from runtime.admin import listening


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(application) -> AsyncIterator[str]:
    """Yield the application's root URL."""
    listener = listening("127.0.0.1", 0)
    config = uvicorn.Config(
        application, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=1
    )
    server = _Server(config)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
