"""The login server: a Starlette application that issues tokens, and what it does to its clients."""

import base64
import contextlib
import secrets
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runtime.clock import Clock, SystemClock
from simulators.http_server import server as http_server

PATH: Final = "/oauth/token"
DAY_S: Final = 86_400
_SECRET_FIELDS = ("client_id", "client_secret", "access_token")


@dataclass(frozen=True, slots=True)
class Fault(http_server.Fault):
    """What one request meets; `changes` replaces fields of a token's answer, None takes a field away."""

    changes: dict[str, Any] = field(default_factory=dict)


@dataclass
class OAuthServer:
    """The server's state. Requests take faults from `script` in turn; when it is empty they are served.

    `clients` maps id to secret. `lifetime_s` is the life of the tokens it issues. `requests` counts what came to the
    token path, `issued` the tokens; `leaks` counts requests with a secret where none may stand.
    """

    clients: dict[str, str] = field(default_factory=lambda: {"client": "secret"}, repr=False)
    lifetime_s: float = DAY_S
    clock: Clock = field(default_factory=SystemClock)
    script: deque[Fault] = field(default_factory=deque)
    requests: int = 0
    issued: int = 0
    leaks: int = 0
    _valid_until_s: dict[str, float] = field(default_factory=dict, repr=False)

    def is_valid(self, token: str) -> bool:
        """Return whether this token was issued here, has not expired and was not revoked."""
        return self.clock.monotonic_s() < self._valid_until_s.get(token, float("-inf"))

    @property
    def tokens(self) -> tuple[str, ...]:
        """Every token issued here that was not revoked, oldest first."""
        return tuple(self._valid_until_s)

    def revoke(self, token: str) -> None:
        """Let this token be valid no longer."""
        self._valid_until_s.pop(token, None)

    def revoke_all(self) -> None:
        """Let no token issued so far be valid."""
        self._valid_until_s.clear()

    def as_json(self) -> dict[str, int]:
        """Return what happened as plain values for JSON; no token is among it."""
        return {"requests": self.requests, "issued": self.issued, "leaks": self.leaks}

    def application(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(routes=[Route(PATH, self._answer, methods=["POST"])])

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[str]:
        """Serve on loopback inside this process while the context lasts (port 0: any free one); give the token URL."""
        async with http_server.serving(self.application(), port) as url:
            yield url + PATH

    async def _answer(self, request: Request) -> Response:
        self.requests += 1
        form = parse_qs((await request.body()).decode("ascii", "replace"), keep_blank_values=True)
        fault = self.script.popleft() if self.script else Fault()
        told = await fault.answer({"error": "as_told"})
        return told or self._refusal(request, form) or self._token(fault)

    def _refusal(self, request: Request, form: dict[str, list[str]]) -> Response | None:
        if any(name in request.query_params or name in form for name in _SECRET_FIELDS):
            self.leaks += 1
            return _error(400, "invalid_request", "secrets belong into the Authorization header")
        if request.query_params:
            return _error(400, "invalid_request", "the parameters belong into the body")
        if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return _error(400, "invalid_request", "the body should be a form")
        if not self._knows(request.headers.get("authorization", "")):
            return _error(401, "invalid_client", "client not found or secret wrong")
        if form.get("grant_type") != ["client_credentials"]:
            return _error(400, "unsupported_grant_type", "only client_credentials")
        return None

    def _knows(self, authorization: str) -> bool:
        return any(
            secrets.compare_digest(authorization, f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}")
            for name, secret in self.clients.items()
        )

    def _token(self, fault: Fault) -> Response:
        token = secrets.token_urlsafe(32)
        self.issued += 1
        self._valid_until_s[token] = self.clock.monotonic_s() + self.lifetime_s
        whole = {"access_token": token, "token_type": "bearer", "expires_in": int(self.lifetime_s)} | fault.changes
        return JSONResponse({name: value for name, value in whole.items() if value is not None})


def _error(status: int, error: str, description: str) -> Response:
    return JSONResponse({"error": error, "description": description, "error_description": description}, status)
