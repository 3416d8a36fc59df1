"""The REST API: a Starlette application that tells of conversations, counts who asks, and what it does to them."""

import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runtime.clock import Clock, SystemClock
from simulators.http_server import server as http_server
from simulators.http_server.server import Fault
from simulators.platform.conversation import Conversation

PATH: Final = "/api/v2/conversations"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: what was asked for, whether its token was valid, and the status it was answered with."""

    conversation_id: str
    authorized: bool
    status: int


@dataclass
class PlatformServer:
    """The server's state. Requests take faults from `script` in turn, those for one conversation from its own first.

    is_valid: tells whether a bearer token is good. asked: every request that was answered. most_at_once: the most that
    were being answered at a time. leaks: requests with a token in their URL.
    """

    is_valid: Callable[[str], bool] = field(repr=False)
    clock: Clock = field(default_factory=SystemClock)
    script: deque[Fault] = field(default_factory=deque)
    scripts: dict[str, deque[Fault]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    most_at_once: int = 0
    leaks: int = 0
    _conversations: dict[str, tuple[Conversation, float, float]] = field(default_factory=dict)
    _at_once: int = 0

    def add(self, conversation: Conversation) -> None:
        """Let a conversation begin now; one that is there begins anew."""
        started = (conversation, self.clock.monotonic_s(), self.clock.wall_s())
        self._conversations[conversation.conversation_id] = started

    def remove(self, conversation_id: str) -> None:
        """Know a conversation no longer: 404."""
        self._conversations.pop(conversation_id, None)

    def fail(self, conversation_id: str, *faults: Fault) -> None:
        """Let the next requests for one conversation meet these, in turn."""
        self.scripts.setdefault(conversation_id, deque()).extend(faults)

    def counts(self) -> Counter[str]:
        """Return how often each conversation was asked for."""
        return Counter(one.conversation_id for one in self.asked)

    def application(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(routes=[Route(PATH + "/{conversation_id}", self._answer, methods=["GET"])])

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[str]:
        """Serve on loopback inside this process while the context lasts (port 0: any free one); give the base URL."""
        async with http_server.serving(self.application(), port) as url:
            yield url

    def as_json(self) -> dict[str, Any]:
        """Return what happened as plain values for JSON; no token is among it."""
        return {
            "requests": len(self.asked),
            "statuses": {str(status): count for status, count in Counter(one.status for one in self.asked).items()},
            "conversations": dict(self.counts()),
            "most_at_once": self.most_at_once,
            "leaks": self.leaks,
        }

    async def _answer(self, request: Request) -> Response:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        conversation_id = str(request.path_params["conversation_id"])
        try:
            authorized = self._is_authorized(request)
            fault = self._fault(conversation_id)
            response = await fault.answer(_error(HTTPStatus(fault.status)))
            response = response or self._told(conversation_id, authorized=authorized)
        finally:
            self._at_once -= 1
        self.asked.append(Asked(conversation_id, authorized, response.status_code))
        return response

    def _fault(self, conversation_id: str) -> Fault:
        own = self.scripts.get(conversation_id)
        if own:
            return own.popleft()
        return self.script.popleft() if self.script else Fault()

    def _is_authorized(self, request: Request) -> bool:
        self.leaks += "access_token" in request.query_params
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and bool(token) and self.is_valid(token)

    def _told(self, conversation_id: str, *, authorized: bool) -> Response:
        if not authorized:
            return _refusal(HTTPStatus.UNAUTHORIZED)
        if conversation_id not in self._conversations:
            return _refusal(HTTPStatus.NOT_FOUND)
        conversation, began_s, began_wall_s = self._conversations[conversation_id]
        after_s = self.clock.monotonic_s() - began_s
        if not conversation.is_known(after_s):
            return _refusal(HTTPStatus.NOT_FOUND)
        return JSONResponse(conversation.body(began_wall_s, after_s))


def _refusal(status: HTTPStatus) -> Response:
    return JSONResponse(_error(status), status)


def _error(status: HTTPStatus) -> dict[str, Any]:
    """Return the body of the platform's errors."""
    return {"message": status.phrase, "code": status.phrase.lower().replace(" ", "."), "status": int(status)}
