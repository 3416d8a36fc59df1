"""The way to the bot: one request, one answer, no decision. A further transport implements `BotClient`."""

from typing import Protocol

from pydantic import SecretStr

from processors.cognigy.config import CognigySettings, endpoint
from processors.cognigy.logic import NoReply, Reply
from runtime.clock import Clock
from runtime.errors import Unavailable
from runtime.http import HttpClient, Unsent, wait_of

_BLOT = b"[token]"
# an answer that cannot be unpacked would be no answer
_HEADERS = {"content-type": "application/json", "accept": "application/json", "accept-encoding": "identity"}


class BotClient(Protocol):
    """A transport to the bot."""

    async def send(self, body: bytes) -> Reply | NoReply:
        """Send one input, once, and return what came of it."""


class RestClient:
    """Cognigy's REST endpoint. The token is in the URL alone, and in nothing that leaves here."""

    def __init__(
        self, http: HttpClient, endpoint_url: str, token: SecretStr, *, timeout_s: float, clock: Clock
    ) -> None:
        """`http` takes any status. `timeout_s` bounds the whole request."""
        self._http = http
        self._endpoint_url = endpoint_url.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        self._clock = clock

    async def send(self, body: bytes) -> Reply | NoReply:
        """See `BotClient`."""
        token = self._token.get_secret_value()
        try:
            answer = await self._http.request(
                "POST", f"{self._endpoint_url}/{token}", headers=_HEADERS, content=body, timeout_s=self._timeout_s
            )
        except Unsent:
            return NoReply(unsent=True)
        except Unavailable:
            return NoReply(unsent=False)
        retry_after_s = wait_of(answer.headers.get("retry-after"), self._clock.wall_s())
        return Reply(answer.status, answer.body.replace(token.encode(), _BLOT), retry_after_s)


def http_client(settings: CognigySettings, clock: Clock, connections: int) -> HttpClient:
    """Return the way to the bot's host, as the settings bound it."""
    return HttpClient(
        "cognigy",
        timeout_s=settings.read_timeout_s,
        connect_timeout_s=settings.connect_timeout_s,
        connections=connections,
        clock=clock,
        any_status=True,
        longest_answer_bytes=settings.longest_answer_bytes,
    )


def rest_client(settings: CognigySettings, http: HttpClient, clock: Clock) -> RestClient:
    """Return the bot's REST endpoint as the settings name it. Raises `ConfigError`."""
    url, token = endpoint(settings)
    # the whole may take as long as its parts, so that a connection that is not made counts as unsent
    return RestClient(http, url, token, timeout_s=settings.connect_timeout_s + settings.read_timeout_s, clock=clock)
