"""Access tokens by client credentials (RFC 6749, 4.4): one request at a time, renewed shortly before they expire.

`keep_fresh` renews in the background, so that who asks for a token need not wait for the server. Without it, who asks
first after the time to renew does it. Where renewing fails, the old token serves until it is about to expire.

The client's id and secret travel in the `Authorization` header only (2.3.1); neither they nor a token ever stand in a
URL, a log line or an error.
"""

import asyncio
import math
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pydantic import SecretStr

from runtime.clock import Clock
from runtime.errors import ConfigError, PeerError, Unavailable
from runtime.http import HttpClient, Response, basic
from runtime.log import Logger, get_logger
from runtime.metrics import OAUTH_REQUESTS

MARGIN_S, MARGIN_RATIO = 300.0, 0.1
"""A token is renewed so long before it expires, or this share of its life, whichever is less."""
LAST_RATIO = 0.1
"""The last of that time it is not handed out any more: it might expire on its way."""
SHORT_LIFE_S = 60.0
"""The life of a token whose answer states none that makes sense."""
LONGEST_LIFE_S = 48 * 3600.0
"""The platform's longest life of a token; a longer one is not believed."""
LOOK_S = 5.0
"""How often the background looks whether it is time to renew."""
SHORTEST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
"""Between two requests of the background: at least, and at most unless the server asks for more."""
_LARGEST_POWER = 10
_FORM = b"grant_type=client_credentials"
_BEARER_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
"""RFC 6750, 2.1: what may stand in the header."""


@dataclass(frozen=True, slots=True)
class _Token:
    """A token, from when on it is to be renewed, and until when it may be handed out (monotonic)."""

    value: str = field(repr=False)
    renew_at_s: float
    usable_until_s: float


_Outcome = _Token | Unavailable | ConfigError


