"""HTTP requests with explicit deadlines, and errors by who must act. The only module that imports httpx2.

httpx2 stands for httpx because its pool survives a storm of timed-out requests (docs/decisions/0001). Requests go to
its transport: what its client adds (redirects, cookies, proxies and credentials of the environment) is not wanted, and
costs a third of a request's processor time.
"""

import asyncio
import base64
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
import stamina
from stamina.instrumentation import set_on_retry_hooks

from runtime.clock import Clock, SystemClock
from runtime.errors import ConfigError, PeerError, Unavailable
from runtime.metrics import HTTP_REQUESTS, HTTP_SECONDS

T = TypeVar("T")

_LONGEST_WAIT_S = 300.0
_POOL_CONNECTIONS = 8
_MOST_URLS = 64
_DEFAULT_HEADERS = {
    "accept": "*/*",
    "accept-encoding": "gzip, deflate",
    "connection": "keep-alive",
    "user-agent": "callstream",
}
# stamina's own hooks would log the arguments of the call
set_on_retry_hooks([])


class Unsent(Unavailable):
    """The request never left this machine: it may be sent again whatever it does."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: status, headers with lower-case names, body as received."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    def json(self) -> Any:
        """Return the body as JSON. Raises `PeerError` when it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            message = f"the answer with status {self.status} is not JSON"
            raise PeerError(message) from None


class HttpClient:
    """A pool of connections to one peer. `peer` is its name in metrics and errors; URLs never appear there."""

    def __init__(  # noqa: PLR0913 - each is a limit or an identity the caller chooses
        self,
        peer: str,
        *,
        timeout_s: float,
        connect_timeout_s: float | None = None,
        connections: int = 16,
        credentials: tuple[str, str] | None = None,
        cafile: str | None = None,
        clock: Clock | None = None,
        any_status: bool = False,
        longest_answer_bytes: int | None = None,
    ) -> None:
        """Prepare a pool. `timeout_s` bounds a whole request; `credentials` are user and password of basic auth.

        `connect_timeout_s` bounds the making of a connection; a request that did not get one in time is `Unsent`.
        With `any_status` an answer of 429 or 5xx is an answer like any other: it says what is wrong. A body longer than
        `longest_answer_bytes` is cut somewhere behind that, and the connection closed.

        Raises `ConfigError` when `cafile` cannot be used.
        """
        self._peer = peer
        self._timeout_s = timeout_s
        self._clock = clock or SystemClock()
        self._any_status = any_status
        self._longest_answer_bytes = longest_answer_bytes
        try:
            context = ssl.create_default_context(cafile=cafile)
        except OSError as error:
            message = f"{peer}: the file of authorities cannot be used: {type(error).__name__}"
            raise ConfigError([message]) from error
        timeout = httpx2.Timeout(timeout_s, connect=connect_timeout_s or timeout_s)
        self._extensions = {"timeout": timeout.as_dict()}
        self._headers = _DEFAULT_HEADERS if credentials is None else _DEFAULT_HEADERS | basic(*credentials)
        self._urls: dict[str, httpx2.URL] = {}
        self._pools = [_Pool(_transport(context, size), size) for size in _sizes(connections)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        for pool in self._pools:
            await pool.transport.aclose()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        timeout_s: float | None = None,
    ) -> Response:
        """Send one request, once, and return the answer with any status but those below.

        Raises `Unavailable` when the peer does not answer within the deadline, or answers 429 or 5xx (with the wait it
        asks for); its subclass `Unsent` when the request cannot have reached the peer.
        """
        started_s = self._clock.monotonic_s()
        outcome = "error"
        pool = self._next_pool()
        pool.under_way += 1
        try:
            async with asyncio.timeout(timeout_s or self._timeout_s):
                answer = await pool.transport.handle_async_request(self._request(method, url, headers, content))
                try:
                    body = await self._body(answer)
                finally:
                    await answer.aclose()
            outcome = f"{answer.status_code // 100}xx"
        except TimeoutError:
            outcome = "timeout"
            message = f"{self._peer}: no answer within {timeout_s or self._timeout_s:g} s"
            raise Unavailable(message) from None
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            outcome = "unsent"
            message = f"{self._peer}: no connection: {type(error).__name__}"
            raise Unsent(message) from None
        except (httpx2.RequestError, ssl.SSLError) as error:  # httpx2 lets an error of TLS behind the handshake through
            message = f"{self._peer}: no answer: {type(error).__name__}"
            raise Unavailable(message) from None
        except httpx2.InvalidURL:
            message = f"{self._peer}: the URL is not valid"
            raise ConfigError([message]) from None
        finally:
            pool.under_way -= 1
            HTTP_REQUESTS.labels(self._peer, outcome).inc()
            HTTP_SECONDS.labels(self._peer).observe(self._clock.monotonic_s() - started_s)
        if not self._any_status:
            self._refuse_overload(answer.status_code, answer.headers.get("retry-after"))
        return Response(answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, body)

    def _request(
        self, method: str, url: str, headers: Mapping[str, str] | None, content: bytes | None
    ) -> httpx2.Request:
        parsed = self._urls.get(url)
        if parsed is None:
            if len(self._urls) >= _MOST_URLS:
                self._urls.clear()
            parsed = self._urls[url] = httpx2.URL(url)
        return httpx2.Request(
            method, parsed, headers=self._headers | dict(headers or {}), content=content, extensions=self._extensions
        )

    def _next_pool(self) -> "_Pool":
        """Return the first pool with a free connection: those that are in use stay warm. Else the least busy one."""
        free = (pool for pool in self._pools if pool.under_way < pool.size)
        return next(free, None) or min(self._pools, key=lambda pool: pool.under_way / pool.size)

    async def _body(self, answer: httpx2.Response) -> bytes:
        body = bytearray()
        packed = "content-encoding" in answer.headers
        async for part in answer.aiter_bytes() if packed else answer.aiter_raw():
            body += part
            if self._longest_answer_bytes is not None and len(body) > self._longest_answer_bytes:
                break
        return bytes(body)

    def _refuse_overload(self, status: int, retry_after: str | None) -> None:
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            message = f"{self._peer}: status {status}"
            raise Unavailable(message, wait_of(retry_after, self._clock.wall_s()))


