"""The admin port of a service: `/livez`, `/readyz`, `/metrics`. Nothing on it needs Kafka or any other dependency.

`/livez` answers while the event loop turns, so an outage elsewhere restarts nobody. `/readyz` is 200 when every named
condition holds and the service is not stopping, else 503 with the conditions that fail. Its facts are for people; the
metrics say the same, partition by partition.
"""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from runtime.errors import ConfigError
from runtime.metrics import READY


class Health:
    """What must hold for the service to be ready: conditions by name, each with why it does not hold.

    A service without conditions is not ready: it has not said yet what it needs.
    """

    def __init__(self, on_change: Callable[[str, str], None] | None = None) -> None:
        """`on_change` is told a condition's name and why it fails ("" when it holds), whenever that changes."""
        self._on_change = on_change
        self._failing: dict[str, str] = {}
        self._holding: set[str] = set()
        self._facts: dict[str, Callable[[], float]] = {}
        self._stopping = False

    def ready(self, name: str, ok: bool, why: str = "") -> None:
        """Set one condition. `why` says what is missing, without any personal data."""
        changed = name not in self._holding if ok else self._failing.get(name) != why
        if changed and self._on_change is not None:
            self._on_change(name, "" if ok else why)
        if ok:
            self._failing.pop(name, None)
            self._holding.add(name)
        else:
            self._holding.discard(name)
            self._failing[name] = why
        READY.set(self.is_ready())

    def tell(self, **facts: Callable[[], float]) -> None:
        """Show numbers beside the conditions, each by a function that is asked when somebody looks."""
        self._facts.update(facts)

    def facts(self) -> dict[str, float]:
        """Return the numbers to show, as they are now."""
        return {name: round(read(), 3) for name, read in self._facts.items()}

    def stop(self) -> None:
        """Be ready no more: the service is ending."""
        self._stopping = True
        READY.set(0)

    def is_ready(self) -> bool:
        """Return whether all conditions hold and the service is not stopping."""
        return not self._stopping and not self._failing and bool(self._holding)

    def failing(self) -> dict[str, str]:
        """Return the conditions that do not hold, each with its reason."""
        if self._stopping:
            return {**self._failing, "service": "stopping"}
        return dict(self._failing) if self._failing or self._holding else {"service": "starting"}


def routes(health: Health) -> list[Route]:
    """Return the three pages."""

    async def livez(_: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(_: Request) -> Response:
        ready = health.is_ready()
        content = {"ready": ready, "failing": health.failing(), "facts": health.facts()}
        return JSONResponse(content, status_code=200 if ready else 503)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]


class AdminServer:
    """Serves the pages of one `Health`. It is bound when made; `serve` runs until `stop`."""

    def __init__(self, health: Health, host: str, port: int, port_setting: str) -> None:
        """Bind the port; 0 takes a free one. Raises `ConfigError` that names `port_setting` when it cannot."""
        try:
            self._socket = listening(host, port)
        except OSError as error:
            message = f"{port_setting}: cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}"
            raise ConfigError([message]) from error
        address = self._socket.getsockname()
        self.host: str = address[0]
        self.port: int = address[1]
        config = uvicorn.Config(
            Starlette(routes=routes(health)),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _QuietServer(config)

    async def serve(self) -> None:
        """Answer requests until `stop`."""
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Let `serve` return soon."""
        self._server.should_exit = True

    def close(self) -> None:
        """Give the port back. For a server that never served; `serve` does it itself."""
        self._socket.close()


def listening(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket, IPv4 or IPv6 as the address says. Raises `OSError`."""
    listener = socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET,
        socket.SOCK_STREAM,
        # asyncio sends small writes at once only on sockets that name their protocol
        socket.IPPROTO_TCP,
    )
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


class _QuietServer(uvicorn.Server):
    """uvicorn inside our own process: the service owns the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signal."""
        yield
