"""The registry over HTTP: a Starlette application around a `RegistryStore`, with faults on demand."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulators.registry.store import Answer, RegistryStore, failure

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"


@dataclass
class RegistryServer:
    """A registry and what it does to its clients.

    `answers_with` is a status to answer everything with (None: serve), `retry_after` goes into its header, `delay_s`
    stands before every answer, `credentials` is the only `Authorization` header let in. `seen` holds what was asked.
    """

    store: RegistryStore = field(default_factory=RegistryStore)
    answers_with: int | None = None
    retry_after: str | None = None
    delay_s: float = 0.0
    credentials: str | None = None
    seen: list[str] = field(default_factory=list)

    def application(self) -> Starlette:
        """Return the ASGI application with the eight endpoints."""
        store = self.store
        return Starlette(
            routes=[
                self._route("GET", "/subjects", lambda _, __: store.list_subjects()),
                self._route("POST", "/subjects/{subject}/versions", lambda p, b: store.register(p["subject"], b)),
                self._route("POST", "/subjects/{subject}", lambda p, b: store.look_up(p["subject"], b)),
                self._route("GET", "/subjects/{subject}/versions", lambda p, _: store.versions(p["subject"])),
                self._route(
                    "GET",
                    "/subjects/{subject}/versions/{number}",
                    lambda p, _: store.version(p["subject"], p["number"]),
                ),
                self._route("GET", "/schemas/ids/{id:int}", lambda p, _: store.schema(p["id"])),
                self._route("GET", "/config/{subject}", lambda p, _: store.level(p["subject"])),
                self._route("PUT", "/config/{subject}", lambda p, b: store.set_level(p["subject"], b)),
            ]
        )

    def _route(self, method: str, path: str, answer: Callable[[dict[str, Any], Any], Answer]) -> Route:
        async def endpoint(request: Request) -> Response:
            status, body = await self._answer(request, lambda body: answer(request.path_params, body))
            headers = {"retry-after": self.retry_after} if self.retry_after and self.answers_with else None
            return Response(json.dumps(body), status_code=status, media_type=CONTENT_TYPE, headers=headers)

        return Route(path, endpoint, methods=[method])

    async def _answer(self, request: Request, answer: Callable[[Any], Answer]) -> Answer:
        self.seen.append(f"{request.method} {request.url.path}")
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.answers_with is not None:
            return self.answers_with, {"error_code": self.answers_with * 100 + 1, "message": "as told"}
        if self.credentials is not None and request.headers.get("authorization") != self.credentials:
            return failure(40101, "Unauthorized")
        text = await request.body()
        if text and request.headers.get("content-type") != CONTENT_TYPE:
            return failure(41501, "HTTP 415 Unsupported Media Type")
        return answer(json.loads(text) if text else None)
