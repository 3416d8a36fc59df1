"""A client of a schema registry with Confluent's interface: ids to write with, and schemas by id.

Services only look up; schemas are registered by the operator (`callstream schemas register`). A schema once read is
kept for ever. Ids of the local range are never asked for: the package knows them.
"""

import asyncio
import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from runtime.clock import Clock, SystemClock
from runtime.config import RegistrySettings
from runtime.errors import ConfigError, InvalidRecord, PeerError, Unavailable
from runtime.http import HttpClient, Response, retry_reads
from runtime.metrics import REGISTRY_LOOKUPS
from schemas import topics
from schemas.codec import SchemaStore
from schemas.versions import FOLDERS, LOCAL_ID_BASE, newest

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
COMPATIBILITY = "FULL_TRANSITIVE"
_LOCAL_IDS = range(LOCAL_ID_BASE, LOCAL_ID_BASE + 2**24)
_SUBJECT_NOT_FOUND = 40401
_SCHEMA_NOT_FOUND = 40403
_UNKNOWN_FOR_S = 30.0
_UNKNOWN_LIMIT = 10_000


def subjects() -> dict[str, str]:
    """Return registry subject → schema folder, for every public topic and for the session info inside frames."""
    found = {topic.subject: FOLDERS[topic.record] for topic in topics.PUBLIC if topic.record is not None}
    return {**found, topics.AUDIO_SESSION_INFO_SUBJECT: "session_info"}


class Registry:
    """The registry of one deployment; without a URL every method does nothing."""

    def __init__(self, settings: RegistrySettings, clock: Clock | None = None) -> None:
        self._url = settings.url.rstrip("/") if settings.url else None
        self._settings = settings
        self._clock = clock or SystemClock()
        self._client: HttpClient | None = None
        self._in_flight: dict[int, asyncio.Future[None]] = {}
        self._unknown_until_s: dict[int, float] = {}

    @property
    def configured(self) -> bool:
        """Whether there is a registry at all."""
        return self._url is not None

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def prepare(self, store: SchemaStore) -> None:
        """Look up the ids to write the public records with.

        Raises `Unavailable` when the registry does not answer, or does not hold a schema yet.
        """
        if self._url is None:
            return
        for subject, folder in subjects().items():
            schema_id = await self.look_up(subject, newest(folder).text)
            if schema_id is None:
                message = f"{subject} v{newest(folder).version} is not registered; run `callstream schemas register`"
                raise Unavailable(message)
            store.write_with(folder, schema_id)

    async def resolve(self, ids: Iterable[int], store: SchemaStore) -> None:
        """Fetch schemas the store does not know; those the registry does not know either stay unknown.

        Each id is asked for once at a time however many wait for it. Raises `Unavailable` when nothing answers.
        """
        if self._url is None:
            return
        for schema_id in sorted(set(ids)):
            # whoever waited asks itself when the one who asked was cancelled
            while self._wanted(schema_id, store):
                waiting = self._in_flight.get(schema_id)
                if waiting is None:
                    await self._fetch_first(schema_id, store)
                else:
                    await asyncio.shield(waiting)

    async def look_up(self, subject: str, text: str) -> int | None:
        """Return the id of a schema under a subject, None when it is not registered there."""
        answer = await self._ask("POST", f"/subjects/{quote(subject, safe='')}", {"schema": text})
        if answer.status == HTTPStatus.NOT_FOUND and _error_code(answer) in {_SUBJECT_NOT_FOUND, _SCHEMA_NOT_FOUND}:
            return None
        return int(_accepted(answer)["id"])

    async def register(self, subject: str, text: str) -> int:
        """Register a schema under a subject and return its id; the same text gives the same id again.

        Raises `ConfigError` when the registry finds it incompatible or invalid.
        """
        return int(
            _accepted(await self._ask("POST", f"/subjects/{quote(subject, safe='')}/versions", {"schema": text}))["id"]
        )

    async def set_compatibility(self, subject: str, level: str = COMPATIBILITY) -> None:
        """Set the compatibility the registry demands of a subject's next versions."""
        _accepted(await self._ask("PUT", f"/config/{quote(subject, safe='')}", {"compatibility": level}))

    def _wanted(self, schema_id: int, store: SchemaStore) -> bool:
        if schema_id in _LOCAL_IDS or store.get(schema_id) is not None:
            return False
        return self._unknown_until_s.get(schema_id, -1.0) <= self._clock.monotonic_s()

    async def _fetch_first(self, schema_id: int, store: SchemaStore) -> None:
        """Fetch a schema while others may wait for it; they get the same outcome."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._in_flight[schema_id] = done
        try:
            await self._fetch(schema_id, store)
        except Exception as error:
            done.set_exception(error)
            done.exception()  # nobody may be waiting
            raise
        finally:
            del self._in_flight[schema_id]
            if not done.done():
                done.set_result(None)

    async def _fetch(self, schema_id: int, store: SchemaStore) -> None:
        answer = await self._ask("GET", f"/schemas/ids/{schema_id}")
        if answer.status == HTTPStatus.NOT_FOUND and _error_code(answer) == _SCHEMA_NOT_FOUND:
            self._remember_unknown(schema_id)
            REGISTRY_LOOKUPS.labels("unknown").inc()
            return
        try:
            store.add(schema_id, str(_accepted(answer)["schema"]))
        except InvalidRecord:
            self._remember_unknown(schema_id)
            REGISTRY_LOOKUPS.labels("invalid").inc()
        else:
            REGISTRY_LOOKUPS.labels("found").inc()

    def _remember_unknown(self, schema_id: int) -> None:
        if len(self._unknown_until_s) >= _UNKNOWN_LIMIT:
            self._unknown_until_s.clear()
        self._unknown_until_s[schema_id] = self._clock.monotonic_s() + _UNKNOWN_FOR_S

    async def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> Response:
        """Send one request; all of them may be repeated, registering included, for it is idempotent."""
        if self._url is None:
            message = "SCHEMA_REGISTRY_URL: is needed here"
            raise ConfigError([message])
        client, url = self._connected(), self._url + path
        headers = {"accept": CONTENT_TYPE, "content-type": CONTENT_TYPE}
        content = None if body is None else json.dumps(body).encode()
        return await retry_reads(lambda: client.request(method, url, headers=headers, content=content))

    def _connected(self) -> HttpClient:
        if self._client is None:
            settings = self._settings
            password = settings.password.get_secret_value() if settings.password else ""
            self._client = HttpClient(
                "schema registry",
                timeout_s=settings.timeout_s,
                connections=4,
                credentials=(settings.username, password) if settings.username else None,
                cafile=settings.cafile,
                clock=self._clock,
            )
        return self._client


def _accepted(answer: Response) -> dict[str, Any]:
    """Return a good answer's body. Raises `ConfigError` for a refusal, `PeerError` for nonsense."""
    if not answer.ok:
        message = (
            f"the schema registry refuses: status {answer.status}, code {_error_code(answer)}: {_error_text(answer)}"
        )
        raise ConfigError([message])
    body = answer.json()
    if not isinstance(body, dict):
        message = "the schema registry's answer is no JSON object"
        raise PeerError(message)
    return body


def _error_code(answer: Response) -> int | None:
    try:
        body = answer.json()
    except PeerError:
        return None
    code = body.get("error_code") if isinstance(body, dict) else None
    return code if isinstance(code, int) else None


def _error_text(answer: Response) -> str:
    try:
        body = answer.json()
    except PeerError:
        return "no reason given"
    return str(body.get("message"))[:200] if isinstance(body, dict) else "no reason given"