@dataclass(slots=True)
class _Pool:
    """Some of the connections to a peer. The library looks at each connection of a pool twice for every request."""

    transport: httpx2.AsyncHTTPTransport
    size: int
    under_way: int = 0


def _sizes(connections: int) -> list[int]:
    """Return how many connections each pool has: they are small, whatever the sum."""
    full, rest = divmod(connections, _POOL_CONNECTIONS)
    return [_POOL_CONNECTIONS] * full + ([rest] if rest else [])


def _transport(context: ssl.SSLContext, connections: int) -> httpx2.AsyncHTTPTransport:
    limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx2.AsyncHTTPTransport(verify=context, limits=limits, trust_env=False)


def basic(user: str, password: str) -> dict[str, str]:
    """Return the header of basic authentication (RFC 7617)."""
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def wait_of(retry_after: str | None, now_s: float) -> float | None:
    """Return the seconds a `Retry-After` header asks for (RFC 9110, 10.2.3), at most 300; None where it says nothing.

    `now_s` is the epoch time an HTTP date is compared with.
    """
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return min(float(retry_after), _LONGEST_WAIT_S)
    try:
        at = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max(at.timestamp() - now_s, 0.0), _LONGEST_WAIT_S)


async def retry_reads(call: Callable[[], Awaitable[T]], *, attempts: int = 3, budget_s: float = 10.0) -> T:
    """Call again, with jitter, what only reads. Raises the last `Unavailable`."""
    return await _retry(call, Unavailable, attempts, budget_s)


async def retry_unsent(call: Callable[[], Awaitable[T]], *, attempts: int = 3, budget_s: float = 10.0) -> T:
    """Call again, with jitter, while the request provably never left. Raises the last `Unavailable`."""
    return await _retry(call, Unsent, attempts, budget_s)


async def _retry(call: Callable[[], Awaitable[T]], on: type[Unavailable], attempts: int, budget_s: float) -> T:
    caller = stamina.AsyncRetryingCaller(attempts=attempts, timeout=budget_s, wait_initial=0.1, wait_max=2.0)
    return await caller(on, call)