class TokenSource:
    """The token of one OAuth client. Any number of tasks may ask at once; they share one request.

    `settings` are the names of the two settings that hold the credentials, for the error that says they are refused.
    """

    def __init__(  # noqa: PLR0913 - where, who, and what to call it
        self,
        http: HttpClient,
        url: str,
        client_id: str,
        client_secret: SecretStr,
        clock: Clock,
        *,
        settings: tuple[str, str] = ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET"),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._http = http
        self._url = url
        self._clock = clock
        self._settings = settings
        self._sleep = sleep
        self._draw = draw
        self._log: Logger = get_logger("oauth")
        self._headers = {
            **basic(client_id, client_secret.get_secret_value()),
            "content-type": "application/x-www-form-urlencoded",
            "accept": "application/json",
        }
        self._token: _Token | None = None
        self._asking: asyncio.Future[_Outcome | None] | None = None
        self._not_before_s = -math.inf
        self._wanted = False
        self._kept_fresh = False

    async def get(self) -> str:
        """Return a token that is not about to expire, asking for one where there is none.

        Raises `Unavailable` when there is none and the server cannot give one now (no further request before the wait
        it asks for), and `ConfigError` when it refuses the credentials. All who wait get the outcome of the one
        request. It runs in the task that asked first: where that one is cancelled, the next of them asks.
        """
        self._wanted = True
        while True:
            token = self.current()
            if token is not None:
                return token
            outcome = await self._outcome(self._clock.monotonic_s())
            if isinstance(outcome, _Token):
                return outcome.value
            if outcome is not None:
                return self._old(outcome)

    def current(self) -> str | None:
        """Return the token that `get` would give without waiting; None where it would ask for one."""
        token = self._token
        if token is None:
            return None
        until_s = token.usable_until_s if self._kept_fresh else token.renew_at_s
        return token.value if self._clock.monotonic_s() < until_s else None

    async def keep_fresh(self) -> None:
        """Renew the token whenever it is time, from the first time on that somebody asked for one. Never returns.

        A failure is logged and tried again after a wait that doubles; it raises nothing.
        """
        failures = 0
        self._kept_fresh = True
        try:
            while True:
                now_s = self._clock.monotonic_s()
                wait_s = self._until_renewal_s(now_s)
                if wait_s > 0:
                    await self._sleep(min(wait_s, LOOK_S))
                    continue
                outcome = await self._outcome(now_s)
                failures = failures + 1 if isinstance(outcome, Unavailable | ConfigError) else 0
                await self._sleep(self._rest_s(outcome, failures))
        finally:
            self._kept_fresh = False

    def invalidate(self, token: str) -> None:
        """Forget this token, which a peer refused. A newer one stays."""
        if self._token is not None and self._token.value == token:
            self._token = None

    def _until_renewal_s(self, now_s: float) -> float:
        if self._token is None:
            return 0.0 if self._wanted else LOOK_S
        return self._token.renew_at_s - now_s

    def _rest_s(self, outcome: "_Outcome | None", failures: int) -> float:
        """Return how long the background waits after a request: half of it by lot, so that processes spread."""
        if not isinstance(outcome, Unavailable | ConfigError):
            return SHORTEST_WAIT_S
        bound_s = min(LONGEST_WAIT_S, 2.0 * SHORTEST_WAIT_S * 2.0 ** min(failures - 1, _LARGEST_POWER))
        asked_s = outcome.retry_after_s or 0.0 if isinstance(outcome, Unavailable) else 0.0
        wait_s = max(asked_s, bound_s * (1 + self._draw()) / 2)
        self._log.warning(
            "a token could not be renewed", error=str(outcome), attempt=failures, retry_after_s=round(wait_s, 3)
        )
        return wait_s

    def _old(self, error: Unavailable | ConfigError) -> str:
        """Return the token there was before, where it is still good; else raise why there is no other."""
        if self._token is not None and self._clock.monotonic_s() < self._token.usable_until_s:
            return self._token.value
        raise error

    async def _outcome(self, now_s: float) -> "_Outcome | None":
        """Return what the request brings that is under way or made now; None where it was cancelled."""
        return await (self._ask(now_s) if self._asking is None else asyncio.shield(self._asking))

    async def _ask(self, now_s: float) -> _Outcome:
        """Make the request and share its outcome; None is shared where it was cancelled."""
        if now_s < self._not_before_s:
            message = "oauth: the server asked to wait"
            return Unavailable(message, self._not_before_s - now_s)
        asking = self._asking = asyncio.get_running_loop().create_future()
        outcome: _Outcome | None = None
        try:
            outcome = await self._request(now_s)
        finally:
            self._asking = None
            asking.set_result(outcome)
        return outcome

    async def _request(self, now_s: float) -> _Outcome:
        label = "unavailable"
        try:
            answer = await self._http.request("POST", self._url, headers=self._headers, content=_FORM)
            token = self._read(answer, now_s)
            label = "token"
        except Unavailable as error:
            if error.retry_after_s is not None:
                self._not_before_s = self._clock.monotonic_s() + error.retry_after_s
            return error
        except ConfigError as error:
            label = "refused"
            return error
        finally:
            OAUTH_REQUESTS.labels(label).inc()
        self._token = token
        return token

    def _read(self, answer: Response, now_s: float) -> _Token:
        if answer.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            message = f"{' and '.join(self._settings)}: the OAuth server refuses them with status {answer.status}"
            raise ConfigError([message])
        if not answer.ok:
            message = f"oauth: status {answer.status}"
            raise Unavailable(message)
        try:
            body = answer.json()
        except PeerError:
            message = "oauth: the answer is not JSON"
            raise Unavailable(message) from None
        token = body.get("access_token") if isinstance(body, dict) else None
        if not isinstance(token, str) or not _BEARER_TOKEN.fullmatch(token) or not _is_bearer(body):
            message = "oauth: the answer holds no bearer token"
            raise Unavailable(message)
        life_s = _life_s(body.get("expires_in"))
        margin_s = min(MARGIN_S, MARGIN_RATIO * life_s)
        return _Token(token, now_s + life_s - margin_s, now_s + life_s - LAST_RATIO * margin_s)


def _is_bearer(body: dict[str, Any]) -> bool:
    return str(body.get("token_type", "bearer")).lower() == "bearer"


def _life_s(stated: Any) -> float:
    """Return the seconds a token lives, counted from the request."""
    if isinstance(stated, str) and stated.isascii() and stated.isdigit():
        stated = float(stated)
    if isinstance(stated, bool) or not isinstance(stated, int | float) or not stated > 0:
        return SHORT_LIFE_S
    return float(min(stated, LONGEST_LIFE_S))
